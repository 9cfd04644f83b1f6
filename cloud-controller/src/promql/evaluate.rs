//! A query over the series that a source loads: at one moment, or at many.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::ast::{Expr, Function, Grouping, Operation, Operator, Query, Selector};
use super::function;
use super::{Error, LOOKBACK_MS, STEPS_MAX, VALUES_MAX, WORK_MAX};

/// The label that a series's name is.
const NAME: &str = "__name__";
/// How far before an instant points are loaded, milliseconds: two of the coarsest.
const LOADED_BACK_MS: i64 = 2 * 60_000;

pub type Labels = BTreeMap<String, String>;

/// A value over the time that ends at `at_ms`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub at_ms: i64,
    pub width_ms: i64,
    /// Samples that it stands for.
    pub count: u32,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
}

impl Point {
    pub(super) fn value(&self) -> f64 {
        self.sum / f64::from(self.count.max(1))
    }
}

/// One series, its points in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    pub labels: Labels,
    pub points: Vec<Point>,
}

/// Where series come from.
pub trait Source {
    /// The points after the one moment up to the other, milliseconds.
    fn load(&self, selector: &Selector, after_ms: i64, until_ms: i64)
    -> Result<Vec<Stream>, Error>;
}

/// What a query comes to. Times are milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Scalar(i64, f64),
    Vector(i64, Vec<(Labels, f64)>),
    Matrix(Vec<(Labels, Vec<(i64, f64)>)>),
}

/// At one moment.
pub fn instant(query: &Query, source: &impl Source, at_ms: i64) -> Result<Value, Error> {
    let mut evaluation = Evaluation::load(query, source, at_ms, at_ms)?;
    if let Expr::Selector(selector) = &query.root
        && let Some(range_ms) = query.selectors[*selector].range_ms
    {
        return evaluation.raw(*selector, range_ms, at_ms);
    }
    Ok(match evaluation.eval(&query.root, at_ms)? {
        Operand::Scalar(value) => Value::Scalar(at_ms, value),
        Operand::Vector(values) => Value::Vector(at_ms, values),
    })
}

/// At each step from one moment to another.
pub fn range(
    query: &Query,
    source: &impl Source,
    (start_ms, end_ms): (i64, i64),
    step_ms: i64,
) -> Result<Value, Error> {
    if step_ms <= 0 {
        return Err(Error::meaning("step must be longer than nothing"));
    }
    if end_ms < start_ms {
        return Err(Error::meaning("end must not be before start"));
    }
    if (end_ms - start_ms) / step_ms >= STEPS_MAX {
        return Err(Error::TooMuch {
            what: format!("the answer would have more than {STEPS_MAX} steps"),
            advice: "make step longer or the time shorter",
        });
    }
    let mut evaluation = Evaluation::load(query, source, start_ms, end_ms)?;
    let mut series: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
    let mut values = 0;
    let mut at_ms = start_ms;
    while at_ms <= end_ms {
        let of_step = match evaluation.eval(&query.root, at_ms)? {
            Operand::Scalar(value) => vec![(Labels::new(), value)],
            Operand::Vector(values) => values,
        };
        values += of_step.len();
        if values > VALUES_MAX {
            return Err(Error::TooMuch {
                what: format!("the answer would have more than {VALUES_MAX} values"),
                advice: "make step longer, or aggregate, as in avg by (source_id) (...)",
            });
        }
        for (labels, value) in of_step {
            series.entry(labels).or_default().push((at_ms, value));
        }
        at_ms += step_ms;
    }
    Ok(Value::Matrix(series.into_iter().collect()))
}

enum Operand {
    Scalar(f64),
    Vector(Vec<(Labels, f64)>),
}

struct Evaluation<'q> {
    query: &'q Query,
    loaded: Vec<Vec<Stream>>,
    work: usize,
}

