//! The page of a rehearsal that was made up: complete, closed in itself, and safe.

use super::*;
use crate::load::{Judged, Numbers};
use crate::rehearse::acts::Cause;
use crate::rehearse::sale::ShopVerdict;
use crate::rehearse::verdict::{Evidence, checks, verdict};

/// A sale that went well, of an app whose name is no good.
fn report() -> Report {
    let phases = [("baseline", 0.0, 10.0), ("jump", 10.0, 30.0)];
    let act = Act {
        at: 11.0,
        from: Some(2),
        to: 200,
        cause: Cause::Schedule,
        explanation: "keep 200 to 400 <now>".into(),
        error: None,
        routable_after_s: Some(8.5),
        is_superseded: false,
    };
    let sale = SaleReport {
        stock: 100,
        opened_at: 9.7,
        shop: Some(ShopVerdict {
            ok: true,
            never_oversold: true,
            books_balance: true,
            one_order_per_key: true,
            orders: 100,
            total: 100,
            available: 0,
            reserved: 0,
            sold: 100,
        }),
        orders_acknowledged: 100,
        paid_acknowledged: 100,
        second_orders: 0,
        forgotten: 0,
    };
    let samples: Vec<Sample> = (0_u32..60)
        .map(|n| Sample {
            at: f64::from(n) / 2.0,
            desired: if n < 22 { 2 } else { 200 },
            running: 2 + n * 3,
            routable: 2 + n * 3,
            crashed: 0,
        })
        .collect();
    let series: Vec<Point> = (0_u32..30)
        .map(|n| Point {
            at: n.into(),
            intended: if n < 10 {
                20.0
            } else {
                300.0 - f64::from(n) * 9.0
            },
            answered: if n < 10 {
                20.0
            } else {
                295.0 - f64::from(n) * 9.0
            },
            failed: 0.0,
            p50_ms: 2.0 + f64::from(n % 5),
            p99_ms: 8.0 + f64::from(n % 7) * 4.0,
            max_ms: 20.0 + f64::from(n % 11) * 9.0,
        })
        .collect();
    let thresholds = [Judged {
        threshold: "lost > 0".into(),
        promise: "lost at most 0".into(),
        value: "0".into(),
        is_crossed: false,
    }];
    let checks = checks(&Evidence {
        thresholds: &thresholds,
        acts: std::slice::from_ref(&act),
        samples: &samples,
        want_instances: Some(100),
        routable_within_s: 60.0,
        sale: Some(&sale),
    });
    Report {
        app: "<script>alert(1)</script>".into(),
        url: "http://flash-sale.apps.localhost:8080/".into(),
        profile: "flash-sale".into(),
        started_at: Timestamp::UNIX_EPOCH,
        cfx_version: "0.1.0",
        machine: Machine { cores: 2 },
        settings: Settings {
            seed: 1,
            scale: 1.0,
            peak: 160.0,
            connections_new: 0.5,
            threads: 1,
            in_flight: 2_000,
            timeout_s: 10.0,
        },
        verdict: verdict(&SelfCheck::default(), &checks),
        checks,
        was_ended_early: false,
        generator: SelfCheck::default(),
        scheduling: Scheduling::RealTime,
        total: Numbers {
            seconds: 30.0,
            ..Numbers::default()
        },
        phases: phases
            .iter()
            .map(|(name, from, to)| PhaseReport {
                name: (*name).to_owned(),
                from: *from,
                to: *to,
                numbers: Numbers::default(),
            })
            .collect(),
        series,
        instances: samples,
        acts: vec![act],
        sale: Some(sale),
    }
}

#[test]
fn the_page_holds_all_of_it_and_needs_nothing_from_elsewhere() {
    let html = report().html();
    for part in [
        "Everything held",
        "nothing oversold",
        "one order per key",
        "2 → 200",
        "8.5 s",
        "keep 200 to 400 &lt;now&gt;",
        "100 of 100",
        "prefers-color-scheme: dark",
        "@media print",
    ] {
        assert!(html.contains(part), "{part} is missing");
    }
    assert_eq!(html.matches("<svg").count(), 3);
    for foreign in ["<script", "src=", "href=", "@import", "url("] {
        assert!(!html.contains(foreign), "{foreign} is in the page");
    }
    assert!(!html.contains("NaN"));
}

#[test]
fn a_void_run_says_so_before_anything_else() {
    let mut report = report();
    report.generator.void = vec!["the generator was late itself".into()];
    report.verdict = verdict(&report.generator, &report.checks);
    let html = report.html();
    assert!(html.contains("Void: the generator was in the way"));
    assert!(!html.contains("Everything held"));
}

#[test]
fn both_files_are_written_and_the_json_says_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = report();
    let path = folder
        .path()
        .join(file_name("shop/../x", report.started_at));
    assert!(path.starts_with(folder.path()) && path.parent() == Some(folder.path()));
    let written = report.write(&path).expect("written");
    let text = std::fs::read(&written.json).expect("there");
    let json: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(json["verdict"], "held");
    assert_eq!(json["acts"][0]["routable_after_s"], 8.5);
    assert!(written.html.exists());
    let clash = report.write(&folder.path().join("x.json"));
    assert!(clash.is_err(), "the JSON must not replace the page");
}
