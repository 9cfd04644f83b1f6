//! Shoppers of a flash sale, and the books that they keep of what the shop promised them.
//!
//! ```text
//! before the sale: page -> item
//! in the sale:     page | item -> reserve --201--> pay, or walk away
//!                                   |--409 sold out, closed--> again, a few times
//!                                   '--no answer, 5xx--> the same key again
//! ```
//! Some click twice. The books hold the shop to its word from outside: one order for a key, and
//! nothing that was acknowledged may be gone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cfx_process::entropy::IdSource;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Deserialize;

use crate::load::{After, Answer, Ask, Population, WireError, Worth, exponential, unit};

/// What shoppers are like.
#[derive(Debug, Clone)]
pub(crate) struct Habits {
    /// Path of the shop's root, without a slash at its end.
    pub(crate) root: String,
    /// A text of this rehearsal, so that its keys are no other's.
    pub(crate) keys: String,
    /// From this phase on the sale is open.
    pub(crate) sale_from: usize,
    /// Share on a connection of their own.
    pub(crate) new_share: f64,
}

/// Who looks at the page first, of those who come to buy.
const LOOKS_AT_PAGE: f64 = 0.3;
/// Who clicks a second time at once, and how long after the first.
const CLICKS_TWICE: f64 = 0.05;
const SECOND_CLICK: Duration = Duration::from_millis(30);
/// Who pays what was reserved, and how long that takes, seconds.
const PAYS: f64 = 0.85;
const PAYING_MEAN_S: f64 = 2.0;
/// Reading before a click, seconds.
const READING_MEAN_S: f64 = 0.3;
/// How often somebody comes back when it is sold out or closed, and after how long at least.
const COMES_BACK_MAX: u8 = 4;
const COMES_BACK_S: f64 = 1.0;
/// How often a request without a good answer is sent again, and after how long.
const AGAIN_MAX: u8 = 3;
const AGAIN: Duration = Duration::from_secs(1);
/// Every so many shoppers one takes two.
const TAKES_TWO: u64 = 5;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How far one shopper is.
#[derive(Debug, Clone)]
pub(crate) struct Shopper {
    number: u64,
    buys: bool,
    step: Step,
    /// Times that it came back, and that it asked again.
    came_back: u8,
    asked_again: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Page,
    Item,
    Reserve,
    Pay { order: String },
}

/// What the shop promised one shopper.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Promise {
    order: String,
    is_paid: bool,
}

/// What the shop promised all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Books {
    promises: HashMap<u64, Promise>,
    /// Keys that got two different orders.
    pub(crate) second_orders: u64,
    /// Orders that were acknowledged and that the shop did not know any more.
    pub(crate) forgotten: u64,
}

impl Books {
    pub(crate) fn merge(&mut self, other: Self) {
        self.promises.extend(other.promises);
        self.second_orders += other.second_orders;
        self.forgotten += other.forgotten;
    }

    /// Orders that the shop acknowledged.
    pub(crate) fn orders(&self) -> u64 {
        self.promises.len() as u64
    }

    /// Items whose payment the shop acknowledged.
    pub(crate) fn paid_items(&self) -> u64 {
        let paid = self.promises.iter().filter(|(_, promise)| promise.is_paid);
        paid.map(|(number, _)| quantity(*number)).sum()
    }
}

fn quantity(number: u64) -> u64 {
    if number.is_multiple_of(TAKES_TWO) {
        2
    } else {
        1
    }
}

/// The part of an answer that shoppers read.
#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    id: String,
    #[serde(default)]
    error: String,
}

#[derive(Debug)]
pub(crate) struct Shoppers {
    habits: Arc<Habits>,
    dice: IdSource,
    pub(crate) books: Books,
}

impl Shoppers {
    pub(crate) fn new(habits: Arc<Habits>, dice: IdSource) -> Self {
        Self {
            habits,
            dice,
            books: Books::default(),
        }
    }

    fn seconds(&self, mean: f64) -> Duration {
        Duration::from_secs_f64(exponential(&self.dice, mean))
    }

    /// Somebody who has read the page or the item.
    fn clicks(&self, shopper: Shopper) -> Vec<(Duration, Shopper)> {
        let reading = self.seconds(READING_MEAN_S);
        if !shopper.buys {
            let next = (shopper.step == Step::Page).then_some(Step::Item);
            let next = next.map(|step| (reading, Shopper { step, ..shopper }));
            return next.into_iter().collect();
        }
        let first = Shopper {
            step: Step::Reserve,
            ..shopper
        };
        if unit(&self.dice) < CLICKS_TWICE {
            return vec![(reading, first.clone()), (reading + SECOND_CLICK, first)];
        }
        vec![(reading, first)]
    }

