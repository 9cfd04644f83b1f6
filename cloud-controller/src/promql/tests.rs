//! Golden tables: what queries come to over a few series, and how wrong ones are answered.

use super::*;

/// Six seconds of a few series, the last at 1006.
struct Few;

fn stream(name: &str, app: &str, index: &str, values: &[f64]) -> Stream {
    let labels = [
        ("__name__", name),
        ("source_id", app),
        ("instance_id", index),
    ];
    let points = (1_001..).zip(values).filter(|(_, value)| !value.is_nan());
    let point = |(at, value): (i64, &f64)| Point {
        at_ms: at * 1_000,
        width_ms: 1_000,
        count: 1,
        sum: *value,
        min: *value,
        max: *value,
    };
    Stream {
        labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        points: points.map(point).collect(),
    }
}

fn all() -> Vec<Stream> {
    let hole = f64::NAN;
    vec![
        stream("cpu", "shop", "0", &[10.0, 20.0, 30.0, 40.0, 50.0, 60.0]),
        stream("cpu", "shop", "1", &[90.0, 90.0, hole, hole, 90.0, 30.0]),
        stream("cpu", "blog", "0", &[5.0, 5.0, 5.0, 5.0, 5.0, 5.0]),
        stream(
            "http_requests",
            "shop",
            "0",
            &[0.0, 4.0, 0.0, 0.0, 0.0, 8.0],
        ),
        stream("http_errors", "shop", "0", &[0.0, 1.0, 0.0, 0.0, 0.0, 2.0]),
        stream("crashes", "shop", "0", &[1.0, 1.0, 2.0, 0.0, 1.0, 1.0]),
    ]
}

impl Source for Few {
    fn load(
        &self,
        selector: &Selector,
        after_ms: i64,
        until_ms: i64,
    ) -> Result<Vec<Stream>, Error> {
        let fits = |stream: &Stream| {
            let of = |label: &str| stream.labels.get(label).map_or("", String::as_str);
            selector.matchers.iter().all(|it| it.admits(of(&it.label)))
        };
        let mut streams: Vec<_> = all().into_iter().filter(fits).collect();
        for stream in &mut streams {
            stream
                .points
                .retain(|point| point.at_ms > after_ms && point.at_ms <= until_ms);
        }
        Ok(streams)
    }
}

const NOW_MS: i64 = 1_006_000;

/// `shop/0=60 shop/1=30`, or the error.
fn ask(query: &str) -> String {
    let parsed = parse(query);
    let value = parsed.and_then(|query| instant(&query, &Few, NOW_MS));
    match value {
        Ok(value) => show(&value),
        Err(error) => error.to_string(),
    }
}

fn show(value: &Value) -> String {
    let name = |labels: &Labels| {
        let of = |label: &str| labels.get(label).cloned();
        let parts = [of("__name__"), of("source_id"), of("instance_id")];
        parts.into_iter().flatten().collect::<Vec<_>>().join("/")
    };
    match value {
        Value::Scalar(_, value) => value.to_string(),
        Value::Vector(_, values) => {
            let each = values
                .iter()
                .map(|(labels, value)| format!("{}={value}", name(labels)));
            each.collect::<Vec<_>>().join(" ")
        }
        Value::Matrix(series) => {
            let each = series.iter().map(|(labels, values)| {
                let values = values
                    .iter()
                    .map(|(at, value)| format!("{}:{value}", at / 1_000 - 1_000));
                format!(
                    "{}=[{}]",
                    name(labels),
                    values.collect::<Vec<_>>().join(" ")
                )
            });
            each.collect::<Vec<_>>().join(" ")
        }
    }
}

