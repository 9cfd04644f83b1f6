//! Policies of app-autoscaler, good and bad, and back.

use serde_json::json;

use super::{Extras, export, import};
use crate::Policy;

/// 2026-06-01 00:00:00 UTC.
const NOW: i64 = 1_780_272_000;

fn full() -> serde_json::Value {
    json!({
        "schema-version": "0.1",
        "credential-type": "x509",
        "instance_min_count": 1,
        "instance_max_count": 20,
        "configuration": {
            "custom_metrics": { "metric_submission_strategy": { "allow_from": "bound_app" } },
            "app_guid": "8d0cee08-23ad-4813-a779-ad8118ea0b91"
        },
        "scaling_rules": [
            { "metric_type": "cpuutil", "operator": ">", "threshold": 90,
              "breach_duration_secs": 3600, "cool_down_secs": 60, "adjustment": "+40%" },
            { "metric_type": "memoryused", "operator": "<=", "threshold": 300, "adjustment": "-1" },
            { "metric_type": "jobs_waiting", "operator": ">=", "threshold": -5, "adjustment": "+150%",
              "stats_window_secs": 120 },
            { "metric_type": "responsetime", "operator": ">", "threshold": 500, "adjustment": "+2" }
        ],
        "schedules": {
            "timezone": "America/Argentina/Buenos_Aires ",
            "recurring_schedule": [
                { "start_time": "10:00", "end_time": "18:00", "days_of_week": [1, 2, 3],
                  "instance_min_count": 1, "instance_max_count": 10, "initial_min_instance_count": 5 },
                { "start_date": "2026-06-27", "end_date": "2027-01-23", "start_time": "11:00",
                  "end_time": "19:30", "days_of_month": [5, 15, 25],
                  "instance_min_count": 3, "instance_max_count": 10, "initial_min_instance_count": 0 }
            ],
            "specific_date": [
                { "start_date_time": "2026-11-27T19:55", "end_date_time": "2026-11-28T22:00",
                  "instance_min_count": 200, "instance_max_count": 400 }
            ]
        }
    })
}

