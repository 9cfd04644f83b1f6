//! The language, by examples: canonical forms, errors, and that what is printed reads back.

use proptest::prelude::*;

use super::document;
use crate::Policy;
use crate::ast::*;
use crate::units::ONE;

fn canonical(text: &str) -> String {
    match document(text) {
        Ok(document) => document.to_string(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn each_way_of_saying_it_has_one_canonical_form() {
    let cases = [
        (
            "scale 40% if CPU >90% for 1h",
            "scale 40% if CPU >90% for 1h",
        ),
        ("SCALE OUT +40% WHEN all of cpu > 90 % FOR 60 minutes", ""),
        (
            "scale +40% if every CPU above 90% for 1h",
            "scale 40% if CPU >90% for 1h",
        ),
        (
            "scale in 20% if CPU <20% for 30m",
            "scale in 20% if CPU <20% for 30m",
        ),
        (
            "scale -20% if CPU under 20% for 1800s",
            "scale in 20% if CPU <20% for 30m",
        ),
        (
            "scale by 5 if p95 of CPU >=80.5% for 90s",
            "scale by 5 if p95 of CPU >=80.5% for 1m30s",
        ),
        (
            "scale out by 40% if CPU >90%",
            "scale 40% if CPU >90% for 2m",
        ),
        (
            "scale to 120 if throughput > 100 requests/s for 10s",
            "scale to 120 if throughput >100/s for 10s",
        ),
        (
            "scale by 1 if latency >1.5s for 1m every 10s",
            "scale by 1 if p95 response time >1500ms for 1m every 10s",
        ),
        (
            "scale by 1 if avg p99 response time > 300ms for 1m",
            "scale by 1 if avg of p99 response time >300ms for 1m",
        ),
        (
            "scale 50% if memory >1.5GB for 5m",
            "scale 50% if memory >1536MB for 5m",
        ),
        (
            "scale 50% if max of queue depth >10 for 1m",
            "scale 50% if max of queue depth >10 for 1m",
        ),
        (
            "scale 50% if metric cpu >=-3 for 1m",
            "scale 50% if metric cpu >=-3 for 1m",
        ),
        (
            "scale 50% if orders_open >10 for 1m",
            "scale 50% if orders_open >10 for 1m",
        ),
        (
            "scale 9% if CPU >90% and memory >80% for 10m",
            "scale 9% if CPU >90% for 10m and memory >80% for 10m",
        ),
        (
            "scale 9% if (CPU >90% or in flight >5 for 5s) for 1m and crashes > 2 for 3m",
            "scale 9% if (CPU >90% for 1m or in-flight >5 for 5s) and crashes >2 for 3m",
        ),
        (
            "scale 9% if ((CPU >90%) and (memory >80% and disk >1GB)) for 1m",
            "scale 9% if CPU >90% for 1m and memory >80% for 1m and disk >1024MB for 1m",
        ),
    ];
    for (text, wanted) in cases {
        let wanted = if wanted.is_empty() {
            cases[0].1
        } else {
            wanted
        };
        assert_eq!(canonical(text), wanted, "{text}");
        assert_eq!(canonical(wanted), wanted);
    }
}

#[test]
fn clauses_come_in_any_order_and_print_in_one() {
    let text = "scale 40% if CPU >90% for 1h, cool down 10m at most +100 each time \
                on missing fallback 20 warmup 1m carry evidence at least 2 \
                between 10 and 300 instances round half forgive restarts";
    let printed = "scale 40% if CPU >90% for 1h between 10 and 300 instances at least 2 each time \
                   at most 100 each time cool down 10m warm up 1m round half \
                   on missing fallback 20 carry evidence forgive restarts";
    assert_eq!(canonical(text), printed);
    assert_eq!(canonical(printed), printed);
}

#[test]
fn schedules_have_canonical_forms_too() {
    for (text, wanted) in [
        (
            "from 2026-11-27 19:55 to 22:00 Asia/Shanghai keep 200 to 400",
            "from 2026-11-27 19:55 to 22:00 Asia/Shanghai keep 200 to 400",
        ),
        (
            "from 2026-11-27T23:00 to 1:30 keep 20",
            "from 2026-11-27 23:00 to 2026-11-28 1:30 UTC keep 20 to 20",
        ),
        (
            "every Mon-Fri 9:00-18:00 Europe/Berlin keep 4 to 40 instances starting at 10",
            "every Mon-Fri 9:00-18:00 Europe/Berlin keep 4 to 40 starting at 10",
        ),
        (
            "every weekday 09:00 to 24:00 keep 4 to 40",
            "every Mon-Fri 9:00-0:00 UTC keep 4 to 40",
        ),
        (
            "every Fri-Sun,Wed 22:00-6:00 keep 1 to 2",
            "every Wed,Fri-Sun 22:00-6:00 UTC keep 1 to 2",
        ),
        (
            "every monday,Tue 1:00-2:00 keep 1 to 2",
            "every Mon,Tue 1:00-2:00 UTC keep 1 to 2",
        ),
        (
            "every 1st, 15th, 20-25 of the month 0:00-1:00 America/New_York from 2026-01-01 until 2026-06-30 keep 5 to 9",
            "every 1,15,20-25 of the month 0:00-1:00 America/New_York from 2026-01-01 until 2026-06-30 keep 5 to 9",
        ),
        (
            "every day 1:00-2:00 Etc/GMT+8 keep 3",
            "every day 1:00-2:00 Etc/GMT+8 keep 3 to 3",
        ),
    ] {
        assert_eq!(canonical(text), wanted, "{text}");
        assert_eq!(canonical(wanted), wanted);
    }
}

#[test]
fn the_rule_is_understood_in_chinese() {
    let rule = "scale 40% if CPU >90% for 1h";
    for (text, wanted) in [
        (
            "当所有实例CPU利用率在1小时内持续在90%以上时,实例数扩展40%",
            rule,
        ),
        (
            "当所有实例ＣＰＵ利用率在１小时内持续在９０％以上时，实例数扩展４０％。",
            rule,
        ),
        ("所有实例的 CPU 使用率高于90%持续一小时，扩容40%", rule),
        (
            "如果全部实例CPU在60分钟内一直超过90%，则实例数增加40%",
            rule,
        ),
        (
            "当任一实例内存使用率在5分钟内持续在80%以上时，实例数增加2个",
            "scale by 2 if any of memory >80% for 5m",
        ),
        (
            "当实例平均CPU利用率在30分钟内持续在20%以下时，实例数缩减20%",
            "scale in 20% if avg of CPU <20% for 30m",
        ),
        (
            "当所有实例的平均CPU利用率持续90秒不低于75.5%时，实例数扩展到120个",
            "scale to 120 if avg of CPU >=75.5% for 1m30s",
        ),
        (
            "当内存用量持续10秒大于1.5GB或响应时间超过300毫秒持续10秒时，扩展5个，冷却5分钟，预热10秒，实例数10到300",
            "scale by 5 if memory >1536MB for 10s or p95 response time >300ms for 10s \
             between 10 and 300 instances warm up 10s",
        ),
        (
            "当吞吐量高于100次/秒持续10秒且队列深度在50以上时，扩展30%",
            "scale 30% if throughput >100/s for 10s and queue depth >50 for 2m",
        ),
    ] {
        assert_eq!(canonical(text), wanted, "{text}");
    }
}

#[test]
fn a_policy_has_many_statements() {
    let text = "# flash sale\nscale 40% if CPU >90% for 1h; scale in 20% if CPU <20% for 30m # calm\n\n\
                between 10 and 300 instances\none cool down for both directions\n";
    let policy = Policy::parse(text).expect("a policy");
    assert_eq!(policy.rules().len(), 2);
    assert_eq!(policy.limits(), Range { min: 10, max: 300 });
    assert_eq!(policy.to_string().lines().count(), 4);
    let stored = serde_json::to_string(&policy).expect("text");
    assert_eq!(
        serde_json::from_str::<Policy>(&stored).expect("the same"),
        policy
    );
}

#[test]
fn errors_point_at_the_column_and_say_what_is_allowed() {
    let shown = |text: &str| document(text).expect_err(text).to_string();
    let cases = [
        "scale 40% if CPUU >90% for 1h",
        "scale 40 if CPU >90% for 1h",
        "scale 40% if CPU >90 for 1h",
        "scale 40% if CPU 90% for 1h",
        "scale 40% if CPU >90% for 1x",
        "scale 40% if CPU >90% for 1h sometimes",
        "scale 40% if (CPU >90% for 1h",
        "scale 40% if p95 of response time >300ms",
        "scale 40% if p75 response time >300ms",
        "scale 40% if CPU >90% cool down 5m cool down 6m",
        "scale 40% if CPU >90% for 99999999999h",
        "every Mon-Fry 9:00-18:00 keep 4 to 40",
        "from 2026-13-01 9:00 to 10:00 keep 4",
        "every 32 of the month 9:00-18:00 keep 4 to 40",
        "grow 40% if CPU >90%",
        "scale 40%",
        "当所有实例CPU利用率在1小时内持续在90%时,实例数扩展40%",
        "between 10 and 20\nbetween 10 and 30",
    ];
    let all: Vec<String> = cases.iter().map(|text| shown(text)).collect();
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    for (text, reason) in [
        ("between 20 and 10", "between 20 and 10 instances"),
        ("between 0 and 10", "the least is 1 or more"),
        ("scale 0% if CPU >90%", "the amount must be 1"),
        ("scale 40% if CPU >90% for 2d", "`for` is 1s to 1d"),
        (
            "scale 40% if CPU >90% for 1m every 2m",
            "`every` is 1s to 1h",
        ),
        ("scale 40% if CPU >90% for 1d every 1s", "too fine"),
        (
            "scale 40% if CPU >90% at least 5 at most 4",
            "`at least` must be",
        ),
        (
            "scale in 40% if CPU <90% on missing fallback 4",
            "never shrinks",
        ),
        (
            "every day 9:00-10:00 Mars/Olympus keep 4",
            "no such time zone",
        ),
        (
            "from 2026-11-27 9:00 to 2026-11-26 9:00 keep 4",
            "ends before it begins",
        ),
        (
            "every day 9:00-10:00 keep 4 to 8 starting at 9",
            "outside what is kept",
        ),
        (
            "every day 9:00-10:00 from 2026-02-01 until 2026-01-01 keep 4",
            "last day",
        ),
    ] {
        let error = Policy::parse(text).expect_err(text).to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
    let many = "scale 1% if CPU >90%\n".repeat(33);
    assert!(Policy::parse(&many).is_err());
    assert!(document(&"#".repeat(40_000)).is_err());
    let deep = format!("scale 1% if {}CPU >90%", "(".repeat(5_000));
    assert!(document(&deep).is_err());
}

fn metric() -> impl Strategy<Value = Metric> {
    prop_oneof![
        Just(Metric::Cpu),
        Just(Metric::CoreCpu),
        Just(Metric::Memory),
        Just(Metric::MemoryUsed),
        Just(Metric::Disk),
        Just(Metric::DiskUsed),
        Just(Metric::Throughput),
        Just(Metric::ResponseTime(Latency::P50)),
        Just(Metric::ResponseTime(Latency::P99)),
        Just(Metric::InFlight),
        Just(Metric::Crashes),
        "[a-zA-Z0-9_]{1,12}".prop_map(Metric::Custom),
        prop::sample::select(vec![
            "queue_depth",
            "cpu",
            "for",
            "p95",
            "in",
            "of",
            "9x",
            "at",
            "s"
        ])
        .prop_map(|name| Metric::Custom(name.to_owned())),
    ]
}

fn comparison() -> impl Strategy<Value = Condition> {
    let over = prop_oneof![
        Just(Over::All),
        Just(Over::Any),
        Just(Over::Avg),
        Just(Over::Min),
        Just(Over::Max),
        (1..=99_u8).prop_map(Over::Percentile),
    ];
    let op = prop::sample::select(vec![Op::Above, Op::AtLeast, Op::Below, Op::AtMost]);
    let threshold = prop_oneof![0..200 * ONE, -1_000_000 * ONE..1_000_000 * ONE];
    let every = prop::option::of(1..100_u32);
    (over, metric(), op, threshold, 1..90_000_u32, every).prop_map(
        |(over, metric, op, threshold, for_s, every_s)| {
            Condition::Is(Comparison {
                over,
                metric,
                op,
                threshold,
                for_s,
                every_s,
            })
        },
    )
}

fn condition() -> impl Strategy<Value = Condition> {
    comparison().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::and),
            prop::collection::vec(inner, 2..4).prop_map(Condition::or),
        ]
    })
}

