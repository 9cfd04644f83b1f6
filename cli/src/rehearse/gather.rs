//! From what was played to the report: acts, numbers of each phase, checks, verdict.

use super::acts;
use super::conduct::{Played, Script};
use super::profile::Profile;
use super::report::{Machine, PhaseReport, Report, Settings};
use super::verdict::{Evidence, SaleReport, checks, verdict};
use crate::load::{Judged, Numbers, SelfCheck, Threshold, points};

/// All figures in one report.
pub(super) async fn gather<P>(
    script: &Script<'_>,
    played: Played<P>,
    sale: Option<SaleReport>,
) -> Report {
    let tally = &played.ran.tally;
    let started_ns = i64::try_from(played.started_at.as_nanosecond()).unwrap_or(i64::MAX);
    let (api, app) = (&script.space.api, &script.app.guid);
    let acts = acts::gather(api, app, started_ns, &played.samples).await;
    let phases = phases(script.profile, &played);
    let total = Numbers::of(&tally.total(), played.seconds);
    let thresholds = judged(script.wishes.thresholds, &phases, &total);
    let checks = checks(&Evidence {
        thresholds: &thresholds,
        acts: &acts,
        samples: &played.samples,
        want_instances: script.wishes.want_instances,
        routable_within_s: script.wishes.routable_within.as_secs_f64(),
        sale: sale.as_ref(),
    });
    let generator = SelfCheck::of(tally);
    Report {
        app: script.app.name.clone(),
        url: format!("{}{}", script.target.origin, script.target.path),
        profile: script.profile.name.clone(),
        started_at: played.started_at,
        cfx_version: env!("CARGO_PKG_VERSION"),
        machine: Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        },
        settings: settings(script),
        verdict: verdict(&generator, &checks),
        checks,
        was_ended_early: played.was_ended_early,
        generator,
        scheduling: played.ran.scheduling,
        total,
        phases,
        series: points(tally),
        instances: played.samples,
        acts,
        sale,
    }
}

fn settings(script: &Script<'_>) -> Settings {
    let sending = script.wishes.sending;
    Settings {
        seed: script.wishes.seed,
        scale: script.wishes.scale,
        peak: script.profile.curve().peak(),
        connections_new: script.new_share(),
        threads: sending.threads,
        in_flight: sending.in_flight,
        timeout_s: sending.timeout.as_secs_f64(),
    }
}

fn phases<P>(profile: &Profile, played: &Played<P>) -> Vec<PhaseReport> {
    let mut from = 0.0;
    let phases = profile.phases.iter().zip(&played.ran.tally.phases);
    let phases = phases.map(|(phase, counts)| {
        let begin = from;
        from += phase.seconds;
        // Of a run that was ended early, the part that was played.
        let seconds = (played.seconds - begin).clamp(0.0, phase.seconds);
        PhaseReport {
            name: phase.name.clone(),
            from: begin,
            to: from,
            numbers: Numbers::of(counts, seconds),
        }
    });
    phases.collect()
}

fn judged(thresholds: &[Threshold], phases: &[PhaseReport], total: &Numbers) -> Vec<Judged> {
    let judged = thresholds.iter().map(|threshold| {
        let phase = threshold.phase.as_ref();
        let phase = phase.and_then(|name| phases.iter().find(|phase| phase.name == *name));
        threshold.judge(phase.map_or(total, |phase| &phase.numbers))
    });
    judged.collect()
}