#[test]
fn every_field_is_understood() {
    let imported = import(&full().to_string(), Some(NOW)).expect("a policy");
    insta::assert_snapshot!(imported.policy.to_string(), @r#"
    scale 40% if avg of CPU >90% for 1h cool down 1m round half
    scale in by 1 if avg of memory <=300MB for 2m round half
    scale 150% if avg of jobs_waiting >=-5 for 2m round half
    scale by 2 if avg of p90 response time >500ms for 2m round half
    between 1 and 20 instances
    one cool down for both directions
    every Mon-Wed 10:00-18:00 America/Argentina/Buenos_Aires keep 1 to 10 starting at 5
    every 5,15,25 of the month 11:00-19:30 America/Argentina/Buenos_Aires from 2026-06-27 until 2027-01-23 keep 3 to 10
    from 2026-11-27 19:55 to 2026-11-28 22:00 America/Argentina/Buenos_Aires keep 200 to 400
    "#);
    assert_eq!(
        imported.extras,
        Extras {
            versioned: true,
            credential_type: Some("x509".to_owned()),
            allow_from: Some("bound_app".to_owned()),
            app_guid: Some("8d0cee08-23ad-4813-a779-ad8118ea0b91".to_owned()),
        }
    );
    assert_eq!(imported.notes.len(), 2, "{:?}", imported.notes);
}

#[test]
fn what_came_in_goes_out_again() {
    let imported = import(&full().to_string(), None).expect("a policy");
    let exported = export(&imported.policy, &imported.extras);
    assert_eq!(exported.differences, Vec::<String>::new());
    let again = import(&exported.json.to_string(), None).expect("a policy");
    assert_eq!(again.policy, imported.policy);
    assert_eq!(again.extras, imported.extras);
    assert_eq!(
        exported.json["scaling_rules"][0],
        json!({
            "metric_type": "cpuutil", "operator": ">", "threshold": 90,
            "breach_duration_secs": 3600, "cool_down_secs": 60, "adjustment": "+40%"
        })
    );
}

#[test]
fn the_legacy_form_has_no_version_and_is_lenient() {
    let legacy = json!({
        "instance_min_count": 1, "instance_max_count": 4, "remark": "ours",
        "scaling_rules": [{ "metric_type": "cpu", "operator": "<", "threshold": 30, "adjustment": "-1" }]
    });
    let imported = import(&legacy.to_string(), None).expect("a policy");
    assert!(!imported.extras.versioned);
    assert_eq!(imported.notes, ["remark is ignored"]);
    let mut versioned = legacy.clone();
    versioned["schema-version"] = json!("0.1");
    let error = import(&versioned.to_string(), None)
        .expect_err("strict")
        .to_string();
    assert_eq!(error, "remark: is no field of a policy");
    assert!(
        export(&imported.policy, &imported.extras)
            .json
            .get("schema-version")
            .is_none()
    );
}

/// The policy with one field changed, by JSON pointer.
fn changed(pointer: &str, value: serde_json::Value) -> String {
    let mut policy = full();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = policy.pointer_mut(parent).expect("a parent");
    match value {
        serde_json::Value::Null => {
            parent.as_object_mut().expect("an object").remove(name);
        }
        value => parent[name] = value,
    }
    policy.to_string()
}

#[test]
fn errors_name_the_path_of_the_field() {
    let cases = [
        ("/schema-version", json!("0.2"), "schema-version: must be"),
        (
            "/credential-type",
            json!("none"),
            "credential-type: must be one of",
        ),
        (
            "/instance_min_count",
            json!(0),
            "instance_min_count: must be a whole number",
        ),
        (
            "/instance_min_count",
            json!(null),
            "instance_min_count: is missing",
        ),
        (
            "/instance_min_count",
            json!(21),
            "instance_min_count: must not exceed",
        ),
        (
            "/configuration/custom_metrics/metric_submission_strategy/allow_from",
            json!("all"),
            "configuration.custom_metrics.metric_submission_strategy.allow_from: must be one of",
        ),
        (
            "/scaling_rules/0/threshold",
            json!(101),
            "scaling_rules[0].threshold: must be a whole number from 1 to 100",
        ),
        (
            "/scaling_rules/0/threshold",
            json!(90.5),
            "scaling_rules[0].threshold: must be a whole",
        ),
        (
            "/scaling_rules/0/operator",
            json!("=="),
            "scaling_rules[0].operator: must be one of",
        ),
        (
            "/scaling_rules/0/adjustment",
            json!("40%"),
            "scaling_rules[0].adjustment: must be a step",
        ),
        (
            "/scaling_rules/0/adjustment",
            json!("+0"),
            "scaling_rules[0].adjustment: must be a step",
        ),
        (
            "/scaling_rules/0/adjustment",
            json!(1),
            "scaling_rules[0].adjustment: must be a text",
        ),
        (
            "/scaling_rules/0/breach_duration_secs",
            json!(3601),
            "scaling_rules[0].breach_duration_secs: must be",
        ),
        (
            "/scaling_rules/0/cool_down_secs",
            json!(59),
            "scaling_rules[0].cool_down_secs: must be",
        ),
        (
            "/scaling_rules/2/metric_type",
            json!("a-b"),
            "scaling_rules[2].metric_type: must be 1 to 100",
        ),
        ("/scaling_rules", json!({}), "scaling_rules: must be a list"),
        (
            "/schedules/timezone",
            json!("Mars"),
            "schedules.timezone: is no time zone",
        ),
        (
            "/schedules/timezone",
            json!(null),
            "schedules.timezone: is missing",
        ),
        (
            "/schedules/recurring_schedule/0/end_time",
            json!("09:59"),
            "schedules.recurring_schedule[0].end_time: must be after",
        ),
        (
            "/schedules/recurring_schedule/0/end_time",
            json!("9:59"),
            "schedules.recurring_schedule[0].end_time: must be a time",
        ),
        (
            "/schedules/recurring_schedule/0/days_of_week",
            json!([8]),
            "schedules.recurring_schedule[0].days_of_week: must be a list",
        ),
        (
            "/schedules/recurring_schedule/0/days_of_month",
            json!([1]),
            "schedules.recurring_schedule[0].days_of_week: must be there",
        ),
        (
            "/schedules/recurring_schedule/0/initial_min_instance_count",
            json!(11),
            "schedules.recurring_schedule[0].initial_min_instance_count: must lie",
        ),
        (
            "/schedules/recurring_schedule/1/start_date",
            json!("2026-05-01"),
            "schedules.recurring_schedule[1].start_date: is in the past",
        ),
        (
            "/schedules/specific_date/0/start_date_time",
            json!("2026-05-01T10:00"),
            "schedules.specific_date[0].start_date_time: is in the past",
        ),
        (
            "/schedules/specific_date/0/end_date_time",
            json!("2026-11-27T19:55"),
            "schedules.specific_date[0].end_date_time: must be after",
        ),
    ];
    for (pointer, value, wanted) in cases {
        let policy = changed(pointer, value);
        let error = import(&policy, Some(NOW)).expect_err(pointer).to_string();
        assert!(error.contains(wanted), "{pointer}: {error}");
    }
    for (text, wanted) in [("{", "no JSON"), ("[]", "must be an object")] {
        let error = import(text, None).expect_err(text).to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let none = r#"{"instance_min_count": 1, "instance_max_count": 2}"#;
    let error = import(none, None).expect_err("neither").to_string();
    assert_eq!(error, "policy: needs scaling_rules or schedules");
}

#[test]
fn all_errors_come_at_once() {
    let mut policy = full();
    policy["instance_max_count"] = json!("many");
    policy["scaling_rules"][1]["operator"] = json!("!");
    policy["scaling_rules"][3]["threshold"] = json!(-1);
    let error = import(&policy.to_string(), None).expect_err("three");
    assert_eq!(error.fields.len(), 3, "{error}");
}

#[test]
fn two_of_a_kind_may_not_overlap() {
    let mut policy = full();
    let mut twin = policy["schedules"]["recurring_schedule"][0].clone();
    twin["days_of_week"] = json!([3, 4]);
    policy["schedules"]["recurring_schedule"]
        .as_array_mut()
        .expect("a list")
        .push(twin);
    let error = import(&policy.to_string(), None)
        .expect_err("an overlap")
        .to_string();
    assert!(error.contains("recurring_schedule[2].start"), "{error}");
}

#[test]
fn what_cannot_be_said_is_listed() {
    let policy = Policy::parse(
        "scale 40% if CPU >90.5% for 20s cool down 0s at most 5
         scale to 20 if avg of throughput >5/s
         scale by 1 if CPU >90% and memory >80%
         scale by 1 if avg of in-flight >5
         every day 22:00-6:00 keep 2
         every day 6:00-7:00 Asia/Tokyo keep 2",
    );
    let exported = export(&policy.expect("a policy"), &Extras::default());
    insta::assert_snapshot!(exported.differences.join("\n"), @r#"
    rule 1: the average of the instances counts
    rule 1: counts round half up
    rule 1: least and most steps are dropped
    rule 1: the threshold becomes 90
    rule 1: the duration becomes 60 seconds
    rule 1: the cool-down becomes 60 seconds
    rule 2: is left out: there is no way to name a target
    rule 3: is left out: it has several comparisons
    rule 4: is left out: there is no metric for in-flight
    a cool-down would hold back both directions
    `every day 22:00-6:00 UTC keep 2 to 2` is left out: none may run over midnight
    `every day 6:00-7:00 Asia/Tokyo keep 2 to 2` is left out: all schedules have one time zone
    "#);
    assert_eq!(
        exported.json["scaling_rules"].as_array().map(Vec::len),
        Some(1)
    );
}