prop_compose! {
    fn rule()(
        out in any::<bool>(),
        amount in prop_oneof![
            (1..500_u32).prop_map(Amount::Percent),
            (1..500_u32).prop_map(Amount::By),
            (1..500_u32).prop_map(Amount::To),
        ],
        condition in condition(),
        between in prop::option::of((1..50_u32, 0..500_u32)),
        steps in (1..9_u32, prop::option::of(9..900_u32)),
        waits in (0..9_000_u32, 0..9_000_u32),
        round in prop::sample::select(vec![Round::Up, Round::Half, Round::Down]),
        on_missing in prop::sample::select(vec![
            OnMissing::Hold, OnMissing::AssumeBreach, OnMissing::AssumeOk, OnMissing::Fallback(7),
        ]),
        carry in (any::<bool>(), any::<bool>()),
    ) -> Rule {
        let evidence = |carry| if carry { Evidence::Carry } else { Evidence::Restart };
        let direction = if out { Direction::Out } else { Direction::In };
        Rule {
            between: between.map(|(min, more)| Range { min, max: min + more }),
            min_step: steps.0,
            max_step: steps.1,
            cool_down_s: waits.0,
            warm_up_s: waits.1,
            round,
            on_missing,
            after_scale: evidence(carry.0),
            after_restart: evidence(carry.1),
            ..Rule::new(direction, amount, condition)
        }
    }
}

