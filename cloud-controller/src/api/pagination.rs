//! Lists: filtered, sorted, cut into pages, with absolute links to the others.

use std::cmp::Ordering;
use std::sync::Arc;

use cfx_protocol::v3::resource::{Link, List, Pagination};
use serde::Serialize;
use serde_json::Value;
use url::form_urlencoded;
use uuid::Uuid;

use super::error::{Answer, ApiError};
use super::query::Query;
use super::request::Base;
use super::response;
use crate::state::meta::Meta;

/// Entries of a page when the caller does not say.
const PER_PAGE_DEFAULT: usize = 50;
/// Most entries of a page, as Cloud Foundry has it.
const PER_PAGE_MAX: usize = 5_000;

/// A record that lists show.
pub(crate) trait Listed {
    fn guid(&self) -> Uuid;
    fn meta(&self) -> &Meta;

    /// For `order_by=name`; empty for what has no name.
    fn name(&self) -> &str {
        ""
    }

    /// For `order_by=position`.
    fn position(&self) -> u32 {
        0
    }
}

/// Which page, of which size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    page: usize,
    per_page: usize,
}

/// Filter by `guids`, times and labels, sort, cut and present a page.
pub(crate) fn page<R: Listed, T: Serialize>(
    base: &Base,
    query: &Query,
    records: impl IntoIterator<Item = Arc<R>>,
    present: impl Fn(&R) -> T,
) -> Answer {
    page_with(base, query, "created_at", records, present, |_| None)
}

/// As `page`, with another default order and with what `include` asks for: it is given the
/// records of the page.
pub(crate) fn page_with<R: Listed, T: Serialize>(
    base: &Base,
    query: &Query,
    default_order: &str,
    records: impl IntoIterator<Item = Arc<R>>,
    present: impl Fn(&R) -> T,
    included: impl FnOnce(&[Arc<R>]) -> Option<Value>,
) -> Answer {
    let guids = query.filter("guids");
    let meta = query.meta_filter()?;
    let cut = query.cut()?;
    let mut found: Vec<Arc<R>> = records
        .into_iter()
        .filter(|record| meta.admits(record.meta()) && guids.admits_guid(record.guid()))
        .collect();
    sort(&mut found, query.get("order_by").unwrap_or(default_order))?;
    let total = found.len();
    let start = cut.page.saturating_sub(1).saturating_mul(cut.per_page);
    let end = start.saturating_add(cut.per_page).min(total);
    let shown = found.get(start..end).unwrap_or_default();
    response::ok(List {
        pagination: pagination(base, query, cut, total),
        resources: shown.iter().map(|record| present(record)).collect(),
        included: included(shown),
    })
}

/// A list of things that are not records (destinations, feature flags): cut only.
pub(crate) fn plain<T: Serialize>(base: &Base, query: &Query, items: Vec<T>) -> Answer {
    let cut = query.cut()?;
    let total = items.len();
    let start = cut.page.saturating_sub(1).saturating_mul(cut.per_page);
    let shown = items.into_iter().skip(start).take(cut.per_page).collect();
    response::ok(List {
        pagination: pagination(base, query, cut, total),
        resources: shown,
        included: None,
    })
}

fn sort<R: Listed>(records: &mut [Arc<R>], order_by: &str) -> Result<(), ApiError> {
    let (field, descending) = match order_by.strip_prefix('-') {
        Some(field) => (field, true),
        None => (order_by.trim_start_matches('+').trim(), false),
    };
    let compare: fn(&R, &R) -> Ordering = match field {
        "created_at" => |a, b| a.meta().created_at.cmp(&b.meta().created_at),
        "updated_at" => |a, b| a.meta().updated_at.cmp(&b.meta().updated_at),
        "name" => |a, b| a.name().cmp(b.name()),
        "position" => |a, b| a.position().cmp(&b.position()),
        _ => {
            return Err(ApiError::bad_query(
                "order_by can only be: created_at, updated_at, name, position",
            ));
        }
    };
    records.sort_by(|a, b| {
        let by_field = compare(a, b);
        let by_field = if descending {
            by_field.reverse()
        } else {
            by_field
        };
        // A total order, so that no record is on two pages.
        by_field.then_with(|| a.guid().cmp(&b.guid()))
    });
    Ok(())
}

impl Query {
    fn cut(&self) -> Result<Cut, ApiError> {
        let number = |key: &str, default: usize, max: usize| match self.get(key) {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(number) if (1..=max).contains(&number) => Ok(number),
                _ => Err(ApiError::bad_query(format!(
                    "{key} must be between 1 and {max}"
                ))),
            },
        };
        Ok(Cut {
            page: number("page", 1, usize::MAX)?,
            per_page: number("per_page", PER_PAGE_DEFAULT, PER_PAGE_MAX)?,
        })
    }
}

fn pagination(base: &Base, query: &Query, cut: Cut, total: usize) -> Pagination {
    let pages = total.div_ceil(cut.per_page).max(1);
    let link = |page: usize| {
        let kept = query
            .pairs
            .iter()
            .filter(|(key, _)| key != "page" && key != "per_page");
        let text = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(kept)
            .append_pair("page", &page.to_string())
            .append_pair("per_page", &cut.per_page.to_string())
            .finish();
        Link::get(base.href(&format!("{}?{text}", query.path)))
    };
    Pagination {
        total_results: total,
        total_pages: pages,
        first: link(1),
        last: link(pages),
        next: (cut.page < pages).then(|| link(cut.page + 1)),
        previous: (cut.page > 1).then(|| link(cut.page - 1)),
    }
}
