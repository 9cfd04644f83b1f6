//! What a person sees while it goes on: one calm line on a terminal, a line now and then elsewhere.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::instances::Sample;
use super::profile::Profile;
use crate::context::Context;
use crate::load::{Glance, Live};
use crate::output::Progress;

/// How often the line is redrawn.
const REDRAW: Duration = Duration::from_millis(500);
/// How often a line is printed where nothing can be redrawn, in redraws.
const PLAIN_EVERY: u32 = 10;

/// The line, and what it is made of.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) context: &'a Context,
    pub(super) profile: &'a Profile,
    pub(super) live: &'a Live,
    pub(super) samples: &'a RefCell<Vec<Sample>>,
    pub(super) start: Duration,
    pub(super) opened: &'a Cell<Option<f64>>,
}

impl View<'_> {
    /// Shows until it is dropped.
    pub(super) async fn show(&self) {
        let progress = self.context.terminal.progress("starting");
        let (mut answered, mut phase, mut lines) = (0, String::new(), 0_u32);
        loop {
            self.context.clock.sleep(REDRAW).await;
            let at = self.context.clock.monotonic().saturating_sub(self.start);
            let at = at.as_secs_f64();
            let glance = self.live.glance();
            let line = self.line(at, glance, glance.answered - answered);
            answered = glance.answered;
            progress.message(&line);
            let is_new = phase != self.profile.phase_at(at);
            if !progress.is_live() && (is_new || lines % PLAIN_EVERY == 0) {
                self.context.terminal.note(&line);
            }
            self.tell_phase(&progress, is_new, &mut phase, at);
            lines += 1;
        }
    }

    /// On a terminal each phase leaves one line behind.
    fn tell_phase(&self, progress: &Progress, is_new: bool, phase: &mut String, at: f64) {
        if !is_new {
            return;
        }
        self.profile.phase_at(at).clone_into(phase);
        if progress.is_live() {
            let text = format!("{at:>5.0} s  {phase}");
            progress.aside(|| self.context.terminal.note(text));
        }
    }

    fn line(&self, at: f64, glance: Glance, answered: u64) -> String {
        let whole = self.profile.seconds();
        #[allow(clippy::cast_precision_loss, reason = "for people")]
        let rate = answered as f64 / REDRAW.as_secs_f64();
        let mut line = format!(
            "{:<10} {:>4.0}/{whole:.0} s  {rate:>5.0}/s  p99 {:>7.1} ms  {} failed",
            self.profile.phase_at(at),
            at.min(whole),
            glance.p99_ms,
            glance.failed,
        );
        if let Some(sample) = self.samples.borrow().last() {
            line.push_str(&format!(
                "  {} of {} instances routable",
                sample.routable, sample.desired
            ));
        }
        if self.opened.get().is_some() {
            line.push_str("  sale open");
        }
        line
    }
}
