//! The stage on which simulations and backtests play: instances that start after a delay, a window
//! that is fed, and `decide`, which does not know that it is only a play.

use crate::ast::Metric;
use crate::decide::decide;
use crate::explain;
use crate::policy::Policy;
use crate::state::State;
use crate::timeline::{Act, Point};
use crate::units::{Milli, Second};
use crate::window::{Running, Window};

#[derive(Debug)]
pub(crate) struct Stage<'a> {
    policy: &'a Policy,
    window: Window,
    state: State,
    /// When each wanted instance runs or will run, by index.
    starts: Vec<Second>,
    running: Vec<Running>,
    start_delay_s: u32,
    /// Metrics that the policy looks at, each once.
    metrics: Vec<Metric>,
    pub(crate) points: Vec<Point>,
    pub(crate) acts: Vec<Act>,
}

impl<'a> Stage<'a> {
    /// `instances` have been running for a day when the play begins.
    pub(crate) fn new(
        policy: &'a Policy,
        step_s: u32,
        instances: u32,
        start_delay_s: u32,
        begin: Second,
    ) -> Self {
        let mut metrics: Vec<Metric> = policy.needs().iter().map(|n| n.metric.clone()).collect();
        metrics.sort_unstable();
        metrics.dedup();
        let mut stage = Self {
            policy,
            window: Window::with_step(policy, step_s),
            state: State::default(),
            starts: vec![begin - 86_400; instances as usize],
            running: Vec::new(),
            start_delay_s,
            metrics,
            points: Vec::new(),
            acts: Vec::new(),
        };
        stage.enter(begin);
        stage
    }

    pub(crate) fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Instances that run now.
    pub(crate) fn running(&self) -> u32 {
        u32::try_from(self.running.len()).unwrap_or(u32::MAX)
    }

    /// Whoever is ready by now comes on. Starts are in the order of indices.
    pub(crate) fn enter(&mut self, now: Second) {
        let ready = self
            .starts
            .iter()
            .take_while(|start| **start <= now)
            .count();
        let wanted = u32::try_from(self.starts.len()).unwrap_or(u32::MAX);
        if ready == self.running.len() && wanted == self.window.size() {
            return;
        }
        let starts = self.starts.iter().take(ready).zip(0..);
        self.running = starts
            .map(|(since, index)| Running {
                index,
                since: *since,
            })
            .collect();
        self.window.roster(wanted, &self.running);
    }

    /// The value of a running instance. Whatever no rule looks at is dropped by the window.
    pub(crate) fn feed(&mut self, index: u32, metric: &Metric, at: Second, value: Milli) {
        self.window.push(index, metric, at, value).ok();
    }

    /// Decide and act.
    pub(crate) fn tick(&mut self, now: Second, load: Milli, lost: Milli) {
        let (decision, next) = decide(&self.state, &self.window, self.policy, now);
        self.state = next;
        self.points.push(Point {
            at: now,
            load,
            lost,
            wanted: decision.to,
            running: self.running(),
        });
        if decision.to == decision.from {
            return;
        }
        self.acts.push(Act {
            at: now,
            from: decision.from,
            to: decision.to,
            reason: explain::summary(&decision),
        });
        let ready = now + Second::from(self.start_delay_s);
        self.starts.resize(decision.to as usize, ready);
        self.enter(now);
    }
}
