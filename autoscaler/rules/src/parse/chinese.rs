//! Rules as they are said in Chinese:
//! `当所有实例CPU利用率在1小时内持续在90%以上时,实例数扩展40%`.
//!
//! ```text
//! rule       = ["当" | "如果"] condition ["时" ...] [","] action {[","] clause}
//! condition  = comparison { ("且" | "或") comparison }
//! comparison = [所有实例 | 任一实例 | 平均 | 最大 | 最小] metric {window | 持续 | level}
//! window     = ["在"] duration ["内"]          level = ["在"] value (以上 | 以下) | 高于 value ...
//! action     = [实例数] (扩展 | 缩减) ["到"] N ["%" | "个"]
//! clause     = 冷却 duration | 预热 duration | 实例数 N 到 M
//! ```
//!
//! Full-width digits and punctuation are read as their plain forms. The result is an ordinary
//! rule; it prints in English.

use super::cursor::Cursor;
use super::{ParseError, condition};
use crate::ast::{
    Amount, Comparison, Condition, Direction, Metric, Op, Over, Range, Rule, defaults,
};
use crate::grammar;
use crate::units::{Milli, ONE};

/// Whether the statement is in Chinese.
pub(super) fn begins(cursor: &Cursor) -> bool {
    cursor.rest_has(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

pub(super) fn rule(cursor: &mut Cursor) -> Result<Rule, ParseError> {
    cursor.read_as(plain);
    let _: bool = cursor.sign_of(&["当", "如果", "若"]);
    let condition = condition(cursor)?;
    let _: bool = cursor.sign_of(&["时", "的时候", "后", "以后"]);
    let _: bool = cursor.skip(',');
    let _: bool = cursor.sign_of(&["则", "就"]);
    let (direction, amount) = action(cursor)?;
    let mut rule = Rule::new(direction, amount, condition);
    loop {
        let _: bool = cursor.skip(',');
        if cursor.sign_of(&["冷却时间", "冷却"]) {
            rule.cool_down_s = duration(cursor)?;
        } else if cursor.sign_of(&["预热时间", "预热"]) {
            rule.warm_up_s = duration(cursor)?;
        } else if cursor.sign_of(COUNT) {
            rule.between = Some(range(cursor)?);
        } else {
            let _: bool = cursor.skip('。') || cursor.skip('.');
            return Ok(rule);
        }
    }
}

/// `实例数`, the longer spellings first.
const COUNT: &[&str] = &["实例数量", "实例个数", "实例数", "实例"];

/// Full-width forms as ASCII, one for one.
fn plain(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        '、' => ',',
        other => other,
    }
}

fn condition(cursor: &mut Cursor) -> Result<Condition, ParseError> {
    let mut alternatives = Vec::new();
    let mut parts = vec![Condition::Is(comparison(cursor)?)];
    loop {
        let _: bool = cursor.skip(',');
        if cursor.sign_of(&["且", "并且", "而且"]) {
            parts.push(Condition::Is(comparison(cursor)?));
        } else if cursor.sign_of(&["或", "或者"]) {
            alternatives.push(Condition::and(std::mem::take(&mut parts)));
            parts.push(Condition::Is(comparison(cursor)?));
        } else {
            alternatives.push(Condition::and(parts));
            return Ok(Condition::or(alternatives));
        }
    }
}

fn comparison(cursor: &mut Cursor) -> Result<Comparison, ParseError> {
    let over = over(cursor);
    let metric = metric(cursor)?;
    let (mut level, mut window) = (None, None);
    // Window and level come in either order, with words of lasting around them.
    loop {
        while cursor.sign_of(&["持续", "连续", "一直", "都", "均", "保持"]) {}
        if level.is_none()
            && let Some(found) = compared(cursor, &metric)?
        {
            level = Some(found);
        } else if window.is_none()
            && let Some(found) = lasting(cursor)?
        {
            window = Some(found);
        } else if let Some((op, metric, threshold)) = level {
            return Ok(Comparison {
                over,
                metric,
                op,
                threshold,
                for_s: window.unwrap_or(defaults::FOR_S),
                every_s: None,
            });
        } else {
            return Err(cursor.stuck());
        }
    }
}

fn over(cursor: &mut Cursor) -> Over {
    const WORDS: &[(&[&str], Over)] = &[
        (&["所有", "全部", "每个", "各"], Over::All),
        (&["任一", "任意", "任何"], Over::Any),
        (&["平均"], Over::Avg),
        (&["最大", "最高"], Over::Max),
        (&["最小", "最低"], Over::Min),
    ];
    let mut over = Over::All;
    // `所有实例的平均CPU`: the last word counts.
    loop {
        if let Some((_, named)) = WORDS.iter().find(|(words, _)| cursor.sign_of(words)) {
            over = *named;
        } else if !cursor.sign_of(&["实例", "一个", "个", "的"]) {
            return over;
        }
    }
}

fn metric(cursor: &mut Cursor) -> Result<Metric, ParseError> {
    const WORDS: &[(&[&str], Metric)] = &[
        (&["CPU", "cpu", "Cpu", "处理器"], Metric::Cpu),
        (&["内存"], Metric::Memory),
        (&["磁盘"], Metric::Disk),
        (
            &["吞吐量", "吞吐", "每秒请求数", "QPS", "qps"],
            Metric::Throughput,
        ),
        (
            &["响应时间", "延迟", "时延"],
            Metric::ResponseTime(defaults::LATENCY),
        ),
        (
            &["并发请求数", "并发数", "并发", "在途请求数", "在途请求"],
            Metric::InFlight,
        ),
        (&["崩溃次数", "崩溃"], Metric::Crashes),
    ];
    if cursor.sign_of(&["队列深度", "队列长度"]) {
        return Ok(Metric::Custom(grammar::QUEUE_DEPTH.to_owned()));
    }
    match WORDS.iter().find(|(words, _)| cursor.sign_of(words)) {
        Some((_, metric)) => {
            let _: bool = cursor.sign_of(&["利用率", "使用率", "占用率", "使用量", "用量", "占用"]);
            Ok(metric.clone())
        }
        None => Err(cursor.stuck()),
    }
}

/// `在90%以上`, `高于90%`.
fn compared(
    cursor: &mut Cursor,
    metric: &Metric,
) -> Result<Option<(Op, Metric, Milli)>, ParseError> {
    const BEFORE: &[(&[&str], Op)] = &[
        (&["不低于", "不小于", "大于等于", ">=", "≥"], Op::AtLeast),
        (
            &["不高于", "不超过", "不大于", "小于等于", "<=", "≤"],
            Op::AtMost,
        ),
        (&["高于", "超过", "大于", ">"], Op::Above),
        (&["低于", "小于", "<"], Op::Below),
    ];
    const AFTER: &[(&[&str], Op)] = &[
        (&["以上", "之上"], Op::Above),
        (&["以下", "之下"], Op::Below),
    ];
    let at = cursor.at();
    if let Some((_, op)) = BEFORE.iter().find(|(words, _)| cursor.sign_of(words)) {
        let number = condition::decimal(cursor)?;
        return match unit(cursor, metric, number) {
            Some((metric, threshold)) => Ok(Some((*op, metric, threshold))),
            None => Err(cursor.stuck()),
        };
    }
    let _: bool = cursor.sign_of(&["在"]);
    let value = match condition::decimal(cursor) {
        Ok(number) => unit(cursor, metric, number),
        Err(_) => None,
    };
    let op = AFTER
        .iter()
        .find(|(words, _)| value.is_some() && cursor.sign_of(words));
    match (op, value) {
        (Some((_, op)), Some((metric, threshold))) => Ok(Some((*op, metric, threshold))),
        _ => {
            cursor.back_to(at);
            Ok(None)
        }
    }
}

fn unit(cursor: &mut Cursor, metric: &Metric, number: Milli) -> Option<(Metric, Milli)> {
    let used = match metric {
        Metric::Memory => Some(Metric::MemoryUsed),
        Metric::Disk => Some(Metric::DiskUsed),
        _ => None,
    };
    let (metric, factor) = match metric {
        Metric::Cpu | Metric::CoreCpu | Metric::Memory | Metric::Disk if cursor.sign("%") => {
            (metric.clone(), 1)
        }
        Metric::Memory | Metric::Disk if cursor.sign_of(&["MB", "M", "兆"]) => (used?, 1),
        Metric::Memory | Metric::Disk if cursor.sign_of(&["GB", "G"]) => (used?, 1_024),
        Metric::ResponseTime(_) if cursor.sign_of(&["毫秒", "ms"]) => (metric.clone(), 1),
        Metric::ResponseTime(_) if cursor.sign_of(&["秒", "s"]) => (metric.clone(), ONE),
        Metric::Throughput | Metric::InFlight | Metric::Crashes | Metric::Custom(_) => {
            let _: bool = cursor.sign_of(&["次/秒", "/秒", "/s", "次", "个"]);
            (metric.clone(), 1)
        }
        _ => return None,
    };
    Some((metric, number.checked_mul(factor)?))
}

/// `在1小时内`, `30分钟`. What is no duration is left alone.
fn lasting(cursor: &mut Cursor) -> Result<Option<u32>, ParseError> {
    let at = cursor.at();
    let _: bool = cursor.sign_of(&["在", "超过", "达", "达到"]);
    match duration(cursor) {
        Ok(length) => {
            let _: bool = cursor.sign_of(&["内", "之内", "以内", "期间"]);
            Ok(Some(length))
        }
        Err(_) => {
            cursor.back_to(at);
            Ok(None)
        }
    }
}

fn duration(cursor: &mut Cursor) -> Result<u32, ParseError> {
    const UNITS: &[(&[&str], u32)] = &[
        (&["小时", "个小时"], 3_600),
        (&["分钟", "分"], 60),
        (&["秒钟", "秒"], 1),
        (&["天"], 86_400),
    ];
    if cursor.sign_of(&["半小时", "半个小时"]) {
        return Ok(1_800);
    }
    let mut total: u32 = 0;
    loop {
        let count = count(cursor, "时长，如 1小时、30分钟、90秒")?;
        let Some((_, size)) = UNITS.iter().find(|(words, _)| cursor.sign_of(words)) else {
            return Err(cursor.stuck());
        };
        let sum = count
            .checked_mul(*size)
            .and_then(|part| total.checked_add(part));
        total = sum.ok_or_else(|| cursor.error("时长过长".to_owned(), Vec::new()))?;
        if !cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
            return Ok(total);
        }
    }
}

