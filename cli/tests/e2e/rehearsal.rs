//! `cfx rehearse` on the sample, with a scale in the middle of the sale, and `cfx load` on its page.
//! How fast things were is not asserted: this machine may be busy. What was counted is.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Platform, free_port, text, wait};
use crate::sample::{HOST, push, wait_for_instances};

/// Exit codes of a run in which all held, and of one that the busy machine itself voided.
const HELD: i32 = 0;
const NOT_HELD: i32 = 3;
const VOID: i32 = 4;

pub fn of_the_sample(platform: &Platform) {
    let home = platform.space("rehearsal");
    push(platform, &home, &[]);
    wait_for_instances(platform, 2);
    let path = platform.path("rehearsal.html");
    let file = path.display().to_string();
    let mut words = vec!["rehearse", HOST, "--report", &file, "--json"];
    words.extend(["--base", "2/s", "--factor", "8", "--stock", "20"]);
    words.extend(["--fail-if", "errors > 50%"]);
    for phase in [
        "baseline=2s",
        "countdown=2s",
        "jump=5s",
        "storm=4s",
        "tail=4s",
    ] {
        words.extend(["--phase", phase]);
    }
    let output = thread::scope(|scope| {
        let rehearsal = scope.spawn(|| platform.cfx_at(&home, &words));
        let is_open = wait(Duration::from_secs(60), || {
            let item = platform.get(HOST, "/api/item").ok()?;
            item.body.contains("\"open\": true").then_some(())
        });
        assert!(is_open.is_some(), "the rehearsal opens the sale");
        platform.ok_at(&home, &["scale", HOST, "-i", "4"]);
        rehearsal.join().expect("no panic")
    });
    let code = output.status.code();
    assert!(matches!(code, Some(HELD | VOID)), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for check in report["checks"].as_array().expect("checks") {
        assert_eq!(check["holds"], true, "{check}");
    }
    check_counts(&report);
    let act = report["acts"].as_array().expect("acts").iter();
    let act = act.filter(|act| act["to"] == 4).count();
    assert_eq!(act, 1, "{}", report["acts"]);
    let page = std::fs::read_to_string(&path).expect("the page");
    assert!(page.contains("nothing oversold") && page.contains("</html>"));

    let again = platform.cfx_at(&home, &["rehearse", HOST]);
    assert!(
        !again.status.success() && text(&again).contains("--reset-sale"),
        "a sale that is open is left alone: {}",
        text(&again)
    );
    for app in [HOST, "inventory"] {
        platform.ok_at(&home, &["delete", app, "-f", "-r"]);
    }
}

/// Every request is in one place, and the shop sold what shoppers were told.
fn check_counts(report: &Value) {
    let number = |value: &Value| value.as_u64().expect("a number");
    let total = &report["total"];
    let of_phases = |key: &str| -> u64 {
        let phases = report["phases"].as_array().expect("phases").iter();
        phases.map(|phase| number(&phase["numbers"][key])).sum()
    };
    for key in ["intended", "answered", "failed", "refused"] {
        assert_eq!(number(&total[key]), of_phases(key), "{key}");
    }
    assert!(number(&total["intended"]) > 50, "{total}");
    assert!(number(&total["refused"]) > 0, "20 items sell out");
    let sale = &report["sale"];
    assert_eq!(number(&sale["shop"]["total"]), 20);
    assert!(number(&sale["orders_acknowledged"]) > 0);
    assert!(number(&sale["paid_acknowledged"]) <= number(&sale["shop"]["sold"]));
}

pub fn load(platform: &Platform) {
    let page = format!("http://127.0.0.1:{}/", platform.http);
    let mut words = vec!["load", &page, "--rate", "50/s", "--duration", "1s"];
    words.extend(["--spacing", "even", "--json", "--expect", "404"]);
    words.extend(["-H", "Host: nobody.apps.localhost"]);
    let output = platform.cfx(&words);
    let code = output.status.code();
    assert!(matches!(code, Some(HELD | VOID)), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["intended"], 50);
    assert_eq!(report["statuses"]["404"]["count"], 50, "{report}");

    let nobody = format!("http://127.0.0.1:{}/", free_port());
    let mut words = vec!["load", &nobody, "--rate", "20/s", "--duration", "1s"];
    words.extend(["--fail-if", "errors > 1%"]);
    let output = platform.cfx(&words);
    let code = output.status.code();
    assert!(matches!(code, Some(NOT_HELD | VOID)), "{}", text(&output));
    assert!(
        text(&output).contains("connection refused"),
        "{}",
        text(&output)
    );
    let remote = platform.cfx(&["load", "http://192.0.2.1/"]);
    assert!(
        text(&remote).contains("--allow-remote"),
        "{}",
        text(&remote)
    );
}
