//! Every endpoint of the public API: method, path, handler. There is no other registration.
//!
//! A handler that takes a `Call` serves authenticated callers only; the few that take a
//! `Visitor` serve anyone. What a caller may do is decided in permission.rs.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

use super::context::Context;
use super::{organization, root};

/// One row.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(super) handler: MethodRouter<Context>,
}

/// The table.
#[rustfmt::skip]
pub(crate) fn all() -> Vec<Endpoint> {
    vec![
        // Where things are.
        get("/", root::show),
        get("/v3", root::v3),
        get("/v3/info", root::info),

        // Organisations.
        get("/v3/organizations", organization::list),
        post("/v3/organizations", organization::create),
        get("/v3/organizations/{guid}", organization::show),
        patch("/v3/organizations/{guid}", organization::update),
    ]
}

fn get<H: Handler<T, Context>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    endpoint(Method::GET, MethodFilter::GET, path, handler)
}

fn post<H: Handler<T, Context>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    endpoint(Method::POST, MethodFilter::POST, path, handler)
}

fn put<H: Handler<T, Context>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    endpoint(Method::PUT, MethodFilter::PUT, path, handler)
}

fn patch<H: Handler<T, Context>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    endpoint(Method::PATCH, MethodFilter::PATCH, path, handler)
}

fn delete<H: Handler<T, Context>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    endpoint(Method::DELETE, MethodFilter::DELETE, path, handler)
}

fn endpoint<H: Handler<T, Context>, T: 'static>(
    method: Method,
    filter: MethodFilter,
    path: &'static str,
    handler: H,
) -> Endpoint {
    Endpoint {
        method,
        path,
        handler: on(filter, handler),
    }
}
