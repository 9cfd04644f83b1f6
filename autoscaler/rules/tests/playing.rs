//! Simulations and backtests: what comes out of whole loads, and the pictures of it.

use cfx_rules::ast::Metric;
use cfx_rules::backtest::{Recording, Series, backtest};
use cfx_rules::shape::Shape;
use cfx_rules::simulate::{Capacity, simulate};
use cfx_rules::timeline::Timeline;
use cfx_rules::{Policy, draw};

/// 2026-11-27 20:00:00 UTC.
const T0: i64 = 1_795_809_600;

fn policy(text: &str) -> Policy {
    Policy::parse(text).expect("a policy")
}

fn flash_sale() -> Timeline {
    let policy = policy(
        "scale 40% if CPU >70% for 5s cool down 10s
         scale to 40 if throughput >90/s for 2s cool down 0s
         scale in 30% if CPU <30% for 1m cool down 1m
         between 2 and 60 instances
         from 2026-11-27 20:09 to 20:12 keep 20 to 60",
    );
    let shape = Shape::parse(
        "constant 100/s for 5m then ramp 100/s to 300/s over 5m \
         then spike 300/s to 3000/s for 1m falling over 5m then constant 50/s for 10m",
    );
    let capacity = Capacity {
        instances: 2,
        ..Capacity::default()
    };
    simulate(&policy, &shape.expect("a shape"), &capacity, T0)
}

