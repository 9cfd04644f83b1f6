//! Pages of lists, as app-autoscaler cuts them.

use axum::Json;
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::{Value, json};

use super::call::Call;
use super::error::{Answer, ApiError};

const PER_PAGE_DEFAULT: usize = 50;
/// All that a ring of acts keeps of a busy day fits two pages.
const PER_PAGE_MAX: usize = 500;

/// What of a list is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    /// Nanoseconds since 1970, both ends included.
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    ascending: bool,
    page: usize,
    per_page: usize,
}

impl Range {
    pub(crate) fn of(call: &Call) -> Result<Self, ApiError> {
        let wrong = |text: String| Err(ApiError::BadRequest(text));
        let start_ns = call.number("start-time")?.unwrap_or(0);
        let now_ns = call.context.edges.clock.now_ns();
        // -1 is now.
        let end_ns = call.number("end-time")?.filter(|end| *end >= 0);
        let end_ns = end_ns.unwrap_or(now_ns);
        if start_ns < 0 || start_ns > end_ns {
            return wrong("start-time must not be negative, nor after end-time".to_owned());
        }
        let order = call.get("order-direction").or_else(|| call.get("order"));
        let ascending = match order.map(str::to_ascii_lowercase).as_deref() {
            None | Some("desc") => false,
            Some("asc") => true,
            Some(_) => return wrong("order-direction must be asc or desc".to_owned()),
        };
        let page = call.number("page")?.unwrap_or(1);
        let per_page = call.number("results-per-page")?;
        let per_page = per_page.map_or(Ok(PER_PAGE_DEFAULT), usize::try_from);
        let page = usize::try_from(page).ok().filter(|page| *page >= 1);
        match (page, per_page) {
            (Some(page), Ok(per_page @ 1..=PER_PAGE_MAX)) => Ok(Self {
                start_ns,
                end_ns,
                ascending,
                page,
                per_page,
            }),
            _ => wrong(format!(
                "page must be 1 or more, and results-per-page 1 to {PER_PAGE_MAX}"
            )),
        }
    }

    /// The answer: of all that is there, oldest first, what the page shows.
    pub(crate) fn answer<T: Serialize>(
        self,
        call: &Call,
        all: Vec<T>,
        at_ns: impl Fn(&T) -> i64,
    ) -> Answer {
        let inside = |one: &T| (self.start_ns..=self.end_ns).contains(&at_ns(one));
        let mut found: Vec<T> = all.into_iter().filter(inside).collect();
        found.sort_by_key(&at_ns);
        if !self.ascending {
            found.reverse();
        }
        let total = found.len();
        let pages = total.div_ceil(self.per_page);
        let shown: Vec<T> = found
            .into_iter()
            .skip((self.page - 1).saturating_mul(self.per_page))
            .take(self.per_page)
            .collect();
        let link = |page: usize| match (1..=pages).contains(&page) {
            true => Value::String(self.href(&call.path, page)),
            false => Value::Null,
        };
        let body = json!({
            "total_results": total,
            "total_pages": pages,
            "page": self.page,
            "prev_url": link(self.page - 1),
            "next_url": link(self.page + 1),
            "resources": shown,
        });
        Ok(Json(body).into_response())
    }

    fn href(self, path: &str, page: usize) -> String {
        let order = if self.ascending { "asc" } else { "desc" };
        format!(
            "{path}?start-time={}&end-time={}&order-direction={order}&page={page}&results-per-page={}",
            self.start_ns, self.end_ns, self.per_page
        )
    }
}
