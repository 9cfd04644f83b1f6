//! What had to hold, and whether it did.
//!
//! Pure.

use serde::Serialize;

use super::acts::Act;
use super::instances::Sample;
use super::sale::ShopVerdict;
use super::shoppers::Books;
use crate::load::{Judged, SelfCheck};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Held,
    NotHeld,
    /// The generator was in the way: nothing can be said.
    Void,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) holds: bool,
    /// The figures that decided it.
    pub(crate) detail: String,
}

impl Check {
    fn new(name: impl Into<String>, holds: bool, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            holds,
            detail: detail.into(),
        }
    }
}

/// How a sale went, by the shop's count and by the shoppers'.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SaleReport {
    pub(crate) stock: u64,
    /// Seconds from the start of the load.
    pub(crate) opened_at: f64,
    /// None when the shop gave none.
    pub(crate) shop: Option<ShopVerdict>,
    /// Orders that shoppers hold an acknowledgement of.
    pub(crate) orders_acknowledged: u64,
    pub(crate) paid_acknowledged: u64,
    pub(crate) second_orders: u64,
    pub(crate) forgotten: u64,
}

impl SaleReport {
    pub(crate) fn new(
        stock: u64,
        opened_at: f64,
        shop: Option<ShopVerdict>,
        books: &Books,
    ) -> Self {
        Self {
            stock,
            opened_at,
            shop,
            orders_acknowledged: books.orders(),
            paid_acknowledged: books.paid_items(),
            second_orders: books.second_orders,
            forgotten: books.forgotten,
        }
    }
}

/// The figures that checks look at.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    pub(crate) thresholds: &'a [Judged],
    pub(crate) acts: &'a [Act],
    pub(crate) samples: &'a [Sample],
    pub(crate) want_instances: Option<u32>,
    pub(crate) routable_within_s: f64,
    pub(crate) sale: Option<&'a SaleReport>,
}

pub(crate) fn checks(evidence: &Evidence<'_>) -> Vec<Check> {
    let thresholds = evidence.thresholds.iter().map(|one| {
        let detail = format!("it was {}", one.value);
        Check::new(&one.promise, !one.is_crossed, detail)
    });
    let mut checks: Vec<Check> = thresholds.collect();
    checks.extend(instances(evidence));
    checks.extend(routable(evidence));
    if let Some(sale) = evidence.sale {
        checks.extend(sale_checks(sale));
    }
    checks
}

fn instances(evidence: &Evidence<'_>) -> Option<Check> {
    let want = evidence.want_instances?;
    let most = evidence.samples.iter().map(|sample| sample.routable).max();
    let most = most.unwrap_or(0);
    Some(Check::new(
        format!("{want} instances routable at once"),
        most >= want,
        format!("at most {most} were"),
    ))
}

/// Each growth, from the decision on.
fn routable(evidence: &Evidence<'_>) -> Option<Check> {
    let growths = evidence
        .acts
        .iter()
        .filter(|act| act.grows() && act.error.is_none() && !act.is_superseded);
    let times: Vec<Option<f64>> = growths.map(|act| act.routable_after_s).collect();
    if times.is_empty() {
        return None;
    }
    let within = evidence.routable_within_s;
    let slowest = times.iter().flatten().copied().fold(0.0, f64::max);
    let never = times.iter().filter(|time| time.is_none()).count();
    let detail = match never {
        0 => format!("{} growths, the slowest took {slowest:.1} s", times.len()),
        never => format!("{never} of {} growths were never seen whole", times.len()),
    };
    Some(Check::new(
        format!("all new instances routable within {within:.0} s of the decision"),
        never == 0 && slowest <= within,
        detail,
    ))
}

