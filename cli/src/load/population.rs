//! Who sends the requests: what each does when it comes, and what after each answer.

use std::time::Duration;

use bytes::Bytes;
use cfx_process::entropy::IdSource;
use http::{HeaderMap, HeaderValue, Method};

use super::arrivals::unit;
use super::ask::{Answer, Ask, WireError};
use super::tally::Worth;

/// Visitors. One population belongs to one thread; what it learns is merged afterwards.
pub(crate) trait Population {
    /// How far one visitor is.
    type Visit;
    /// The visitor of this number comes, in this phase.
    fn arrive(&mut self, number: u64, phase: usize) -> Self::Visit;
    fn ask(&mut self, visit: &Self::Visit) -> Ask;
    /// What the answer is worth, and what the visitor does next and how long after it.
    fn judge(
        &mut self,
        visit: Self::Visit,
        result: Result<&Answer, WireError>,
    ) -> After<Self::Visit>;
}

#[derive(Debug)]
pub(crate) struct After<Visit> {
    pub(crate) worth: Worth,
    pub(crate) next: Vec<(Duration, Visit)>,
}

impl<Visit> After<Visit> {
    pub(crate) fn end(worth: Worth) -> Self {
        Self {
            worth,
            next: Vec::new(),
        }
    }
}

/// One kind of request; `{number}` in path, headers and body is the visitor's number and `{key}` a text
/// that no other visitor has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: Vec<(http::HeaderName, String)>,
    pub(crate) body: String,
    /// How often among the others.
    pub(crate) weight: f64,
    /// Statuses that are hoped for; below 400 when there are none.
    pub(crate) expect: Vec<u16>,
}

impl Template {
    pub(crate) fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            headers: Vec::new(),
            body: String::new(),
            weight: 1.0,
            expect: Vec::new(),
        }
    }

    fn worth(&self, status: u16) -> Worth {
        let is_good = match self.expect.is_empty() {
            true => status < 400,
            false => self.expect.contains(&status),
        };
        if is_good { Worth::Good } else { Worth::Bad }
    }
}

/// Visitors who each send one request and leave.
#[derive(Debug)]
pub(crate) struct OneRequest {
    pub(crate) templates: Vec<Template>,
    /// Share of them on a connection of their own, 0 to 1.
    pub(crate) new_share: f64,
    pub(crate) seed: u64,
    pub(crate) dice: IdSource,
}

/// Which template, and whose number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Once {
    template: usize,
    number: u64,
}

impl OneRequest {
    fn pick(&self) -> usize {
        let whole: f64 = self.templates.iter().map(|one| one.weight).sum();
        let mut left = unit(&self.dice) * whole;
        let picked = self.templates.iter().position(|one| {
            left -= one.weight;
            left < 0.0
        });
        picked.unwrap_or(0)
    }
}

impl Population for OneRequest {
    type Visit = Once;

    fn arrive(&mut self, number: u64, _: usize) -> Once {
        let template = match self.templates.len() {
            1 => 0,
            _ => self.pick(),
        };
        Once { template, number }
    }

    fn ask(&mut self, visit: &Once) -> Ask {
        let template = &self.templates[visit.template];
        let fill = |text: &str| match text.contains('{') {
            false => text.to_owned(),
            true => text
                .replace("{number}", &visit.number.to_string())
                .replace("{key}", &format!("{:x}-{}", self.seed, visit.number)),
        };
        let headers = template.headers.iter().filter_map(|(name, value)| {
            let value = HeaderValue::try_from(fill(value)).ok()?;
            Some((name.clone(), value))
        });
        Ask {
            method: template.method.clone(),
            path: fill(&template.path),
            headers: headers.collect::<HeaderMap>(),
            body: Bytes::from(fill(&template.body)),
            is_new: unit(&self.dice) < self.new_share,
            wants_body: false,
        }
    }

    fn judge(&mut self, visit: Once, result: Result<&Answer, WireError>) -> After<Once> {
        After::end(match result {
            Ok(answer) => self.templates[visit.template].worth(answer.status),
            Err(_) => Worth::Bad,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn population(templates: Vec<Template>, new_share: f64) -> OneRequest {
        OneRequest {
            templates,
            new_share,
            seed: 255,
            dice: IdSource::seeded(1),
        }
    }

    #[test]
    fn templates_are_filled_with_what_is_the_visitors_own() {
        let template = Template {
            method: Method::POST,
            headers: vec![(
                http::HeaderName::from_static("idempotency-key"),
                "{key}".into(),
            )],
            body: r#"{"order": {number}}"#.into(),
            ..Template::get("/orders/{number}")
        };
        let mut people = population(vec![template], 0.0);
        let visit = people.arrive(7, 0);
        let ask = people.ask(&visit);
        assert_eq!(ask.path, "/orders/7");
        assert_eq!(ask.headers["idempotency-key"], "ff-7");
        assert_eq!(&ask.body[..], br#"{"order": 7}"#);
    }

    #[test]
    fn weights_and_the_share_of_new_connections_are_kept() {
        let heavy = Template {
            weight: 3.0,
            ..Template::get("/heavy")
        };
        let mut people = population(vec![Template::get("/light"), heavy], 0.5);
        let (mut is_heavy, mut is_new) = (0, 0);
        for number in 0..4_000 {
            let visit = people.arrive(number, 0);
            let ask = people.ask(&visit);
            is_heavy += u32::from(ask.path == "/heavy");
            is_new += u32::from(ask.is_new);
        }
        assert!((2_850..3_150).contains(&is_heavy), "{is_heavy}");
        assert!((1_850..2_150).contains(&is_new), "{is_new}");
    }

    #[test]
    fn what_was_not_expected_is_bad() {
        let mut people = population(vec![Template::get("/")], 0.0);
        let mut worth = |status| {
            let visit = people.arrive(0, 0);
            let answer = Answer {
                status,
                ..Answer::default()
            };
            people.judge(visit, Ok(&answer)).worth
        };
        assert_eq!(
            [200, 304, 404, 503].map(&mut worth),
            [Worth::Good, Worth::Good, Worth::Bad, Worth::Bad]
        );
        people.templates[0].expect = vec![404];
        let visit = people.arrive(0, 0);
        let answer = Answer {
            status: 404,
            ..Answer::default()
        };
        assert_eq!(people.judge(visit, Ok(&answer)).worth, Worth::Good);
    }
}