fn schedule() -> impl Strategy<Value = Schedule> {
    use jiff::civil::{Date, Time};
    let time = || (0..24_i8, 0..60_i8).prop_map(|(h, m)| Time::constant(h, m, 0, 0));
    let date =
        || (2020..2040_i16, 1..13_i8, 1..29_i8).prop_map(|(y, m, d)| Date::constant(y, m, d));
    let days = prop_oneof![
        (1..128_u8).prop_map(Days::Week),
        (1..u32::MAX / 2).prop_map(|bits| Days::Month(bits << 1)),
    ];
    let bound = || prop::option::of(date());
    let when = prop_oneof![
        (date(), time(), date(), time()).prop_map(|(a, b, c, d)| When::Once {
            start: a.to_datetime(b),
            end: c.to_datetime(d),
        }),
        (days, time(), time(), bound(), bound()).prop_map(|(days, start, end, first, last)| {
            When::Every {
                days,
                start,
                end,
                first,
                last,
            }
        }),
    ];
    let zone = prop::sample::select(vec![
        "UTC",
        "Asia/Shanghai",
        "America/Argentina/Buenos_Aires",
        "Etc/GMT-3",
    ]);
    (
        when,
        zone,
        1..50_u32,
        0..500_u32,
        prop::option::of(1..99_u32),
    )
        .prop_map(|(when, zone, min, more, starting_at)| Schedule {
            when,
            zone: zone.to_owned(),
            keep: Range {
                min,
                max: min + more,
            },
            starting_at,
        })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(
        rules in prop::collection::vec(rule(), 0..4),
        schedules in prop::collection::vec(schedule(), 0..4),
        limits in prop::option::of((1..50_u32, 0..500_u32)),
        shared_cool_down in any::<bool>(),
    ) {
        let limits = limits.map(|(min, more)| Range { min, max: min + more });
        let written = Document { rules, schedules, limits, shared_cool_down };
        let text = written.to_string();
        let read = document(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(read, written);
    }

    #[test]
    fn no_text_brings_the_parser_down(text in "\\PC{0,80}") {
        Policy::parse(&text).ok();
    }

    #[test]
    fn no_cut_or_changed_rule_brings_the_parser_down(
        cut in 0..90_usize, at in 0..90_usize, what in any::<char>(),
    ) {
        let rule = "scale 40% if (avg of CPU >90% for 1h or queue depth >5) and p95 response time >2s";
        let mut chars: Vec<char> = rule.chars().take(cut).collect();
        let at = at.min(chars.len());
        chars.insert(at, what);
        let text: String = chars.into_iter().collect();
        if let Err(crate::PolicyError::Parse(error)) = Policy::parse(&text) {
            prop_assert!(error.column <= text.chars().count() + 1);
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