#[test]
fn queries_come_to_what_prometheus_makes_of_them() {
    for (query, expected) in [
        ("cpu", "cpu/shop/0=60 cpu/shop/1=30 cpu/blog/0=5"),
        (r#"cpu{source_id="blog"}"#, "cpu/blog/0=5"),
        (r#"cpu{source_id!="shop"}"#, "cpu/blog/0=5"),
        (
            r#"cpu{source_id=~"shop|none",instance_id!~"[1-9]"}"#,
            "cpu/shop/0=60",
        ),
        (
            r#"{__name__=~"cpu|crashes",instance_id="0",source_id="shop"}"#,
            "cpu/shop/0=60 crashes/shop/0=1",
        ),
        (
            r#"cpu{source_id="shop"} offset 2s"#,
            "cpu/shop/0=40 cpu/shop/1=90",
        ),
        (r#"cpu{instance_id="1"}[4s]"#, "cpu/shop/1=[5:90 6:30]"),
        (
            r#"cpu{instance_id="1"}[2s] offset 4s"#,
            "cpu/shop/1=[1:90 2:90]",
        ),
        (
            r#"{__name__=~"cpu|http_requests",source_id="shop",instance_id="0"}[2s]"#,
            "cpu/shop/0=[5:50 6:60] http_requests/shop/0=[5:0 6:8]",
        ),
        ("nothing", ""),
        ("1 + 2 * 3 - -4", "11"),
        ("(1 + 2) * 3 / 2", "4.5"),
        ("1 > bool 2", "0"),
        (r#"sum_over_time(http_requests[6s])"#, "shop/0=12"),
        (
            r#"avg_over_time(cpu{source_id="shop"}[6s])"#,
            "shop/0=35 shop/1=75",
        ),
        (
            r#"min_over_time(cpu{source_id="shop"}[3s])"#,
            "shop/0=40 shop/1=30",
        ),
        (
            r#"max_over_time(cpu{source_id="shop"}[3s])"#,
            "shop/0=60 shop/1=90",
        ),
        (
            r#"count_over_time(cpu{source_id="shop"}[1m])"#,
            "shop/0=6 shop/1=4",
        ),
        (
            r#"last_over_time(cpu{instance_id="1"}[1m])"#,
            "cpu/shop/1=30",
        ),
        (
            r#"quantile_over_time(0.5, cpu{source_id="shop",instance_id="0"}[6s])"#,
            "shop/0=35",
        ),
        // 1 -> 2, then a restart to 0 and 1: two more; five seconds, carried on to six.
        ("increase(crashes[6s])", "shop/0=2.4"),
        ("rate(crashes[6s])", "shop/0=0.39999999999999997"),
        ("sum(cpu)", "=95"),
        ("avg by (source_id) (cpu)", "blog=5 shop=45"),
        ("max(cpu) by (source_id)", "blog=5 shop=60"),
        ("min without (instance_id) (cpu)", "blog=5 shop=30"),
        ("count(cpu > 20)", "=2"),
        ("quantile(0.5, cpu)", "=30"),
        ("topk(2, cpu)", "cpu/shop/0=60 cpu/shop/1=30"),
        ("bottomk(1, cpu)", "cpu/blog/0=5"),
        ("cpu >= 30", "cpu/shop/0=60 cpu/shop/1=30"),
        ("30 < cpu", "cpu/shop/0=60"),
        ("cpu == bool 5", "shop/0=0 shop/1=0 blog/0=1"),
        (r#"cpu{source_id="blog"} * 2 + 1"#, "blog/0=11"),
        (r#"-cpu{source_id="blog"}"#, "blog/0=-5"),
        ("http_errors / http_requests * 100", "shop/0=25"),
    ] {
        assert_eq!(ask(query), expected, "{query}");
    }
}

#[test]
fn a_query_that_is_wrong_says_where_and_what_to_do() {
    for (query, expected) in [
        (
            "",
            "at character 1: the query is empty: name a series, such as cpu",
        ),
        (
            "cpu{",
            "at character 5: a label should be here, such as source_id",
        ),
        (
            "cpu{source_id",
            "at character 14: one of = != =~ !~ should be here",
        ),
        (
            "cpu{source_id=shop}",
            "at character 15: a value in quotes should be here",
        ),
        (
            r#"cpu{source_id="shop"#,
            "at character 15: the text that begins here has no end: close its quotes",
        ),
        (
            r#"cpu{source_id=~"("}"#,
            "at character 19: the expression \"(\" is not valid: ",
        ),
        (
            "cpu[5]",
            "at character 5: a duration such as 15s or 1h30m should be here",
        ),
        ("cpu[90d]", "at character 5: a duration may be 14d at most"),
        (
            "rate(cpu)",
            "at character 6: the function wants a time after the series, such as cpu[1m]",
        ),
        (
            "avg_over_time(sum(cpu))",
            "at character 15: the function wants a series over a time, such as cpu[1m]",
        ),
        (
            "stddev(cpu)",
            "at character 1: there is no function stddev: use one of rate, ",
        ),
        (
            "cpu and cpu",
            "at character 5: 'and' is not supported: send two queries",
        ),
        ("cpu % 2", "at character 5: '%' is not part of a query"),
        (
            "cpu cpu",
            "at character 5: the query should end here, or go on with an operator",
        ),
        ("sum(cpu", "at character 8: ')' is missing here"),
        ("{}", "at character 3: name a series or at least one label"),
        (
            "1 > 2",
            "two numbers are compared with bool, as in 1 > bool 2",
        ),
        (
            "sum(1)",
            "an aggregation wants series, and was given a number",
        ),
        (
            "sum(cpu[5s])",
            "a series over a time, such as cpu[1m], goes into a function, such as avg_over_time",
        ),
        (
            r#"sum_over_time({source_id="shop"}[5s])"#,
            "without their names several series are the same: select one name, or use last_over_time",
        ),
    ] {
        let answer = ask(query);
        assert!(answer.starts_with(expected), "{query}: {answer}");
    }
}

#[test]
fn a_range_is_evaluated_at_each_step_and_holes_stay_holes() {
    let at = |query: &str, step_ms| {
        let query = parse(query).expect("parses");
        show(&range(&query, &Few, (1_002_000, NOW_MS), step_ms).expect("a matrix"))
    };
    assert_eq!(
        at(r#"sum by (source_id) (cpu{source_id="shop"})"#, 2_000),
        "shop=[2:110 4:130 6:90]"
    );
    assert_eq!(
        at(r#"count_over_time(cpu{instance_id="1"}[1s])"#, 1_000),
        "shop/1=[2:1 5:1 6:1]"
    );
    assert_eq!(at("2 * 3", 4_000), "=[2:6 6:6]");
}

#[test]
fn what_is_too_much_is_refused_with_advice() {
    let query = parse("cpu").expect("parses");
    let steps = range(&query, &Few, (0, STEPS_MAX * 1_000), 1_000);
    let refused = steps.expect_err("too many").to_string();
    assert!(
        refused.contains("11000 steps: make step longer"),
        "{refused}"
    );
    for (start, end, step) in [(1, 0, 1), (0, 1, 0), (0, 1, -1)] {
        assert!(range(&query, &Few, (start, end), step).is_err());
    }
    let long = "x".repeat(QUERY_MAX_BYTES + 1);
    assert!(matches!(parse(&long), Err(Error::TooMuch { .. })));
    let deep = format!("{}1{}", "(".repeat(1_000), ")".repeat(1_000));
    assert!(parse(&deep).is_err());
    assert!(parse(&"-".repeat(5_000)).is_err());
    let many = vec!["cpu"; SELECTORS_MAX + 1].join("+");
    assert!(parse(&many).is_err());
}

#[test]
fn a_coarse_point_counts_for_all_that_it_stands_for() {
    let query = |text| parse(text).expect("parses");
    struct Coarse;
    impl Source for Coarse {
        fn load(&self, _: &Selector, _: i64, _: i64) -> Result<Vec<Stream>, Error> {
            let point = |at_ms, count, sum, min, max| Point {
                at_ms,
                width_ms: 60_000,
                count,
                sum,
                min,
                max,
            };
            Ok(vec![Stream {
                labels: Labels::new(),
                points: vec![
                    point(60_000, 60, 600.0, 1.0, 90.0),
                    point(120_000, 20, 20.0, 1.0, 1.0),
                ],
            }])
        }
    }
    for (text, expected) in [
        ("avg_over_time(x[5m])", 7.75),
        ("sum_over_time(x[5m])", 620.0),
        ("count_over_time(x[5m])", 80.0),
        ("max_over_time(x[5m])", 90.0),
        ("min_over_time(x[5m])", 1.0),
        // Still there 100 seconds later: two of its widths.
        ("x", 1.0),
    ] {
        let value = instant(&query(text), &Coarse, 220_000).expect("a value");
        let Value::Vector(_, values) = value else {
            panic!("{text}: {value:?}")
        };
        assert_eq!(values[0].1, expected, "{text}");
    }
    let gone = instant(&query("x"), &Coarse, 241_000).expect("a value");
    assert_eq!(gone, Value::Vector(241_000, Vec::new()));
}