impl<'q> Evaluation<'q> {
    fn load(
        query: &'q Query,
        source: &impl Source,
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Self, Error> {
        let load = |selector: &Selector| {
            let back = selector.range_ms.unwrap_or(LOADED_BACK_MS);
            let after = start_ms - selector.offset_ms - back;
            source.load(selector, after, end_ms - selector.offset_ms)
        };
        let loaded = query.selectors.iter().map(load).collect::<Result<_, _>>()?;
        Ok(Self {
            query,
            loaded,
            work: 0,
        })
    }

    fn worked(&mut self, samples: usize) -> Result<(), Error> {
        self.work += samples + 1;
        if self.work <= WORK_MAX {
            return Ok(());
        }
        Err(Error::TooMuch {
            what: "the query looks at too many samples".to_owned(),
            advice: "make step longer, or the ranges in brackets shorter",
        })
    }

    fn eval(&mut self, expr: &Expr, at_ms: i64) -> Result<Operand, Error> {
        Ok(match expr {
            Expr::Number(number) => Operand::Scalar(*number),
            Expr::Selector(selector) => Operand::Vector(self.newest(*selector, at_ms)?),
            Expr::Negate(inner) => match self.eval(inner, at_ms)? {
                Operand::Scalar(value) => Operand::Scalar(-value),
                Operand::Vector(values) => {
                    let negated = values.into_iter().map(|(labels, v)| (unnamed(labels), -v));
                    Operand::Vector(negated.collect())
                }
            },
            Expr::Call {
                function,
                parameter,
                selector,
            } => {
                let parameter = self.parameter(parameter.as_deref(), at_ms)?;
                Operand::Vector(self.call(*function, parameter, *selector, at_ms)?)
            }
            Expr::Aggregate {
                operator,
                grouping,
                parameter,
                of,
            } => {
                let parameter = self.parameter(parameter.as_deref(), at_ms)?;
                let Operand::Vector(values) = self.eval(of, at_ms)? else {
                    return Err(Error::meaning(
                        "an aggregation wants series, and was given a number",
                    ));
                };
                self.worked(values.len())?;
                Operand::Vector(aggregate(*operator, grouping, parameter, values))
            }
            Expr::Binary {
                operation,
                as_bool,
                left,
                right,
            } => {
                let operands = (self.eval(left, at_ms)?, self.eval(right, at_ms)?);
                binary(*operation, *as_bool, operands)?
            }
        })
    }

    fn parameter(&mut self, parameter: Option<&Expr>, at_ms: i64) -> Result<f64, Error> {
        match parameter {
            None => Ok(0.0),
            Some(expr) => match self.eval(expr, at_ms)? {
                Operand::Scalar(value) => Ok(value),
                Operand::Vector(_) => Err(Error::meaning(
                    "the first argument must be a number, such as 0.95",
                )),
            },
        }
    }

    fn newest(&mut self, selector: usize, at_ms: i64) -> Result<Vec<(Labels, f64)>, Error> {
        let about = &self.query.selectors[selector];
        if about.range_ms.is_some() {
            return Err(Error::meaning(
                "a series over a time, such as cpu[1m], goes into a function, such as avg_over_time",
            ));
        }
        let at_ms = at_ms - about.offset_ms;
        self.worked(self.loaded[selector].len())?;
        let newest = |stream: &Stream| {
            let until = stream.points.partition_point(|point| point.at_ms <= at_ms);
            let point = stream.points[..until].last()?;
            let is_fresh = at_ms - point.at_ms < LOOKBACK_MS.max(2 * point.width_ms);
            is_fresh.then(|| (stream.labels.clone(), point.value()))
        };
        Ok(self.loaded[selector].iter().filter_map(newest).collect())
    }

    fn call(
        &mut self,
        function: Function,
        parameter: f64,
        selector: usize,
        at_ms: i64,
    ) -> Result<Vec<(Labels, f64)>, Error> {
        let about = &self.query.selectors[selector];
        let until_ms = at_ms - about.offset_ms;
        let after_ms = until_ms - about.range_ms.unwrap_or(0);
        let mut values = Vec::new();
        let mut looked_at = 0;
        for stream in &self.loaded[selector] {
            let points = window(&stream.points, after_ms, until_ms);
            looked_at += points.len();
            let value = function::apply(function, parameter, points, after_ms, until_ms);
            if let Some(value) = value {
                let labels = match function {
                    Function::LastOverTime => stream.labels.clone(),
                    _ => unnamed(stream.labels.clone()),
                };
                values.push((labels, value));
            }
        }
        self.worked(looked_at)?;
        distinct(values)
    }

    /// The samples themselves.
    fn raw(&mut self, selector: usize, range_ms: i64, at_ms: i64) -> Result<Value, Error> {
        let until_ms = at_ms - self.query.selectors[selector].offset_ms;
        let mut series = Vec::new();
        let mut count = 0;
        for stream in &self.loaded[selector] {
            let points = window(&stream.points, until_ms - range_ms, until_ms);
            count += points.len();
            let values: Vec<_> = points
                .iter()
                .map(|point| (point.at_ms, point.value()))
                .collect();
            if !values.is_empty() {
                series.push((stream.labels.clone(), values));
            }
        }
        if count > VALUES_MAX {
            return Err(Error::TooMuch {
                what: format!("the answer would have more than {VALUES_MAX} values"),
                advice: "ask for fewer apps or a shorter range",
            });
        }
        Ok(Value::Matrix(series))
    }
}

/// The points of a time, its begin excluded.
fn window(points: &[Point], after_ms: i64, until_ms: i64) -> &[Point] {
    let first = points.partition_point(|point| point.at_ms <= after_ms);
    let end = points.partition_point(|point| point.at_ms <= until_ms);
    &points[first..end.max(first)]
}

fn unnamed(mut labels: Labels) -> Labels {
    labels.remove(NAME);
    labels
}

fn distinct(values: Vec<(Labels, f64)>) -> Result<Vec<(Labels, f64)>, Error> {
    let labels: std::collections::BTreeSet<_> = values.iter().map(|(labels, _)| labels).collect();
    if labels.len() == values.len() {
        return Ok(values);
    }
    Err(Error::meaning(
        "without their names several series are the same: select one name, or use last_over_time",
    ))
}

fn aggregate(
    operator: Operator,
    grouping: &Grouping,
    parameter: f64,
    values: Vec<(Labels, f64)>,
) -> Vec<(Labels, f64)> {
    let mut groups: BTreeMap<Labels, Vec<(Labels, f64)>> = BTreeMap::new();
    for (labels, value) in values {
        let key = group(grouping, &labels);
        groups.entry(key).or_default().push((labels, value));
    }
    let mut all = Vec::new();
    for (key, members) in groups {
        match operator {
            Operator::TopK | Operator::BottomK => {
                all.extend(extreme(operator, parameter, members));
            }
            _ => {
                let numbers: Vec<f64> = members.into_iter().map(|(_, value)| value).collect();
                all.push((key, function::reduce(operator, parameter, &numbers)));
            }
        }
    }
    all
}

fn group(grouping: &Grouping, labels: &Labels) -> Labels {
    let belongs = |label: &String| match grouping {
        Grouping::By(wanted) => wanted.contains(label),
        Grouping::Without(unwanted) => label != NAME && !unwanted.contains(label),
    };
    let kept = labels.iter().filter(|(label, _)| belongs(label));
    kept.map(|(label, value)| (label.clone(), value.clone()))
        .collect()
}

/// The `k` largest or smallest, best first; they keep their labels.
fn extreme(operator: Operator, k: f64, mut members: Vec<(Labels, f64)>) -> Vec<(Labels, f64)> {
    members.sort_by(|(_, a), (_, b)| match operator {
        Operator::TopK => b.total_cmp(a),
        _ => a.total_cmp(b),
    });
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and less than nothing is nothing"
    )]
    members.truncate(k as usize);
    members
}