    fn reserved(&mut self, shopper: Shopper, order: String) -> After<Shopper> {
        let promise = self.books.promises.get(&shopper.number);
        if let Some(promise) = promise {
            // A second click, or asking again: it must be the same order.
            self.books.second_orders += u64::from(promise.order != order);
            return After::end(Worth::Good);
        }
        let promise = Promise {
            order: order.clone(),
            is_paid: false,
        };
        self.books.promises.insert(shopper.number, promise);
        let mut after = After::end(Worth::Good);
        if unit(&self.dice) < PAYS {
            let step = Step::Pay { order };
            let paying = self.seconds(PAYING_MEAN_S);
            after.next.push((paying, fresh(shopper, step)));
        }
        after
    }

    fn comes_back(&self, shopper: Shopper) -> After<Shopper> {
        let mut after = After::end(Worth::Refused);
        if shopper.came_back < COMES_BACK_MAX {
            let pause = Duration::from_secs_f64(COMES_BACK_S * (1.0 + 2.0 * unit(&self.dice)));
            let came_back = shopper.came_back + 1;
            after.next.push((
                pause,
                Shopper {
                    came_back,
                    ..shopper
                },
            ));
        }
        after
    }
}

/// At the next step nothing was asked again yet.
fn fresh(shopper: Shopper, step: Step) -> Shopper {
    Shopper {
        step,
        asked_again: 0,
        ..shopper
    }
}

/// No good answer: whatever it was, the same request with the same key is safe.
fn asks_again(shopper: Shopper) -> After<Shopper> {
    let mut after = After::end(Worth::Bad);
    if shopper.asked_again < AGAIN_MAX {
        let asked_again = shopper.asked_again + 1;
        after.next.push((
            AGAIN,
            Shopper {
                asked_again,
                ..shopper
            },
        ));
    }
    after
}

impl Population for Shoppers {
    type Visit = Shopper;

    fn arrive(&mut self, number: u64, phase: usize) -> Shopper {
        let buys = phase >= self.habits.sale_from;
        let looks_at_page = !buys || unit(&self.dice) < LOOKS_AT_PAGE;
        Shopper {
            number,
            buys,
            step: if looks_at_page {
                Step::Page
            } else {
                Step::Item
            },
            came_back: 0,
            asked_again: 0,
        }
    }