fn sale_checks(sale: &SaleReport) -> Vec<Check> {
    let Some(shop) = &sale.shop else {
        return vec![Check::new(
            "the shop tells its verdict",
            false,
            "it gave none",
        )];
    };
    let sold = format!(
        "{} of {} sold, {} reserved",
        shop.sold, shop.total, shop.reserved
    );
    let lost = shop.sold.saturating_sub(sale.paid_acknowledged);
    let is_kept = sale.forgotten == 0
        && sale.paid_acknowledged <= shop.sold
        && sale.orders_acknowledged <= shop.orders;
    vec![
        Check::new(
            "nothing oversold",
            shop.never_oversold && shop.sold + shop.reserved <= sale.stock,
            sold,
        ),
        Check::new(
            "one order per key",
            shop.one_order_per_key && sale.second_orders == 0,
            format!(
                "{} orders; {} keys got a second one",
                shop.orders, sale.second_orders
            ),
        ),
        Check::new(
            "every acknowledged order and payment kept",
            is_kept,
            format!(
                "{} orders and {} paid items acknowledged, the shop has {} and {} ({lost} paid without the shopper hearing of it)",
                sale.orders_acknowledged, sale.paid_acknowledged, shop.orders, shop.sold
            ),
        ),
        Check::new(
            "the shop's own books balance",
            shop.ok && shop.books_balance,
            format!(
                "{} available, {} reserved, {} sold",
                shop.available, shop.reserved, shop.sold
            ),
        ),
    ]
}

pub(crate) fn verdict(check: &SelfCheck, checks: &[Check]) -> Verdict {
    if check.is_void() {
        Verdict::Void
    } else if checks.iter().all(|check| check.holds) {
        Verdict::Held
    } else {
        Verdict::NotHeld
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sale() -> SaleReport {
        SaleReport {
            stock: 100,
            opened_at: 25.0,
            shop: Some(ShopVerdict {
                ok: true,
                never_oversold: true,
                books_balance: true,
                one_order_per_key: true,
                orders: 90,
                total: 100,
                available: 20,
                reserved: 10,
                sold: 70,
            }),
            orders_acknowledged: 90,
            paid_acknowledged: 70,
            second_orders: 0,
            forgotten: 0,
        }
    }

    fn fails(sale: &SaleReport) -> Vec<String> {
        let failed = sale_checks(sale).into_iter().filter(|check| !check.holds);
        failed.map(|check| check.name).collect()
    }

    #[test]
    fn the_shop_is_held_to_its_word_from_outside() {
        assert_eq!(fails(&sale()), Vec::<String>::new());
        let change = |change: fn(&mut SaleReport)| {
            let mut changed = sale();
            change(&mut changed);
            fails(&changed)
        };
        assert_eq!(change(|sale| sale.stock = 79), ["nothing oversold"]);
        assert_eq!(change(|sale| sale.second_orders = 1), ["one order per key"]);
        let kept = "every acknowledged order and payment kept";
        assert_eq!(change(|sale| sale.paid_acknowledged = 71), [kept]);
        assert_eq!(change(|sale| sale.orders_acknowledged = 91), [kept]);
        assert_eq!(change(|sale| sale.forgotten = 1), [kept]);
        assert_eq!(
            change(|sale| sale.shop = None),
            ["the shop tells its verdict"]
        );
    }

    fn act(to: i64, routable_after_s: Option<f64>, is_superseded: bool) -> Act {
        Act {
            at: 0.0,
            from: Some(2),
            to,
            cause: super::super::acts::Cause::Rule,
            explanation: String::new(),
            error: None,
            routable_after_s,
            is_superseded,
        }
    }

    #[test]
    fn every_growth_has_to_be_routable_in_time() {
        for (acts, holds) in [
            (vec![act(200, Some(59.0), false)], Some(true)),
            (vec![act(200, Some(61.0), false)], Some(false)),
            (vec![act(200, None, false)], Some(false)),
            (vec![act(200, None, true)], None),
            (vec![act(1, None, false)], None),
        ] {
            let evidence = Evidence {
                thresholds: &[],
                acts: &acts,
                samples: &[],
                want_instances: None,
                routable_within_s: 60.0,
                sale: None,
            };
            let held = checks(&evidence).first().map(|check| check.holds);
            assert_eq!(held, holds, "{acts:?}");
        }
    }

    #[test]
    fn a_void_run_says_nothing_whatever_held() {
        let void = SelfCheck {
            void: vec!["late".into()],
            ..SelfCheck::default()
        };
        let bad = Check::new("x", false, "");
        assert_eq!(verdict(&void, &[]), Verdict::Void);
        assert_eq!(verdict(&SelfCheck::default(), &[]), Verdict::Held);
        assert_eq!(verdict(&SelfCheck::default(), &[bad]), Verdict::NotHeld);
    }
}