#[test]
fn a_flash_sale_is_survived_and_tidied_up() {
    let timeline = flash_sale();
    let story: Vec<String> = timeline
        .acts
        .iter()
        .map(|act| format!("{:>4} s: {}", act.at - T0, act.reason))
        .collect();
    insta::assert_snapshot!(story.join("\n"), @r#"
     365 s: Scaled out from 2 to 3: rule 1 holds (`scale 40% if CPU >70% for 5s cool down 10s`); 2.8 makes 3.
     470 s: Scaled out from 3 to 5: rule 1 holds (`scale 40% if CPU >70% for 5s cool down 10s`); 4.2 makes 5.
     540 s: Scaled out from 5 to 20: the schedule `from 2026-11-27 20:09 to 20:12 UTC keep 20 to 60`, which has just begun, keeps 20 to 60 instances.
     601 s: Scaled out from 20 to 40: rule 2 holds (`scale to 40 if throughput >90/s for 2s cool down 0s`).
     611 s: Scaled out from 40 to 56: rule 1 holds (`scale 40% if CPU >70% for 5s cool down 10s`).
     866 s: Scaled in from 56 to 39: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 39.2 makes 39.
     926 s: Scaled in from 39 to 27: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 27.3 makes 27.
     986 s: Scaled in from 27 to 18: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 18.9 makes 18.
    1046 s: Scaled in from 18 to 12: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 12.6 makes 12.
    1106 s: Scaled in from 12 to 8: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 8.4 makes 8.
    1166 s: Scaled in from 8 to 5: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 5.6 makes 5.
    1226 s: Scaled in from 5 to 3: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 3.5 makes 3.
    1286 s: Scaled in from 3 to 2: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 2.1 makes 2.
    "#);
    let lost: i64 = timeline.points.iter().map(|point| point.lost).sum();
    assert!(
        lost > 0,
        "the jump is larger than what twenty instances serve"
    );
    let late = timeline.points.iter().filter(|point| point.at > T0 + 606);
    assert_eq!(
        late.map(|point| point.lost).sum::<i64>(),
        0,
        "and it is over in seconds"
    );
}

#[test]
fn the_terminal_shows_load_instances_and_acts() {
    insta::assert_snapshot!(draw::terminal(&flash_sale(), 72), @r#"
    load, requests/s
        3000                        ████▄▁
                                    ██████▅▂
                                    ████████▆▂
                                    ██████████▇▃
                                    █████████████▄
             ▁▁▁▁▁▁▁▁▁▁▁▁▁▂▂▂▂▃▃▃▄▄▄███████████████▅▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
    instances
          56                         ███████████
                                    ▂███████████▁▁
                                    ██████████████
                                  ▁▁██████████████▇▇▇
                                  ███████████████████▇▇▂▂
             ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▂▂▂▂▄▄▄███████████████████████▆▆▆▄▄▂▂▂▁▁▁▁▁▁▁▁▁▁
    from 2026-11-27 20:00:01 to 2026-11-27 20:26:00 UTC
    2026-11-27 20:06:05  Scaled out from 2 to 3: rule 1 holds (`scale 40% if CPU >70% for 5s cool down 10s`); 2.8 makes 3.
    2026-11-27 20:07:50  Scaled out from 3 to 5: rule 1 holds (`scale 40% if CPU >70% for 5s cool down 10s`); 4.2 makes 5.
    2026-11-27 20:09:00  Scaled out from 5 to 20: the schedule `from 2026-11-27 20:09 to 20:12 UTC keep 20 to 60`, which has just begun, keeps 20 to 60 instances.
    2026-11-27 20:10:01  Scaled out from 20 to 40: rule 2 holds (`scale to 40 if throughput >90/s for 2s cool down 0s`).
    2026-11-27 20:10:11  Scaled out from 40 to 56: rule 1 holds (`scale 40% if CPU >70% for 5s cool down 10s`).
    2026-11-27 20:14:26  Scaled in from 56 to 39: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 39.2 makes 39.
    2026-11-27 20:15:26  Scaled in from 39 to 27: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 27.3 makes 27.
    2026-11-27 20:16:26  Scaled in from 27 to 18: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 18.9 makes 18.
    2026-11-27 20:17:26  Scaled in from 18 to 12: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 12.6 makes 12.
    2026-11-27 20:18:26  Scaled in from 12 to 8: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 8.4 makes 8.
    2026-11-27 20:19:26  Scaled in from 8 to 5: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 5.6 makes 5.
    2026-11-27 20:20:26  Scaled in from 5 to 3: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 3.5 makes 3.
    2026-11-27 20:21:26  Scaled in from 3 to 2: rule 3 holds (`scale in 30% if CPU <30% for 1m cool down 1m`); 2.1 makes 2.
    "#);
}

#[test]
fn the_svg_is_well_formed_and_names_each_act() {
    let timeline = flash_sale();
    let svg = draw::svg(&timeline);
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<circle").count(), timeline.acts.len());
    assert_eq!(svg.matches("<title>").count(), timeline.acts.len());
    assert!(svg.contains("CPU &gt;70%"), "texts are escaped");
    assert!(svg.len() < 200_000, "{} bytes", svg.len());
    let empty = Timeline {
        points: Vec::new(),
        acts: Vec::new(),
        ..timeline
    };
    assert!(draw::svg(&empty).contains("</svg>") && !draw::terminal(&empty, 10).is_empty());
}

#[test]
fn what_is_not_modelled_is_said() {
    let policy = policy("scale by 1 if avg of queue depth >5 for 1m");
    let shape = Shape::parse("sine 10/s to 90/s over 1d for 14d").expect("a shape");
    let timeline = simulate(&policy, &shape, &Capacity::default(), T0);
    assert!(timeline.acts.is_empty());
    assert_eq!(timeline.step_s, 120);
    assert_eq!(timeline.notes.len(), 2, "{:?}", timeline.notes);
}

/// A day of one-minute samples of four instances that are busy from 8:00 to 12:00.
fn day() -> Recording {
    let points = |index: u32| {
        let value = move |minute: i64| {
            let busy = (480..720).contains(&minute);
            if busy {
                95_000 + i64::from(index)
            } else {
                40_000
            }
        };
        (1..=1_440)
            .map(|minute| (T0 + minute * 60, value(minute)))
            .collect()
    };
    let series = (0..4).map(|index| Series {
        index,
        metric: Metric::Cpu,
        points: points(index),
    });
    Recording {
        step_s: 60,
        series: series.collect(),
    }
}

#[test]
fn a_backtest_spreads_the_recorded_load_over_the_instances_that_it_adds() {
    let policy = policy("scale 40% if CPU >90% for 1h; between 2 and 40 instances");
    let timeline = backtest(&policy, &day(), 2);
    // Six instances carry what four did at 63 %, so one act is enough.
    let acts: Vec<_> = timeline
        .acts
        .iter()
        .map(|act| (act.at - T0, act.from, act.to))
        .collect();
    assert_eq!(acts, [(539 * 60, 4, 6)]);
    assert_eq!(timeline.points.len(), 1_440);
    assert!(timeline.notes.is_empty());
}

#[test]
fn a_recording_reads_from_csv() {
    let text = "time,instance,metric,value\n\
                1795809660,0,cpu_entitlement,95.5\n1795809660,1,cpu_entitlement,20\n\
                1795809720,0,cpu_entitlement,96\n1795809720,0,memory,1073741824\n\
                1795809720,0,pids,7\n";
    let recording = Recording::from_csv(text).expect("a recording");
    assert_eq!((recording.step_s, recording.series.len()), (60, 3));
    assert_eq!(
        recording.series[0].points,
        [(T0 + 60, 95_500), (T0 + 120, 96_000)]
    );
    assert_eq!(recording.series[2].points, [(T0 + 120, 1_024_000)]);
    let error = Recording::from_csv("1,0,cpu\n")
        .expect_err("three fields")
        .to_string();
    assert!(error.starts_with("line 1:"), "{error}");
    assert!(Recording::from_csv("").is_err());
}