fn binary(
    operation: Operation,
    as_bool: bool,
    operands: (Operand, Operand),
) -> Result<Operand, Error> {
    Ok(match operands {
        (Operand::Scalar(left), Operand::Scalar(right)) => {
            if operation.is_comparison() && !as_bool {
                return Err(Error::meaning(
                    "two numbers are compared with bool, as in 1 > bool 2",
                ));
            }
            Operand::Scalar(calculate(operation, left, right))
        }
        (Operand::Vector(values), Operand::Scalar(right)) => {
            let each = |(labels, value)| combine(operation, as_bool, labels, value, right, value);
            Operand::Vector(values.into_iter().filter_map(each).collect())
        }
        (Operand::Scalar(left), Operand::Vector(values)) => {
            let each = |(labels, value)| combine(operation, as_bool, labels, left, value, value);
            Operand::Vector(values.into_iter().filter_map(each).collect())
        }
        (Operand::Vector(left), Operand::Vector(right)) => {
            Operand::Vector(join(operation, as_bool, left, right)?)
        }
    })
}

/// One pair. `kept` is the value that a comparison lets through.
fn combine(
    operation: Operation,
    as_bool: bool,
    labels: Labels,
    left: f64,
    right: f64,
    kept: f64,
) -> Option<(Labels, f64)> {
    let result = calculate(operation, left, right);
    if operation.is_comparison() && !as_bool {
        return (result > 0.0).then_some((labels, kept));
    }
    Some((unnamed(labels), result))
}

/// Series with the same labels, their names aside.
fn join(
    operation: Operation,
    as_bool: bool,
    left: Vec<(Labels, f64)>,
    right: Vec<(Labels, f64)>,
) -> Result<Vec<(Labels, f64)>, Error> {
    let twice = || {
        Error::meaning(
            "several series of one side have the same labels: aggregate them, as in sum by (instance_id) (...)",
        )
    };
    let mut partners = BTreeMap::new();
    for (labels, value) in right {
        match partners.entry(unnamed(labels)) {
            Entry::Vacant(place) => drop(place.insert((value, false))),
            Entry::Occupied(_) => return Err(twice()),
        }
    }
    let mut joined = Vec::new();
    for (labels, value) in left {
        let Some((partner, taken)) = partners.get_mut(&unnamed(labels.clone())) else {
            continue;
        };
        if std::mem::replace(taken, true) {
            return Err(twice());
        }
        joined.extend(combine(operation, as_bool, labels, value, *partner, value));
    }
    Ok(joined)
}

fn calculate(operation: Operation, left: f64, right: f64) -> f64 {
    let truth = |is: bool| f64::from(u8::from(is));
    #[allow(clippy::float_cmp, reason = "PromQL compares exactly")]
    match operation {
        Operation::Add => left + right,
        Operation::Subtract => left - right,
        Operation::Multiply => left * right,
        Operation::Divide => left / right,
        Operation::Equal => truth(left == right),
        Operation::NotEqual => truth(left != right),
        Operation::Greater => truth(left > right),
        Operation::Less => truth(left < right),
        Operation::GreaterOrEqual => truth(left >= right),
        Operation::LessOrEqual => truth(left <= right),
    }
}