/// Digits, or one of the small numerals that are written out.
fn count(cursor: &mut Cursor, what: &str) -> Result<u32, ParseError> {
    const NUMERALS: &[(&str, u32)] = &[
        ("一", 1),
        ("二", 2),
        ("两", 2),
        ("三", 3),
        ("四", 4),
        ("五", 5),
        ("六", 6),
        ("七", 7),
        ("八", 8),
        ("九", 9),
        ("十", 10),
    ];
    let mut numerals = NUMERALS.iter();
    cursor.skip_blanks();
    match cursor.peek() {
        Some(c) if !c.is_ascii_digit() => match numerals.find(|(word, _)| word.contains(c)) {
            Some((_, count)) => {
                let _: bool = cursor.skip(c);
                Ok(*count)
            }
            None => Err(cursor.wanted(what)),
        },
        _ => cursor.number(what),
    }
}

/// `实例数扩展40%`, `将实例缩减5个`, `扩展到120个`.
fn action(cursor: &mut Cursor) -> Result<(Direction, Amount), ParseError> {
    while cursor.sign_of(&["将", "把", "应用", "自动", "的"]) || cursor.sign_of(COUNT) {}
    let direction = if cursor.sign_of(&["扩展", "扩容", "扩大", "增加", "扩"]) {
        Direction::Out
    } else if cursor.sign_of(&["缩减", "缩容", "缩小", "减少", "缩"]) {
        Direction::In
    } else {
        return Err(cursor.stuck());
    };
    let to = cursor.sign_of(&["到", "至"]);
    let number = count(cursor, "数量，如 40% 或 5个")?;
    let amount = if to {
        Amount::To(number)
    } else if cursor.sign("%") {
        return Ok((direction, Amount::Percent(number)));
    } else {
        Amount::By(number)
    };
    let _: bool = cursor.sign_of(&["个实例", "个"]);
    Ok((direction, amount))
}

/// `在10到300之间`.
fn range(cursor: &mut Cursor) -> Result<Range, ParseError> {
    let _: bool = cursor.sign_of(&["保持在", "在", "介于"]);
    let min = cursor.number("最小实例数")?;
    if !cursor.sign_of(&["到", "至", "-", "~"]) {
        return Err(cursor.stuck());
    }
    let max = cursor.number("最大实例数")?;
    let _: bool = cursor.sign_of(&["个实例", "个"]);
    let _: bool = cursor.sign_of(&["之间"]);
    Ok(Range { min, max })
}