    fn ask(&mut self, shopper: &Shopper) -> Ask {
        let root = &self.habits.root;
        let (method, path) = match &shopper.step {
            Step::Page => (Method::GET, format!("{root}/")),
            Step::Item => (Method::GET, format!("{root}/api/item")),
            Step::Reserve => (Method::POST, format!("{root}/api/reservations")),
            Step::Pay { order } => (Method::POST, format!("{root}/api/reservations/{order}/pay")),
        };
        let mut headers = HeaderMap::new();
        let mut body = Bytes::new();
        if method == Method::POST {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        if shopper.step == Step::Reserve {
            let key = format!("{}-{}", self.habits.keys, shopper.number);
            if let Ok(key) = HeaderValue::try_from(key) {
                headers.insert(IDEMPOTENCY_KEY, key);
            }
            body = Bytes::from(format!(r#"{{"quantity": {}}}"#, quantity(shopper.number)));
        }
        Ask {
            wants_body: method == Method::POST,
            method,
            path,
            headers,
            body,
            is_new: unit(&self.dice) < self.habits.new_share,
        }
    }

    fn judge(&mut self, shopper: Shopper, result: Result<&Answer, WireError>) -> After<Shopper> {
        let Ok(answer) = result else {
            return asks_again(shopper);
        };
        let said: Said = serde_json::from_slice(&answer.body).unwrap_or_default();
        match (&shopper.step, answer.status, said.error.as_str()) {
            (Step::Page | Step::Item, 200, _) => After {
                worth: Worth::Good,
                next: self.clicks(shopper),
            },
            (Step::Reserve, 200 | 201, _) if is_order(&said.id) => self.reserved(shopper, said.id),
            (Step::Reserve, 409, "sold_out" | "sale_closed") => self.comes_back(shopper),
            (Step::Pay { .. }, 200, _) => {
                if let Some(promise) = self.books.promises.get_mut(&shopper.number) {
                    promise.is_paid = true;
                }
                After::end(Worth::Good)
            }
            (Step::Pay { .. }, 404, _) => {
                self.books.forgotten += 1;
                After::end(Worth::Bad)
            }
            // Paid already by the first click, or the window was over.
            (Step::Reserve | Step::Pay { .. }, 409, _) => After::end(Worth::Refused),
            (_, status, _) if status >= 500 => asks_again(shopper),
            _ => After::end(Worth::Bad),
        }
    }
}

/// An id that can stand in a path as it is.
fn is_order(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shoppers() -> Shoppers {
        let habits = Habits {
            root: String::new(),
            keys: "r".into(),
            sale_from: 2,
            new_share: 0.5,
        };
        Shoppers::new(Arc::new(habits), IdSource::seeded(1))
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            body: Bytes::from(body.to_owned()),
            ..Answer::default()
        }
    }

    fn at(step: Step) -> Shopper {
        Shopper {
            number: 7,
            buys: true,
            step,
            came_back: 0,
            asked_again: 0,
        }
    }

    const ORDER: &str = r#"{"id": "abc", "state": "reserved"}"#;

    #[test]
    fn before_the_sale_they_only_look() {
        let mut shoppers = shoppers();
        for number in 0..200 {
            let shopper = shoppers.arrive(number, 1);
            assert_eq!(shopper.step, Step::Page);
            let after = shoppers.judge(shopper, Ok(&answer(200, "")));
            let [(_, item)] = &after.next[..] else {
                panic!("then the item");
            };
            assert_eq!(item.step, Step::Item);
            let after = shoppers.judge(item.clone(), Ok(&answer(200, "{}")));
            assert!(after.next.is_empty());
        }
    }

    #[test]
    fn in_the_sale_they_reserve_with_a_key_of_their_own_and_some_click_twice() {
        let mut shoppers = shoppers();
        let mut twice = 0;
        for number in 0..2_000 {
            let shopper = shoppers.arrive(number, 2);
            let after = shoppers.judge(shopper, Ok(&answer(200, "{}")));
            twice += u32::from(after.next.len() == 2);
            for (_, next) in &after.next {
                assert_eq!(next.step, Step::Reserve);
                let ask = shoppers.ask(next);
                assert_eq!(ask.headers[IDEMPOTENCY_KEY], format!("r-{number}"));
            }
        }
        assert!((60..150).contains(&twice), "{twice}");
    }

    #[test]
    fn the_books_keep_every_promise() {
        let mut shoppers = shoppers();
        let reserve = || at(Step::Reserve);
        shoppers.judge(reserve(), Ok(&answer(201, ORDER)));
        shoppers.judge(reserve(), Ok(&answer(200, ORDER)));
        assert_eq!(
            (shoppers.books.orders(), shoppers.books.second_orders),
            (1, 0)
        );
        shoppers.judge(reserve(), Ok(&answer(201, r#"{"id": "other"}"#)));
        assert_eq!(
            (shoppers.books.orders(), shoppers.books.second_orders),
            (1, 1)
        );
        assert_eq!(shoppers.books.paid_items(), 0);
        let pay = at(Step::Pay {
            order: "abc".into(),
        });
        shoppers.judge(pay.clone(), Ok(&answer(200, "{}")));
        assert_eq!(shoppers.books.paid_items(), 1);
        let gone = answer(404, r#"{"error": "unknown_reservation"}"#);
        assert_eq!(shoppers.judge(pay, Ok(&gone)).worth, Worth::Bad);
        assert_eq!(shoppers.books.forgotten, 1);
    }

    #[test]
    fn a_no_is_no_failure_and_brings_them_back_a_few_times() {
        let mut shoppers = shoppers();
        let mut shopper = at(Step::Reserve);
        let sold_out = answer(409, r#"{"error": "sold_out"}"#);
        for _ in 0..COMES_BACK_MAX {
            let mut after = shoppers.judge(shopper, Ok(&sold_out));
            assert_eq!(after.worth, Worth::Refused);
            let (pause, back) = after.next.pop().expect("comes back");
            assert!((1.0..=3.0).contains(&pause.as_secs_f64()));
            shopper = back;
        }
        assert!(shoppers.judge(shopper, Ok(&sold_out)).next.is_empty());
    }

    #[test]
    fn without_a_good_answer_the_same_key_is_sent_again() {
        let mut shoppers = shoppers();
        let before = at(Step::Reserve);
        let key = shoppers.ask(&before).headers[IDEMPOTENCY_KEY].clone();
        for result in [Err(WireError::Reset), Err(WireError::Timeout)] {
            let after = shoppers.judge(before.clone(), result);
            assert_eq!(after.worth, Worth::Bad);
            let (_, again) = &after.next[0];
            assert_eq!(shoppers.ask(again).headers[IDEMPOTENCY_KEY], key);
        }
        let mut shopper = before;
        for _ in 0..AGAIN_MAX {
            let mut after = shoppers.judge(shopper, Ok(&answer(502, "")));
            shopper = after.next.pop().expect("again").1;
        }
        assert!(
            shoppers
                .judge(shopper, Ok(&answer(502, "")))
                .next
                .is_empty()
        );
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_bad() {
        let mut shoppers = shoppers();
        for (status, body) in [
            (201, "{}"),
            (201, r#"{"id": "../x"}"#),
            (204, ""),
            (418, ""),
        ] {
            let after = shoppers.judge(at(Step::Reserve), Ok(&answer(status, body)));
            assert_eq!(after.worth, Worth::Bad, "{status} {body}");
        }
        assert_eq!(shoppers.books.orders(), 0);
    }
}
