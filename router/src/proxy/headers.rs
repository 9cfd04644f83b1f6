//! What instances are told about a request, and what clients are not told about an answer.
//!
//! Header maps are changed in place and never rebuilt.

use std::rc::Rc;

use http::header::{
    CONNECTION, COOKIE, EXPECT, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use smallvec::SmallVec;
use uuid::Uuid;

use super::exchange::Exchange;
use super::upstream::LocalEndpoint;
use crate::server::connection::Client;

macro_rules! names {
    ($($ident:ident = $name:literal;)+) => {
        $(pub(crate) static $ident: HeaderName = HeaderName::from_static($name);)+
    };
}

names! {
    APP_INSTANCE = "x-cf-app-instance";
    PROCESS_INSTANCE = "x-cf-process-instance";
    APPLICATION_ID = "x-cf-applicationid";
    INSTANCE_ID = "x-cf-instanceid";
    INSTANCE_INDEX = "x-cf-instanceindex";
    FORWARDED_FOR = "x-forwarded-for";
    FORWARDED_PROTO = "x-forwarded-proto";
    FORWARDED_CLIENT_CERT = "x-forwarded-client-cert";
    REQUEST_START = "x-request-start";
    REQUEST_ID = "x-vcap-request-id";
    PROXY_SIGNATURE = "x-cf-proxy-signature";
    B3 = "b3";
    B3_TRACE = "x-b3-traceid";
    B3_SPAN = "x-b3-spanid";
    B3_SAMPLED = "x-b3-sampled";
    KEEP_ALIVE = "keep-alive";
    PROXY_CONNECTION = "proxy-connection";
}

/// Most bytes of `X-Forwarded-For` that are built on the stack.
const FORWARDED_INLINE: usize = 128;

/// Tell the instance who asks: everything but what depends on the chosen instance.
pub(crate) fn prepare(parts: &mut Parts, exchange: &Rc<Exchange>, client: &Client) {
    let upgrading = is_upgrade(&parts.headers);
    strip_hop_by_hop(&mut parts.headers, upgrading);
    let headers = &mut parts.headers;
    headers.remove(&APP_INSTANCE);
    headers.remove(&PROCESS_INSTANCE);
    // This router asks clients for no certificate, so nobody may claim to have shown one.
    headers.remove(&FORWARDED_CLIENT_CERT);
    let forwarded_for = forwarded_for(headers, &client.ip);
    headers.insert(&FORWARDED_FOR, forwarded_for.clone());
    if !headers.contains_key(&FORWARDED_PROTO) {
        let proto = if client.tls { "https" } else { "http" };
        headers.insert(&FORWARDED_PROTO, HeaderValue::from_static(proto));
    }
    let core = exchange.core();
    if !headers.contains_key(&REQUEST_START) {
        headers.insert(&REQUEST_START, core.clock.now().as_millisecond().into());
    }
    let id = Uuid::from_u64_pair(core.dice.roll(), core.dice.roll());
    let id = uuid::Builder::from_random_bytes(id.into_bytes()).into_uuid();
    let id_value = id_value(id);
    headers.insert(&REQUEST_ID, id_value.clone());
    trace(headers, id, core.dice.roll());
    exchange.forwards(id_value, &forwarded_for, headers.get(&FORWARDED_PROTO));
    if client.http2 {
        join_cookies(headers);
    }
}

/// Tell the instance which one it is.
pub(crate) fn address(headers: &mut HeaderMap, endpoint: &LocalEndpoint) {
    headers.insert(&APPLICATION_ID, endpoint.app_id.clone());
    headers.insert(&INSTANCE_ID, endpoint.instance_id.clone());
    headers.insert(&INSTANCE_INDEX, endpoint.instance_index.clone());
}

/// Last touches to any answer but a 101.
pub(crate) fn finish(headers: &mut HeaderMap, exchange: &Exchange) {
    if !headers.contains_key(&REQUEST_ID)
        && let Some(id) = exchange.request_id()
    {
        headers.insert(&REQUEST_ID, id);
    }
    headers.remove(&PROXY_SIGNATURE);
}

/// Have an HTTP/1 client's connection closed after this answer.
pub(crate) fn close(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Does the client ask for another protocol that may be passed on?
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    let Some(upgrade) = headers.get(UPGRADE) else {
        return false;
    };
    // h2c inside a tunnel would carry requests that the router never sees.
    !tokens(upgrade).any(|token| token.eq_ignore_ascii_case(b"h2c"))
        && headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(tokens)
            .any(|token| token.eq_ignore_ascii_case(b"upgrade"))
}

/// Remove what concerns one connection only, and what `Connection` names. With `upgrading` the
/// two headers that ask for it stay.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap, upgrading: bool) {
    if headers.contains_key(CONNECTION) {
        let named: SmallVec<[HeaderName; 4]> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(tokens)
            .filter_map(|token| HeaderName::from_bytes(token).ok())
            .filter(may_be_named)
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    if headers
        .get(TE)
        .is_some_and(|te| te.as_bytes() != b"trailers")
    {
        headers.remove(TE);
    }
    headers.remove(TRANSFER_ENCODING);
    headers.remove(&KEEP_ALIVE);
    headers.remove(&PROXY_CONNECTION);
    headers.remove(PROXY_AUTHENTICATE);
    headers.remove(PROXY_AUTHORIZATION);
    if upgrading {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    } else {
        headers.remove(UPGRADE);
    }
}

/// A `Connection` header must not take away what the message itself stands on.
fn may_be_named(name: &HeaderName) -> bool {
    use http::header::{CONTENT_LENGTH, HOST};
    ![HOST, CONTENT_LENGTH, UPGRADE, TE, EXPECT, COOKIE].contains(name)
}

pub(crate) fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let parts = value.as_bytes().split(|byte| *byte == b',');
    parts.map(<[u8]>::trim_ascii)
}

fn forwarded_for(headers: &HeaderMap, ip: &HeaderValue) -> HeaderValue {
    let mut known = headers.get_all(&FORWARDED_FOR).iter().peekable();
    if known.peek().is_none() {
        return ip.clone();
    }
    let mut list: SmallVec<[u8; FORWARDED_INLINE]> = SmallVec::new();
    for value in known {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(ip.as_bytes());
    HeaderValue::from_bytes(&list).unwrap_or_else(|_| ip.clone())
}

fn id_value(id: Uuid) -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let text = id.as_hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Continue the client's trace or begin one. Both spellings of b3 are set, as gorouter does.
fn trace(headers: &mut HeaderMap, id: Uuid, span: u64) {
    if headers.contains_key(&B3) {
        return;
    }
    if let (Some(trace), Some(span)) = (headers.get(&B3_TRACE), headers.get(&B3_SPAN)) {
        let parts = [Some(trace), Some(span), headers.get(&B3_SAMPLED)];
        let parts: Vec<&[u8]> = parts.into_iter().flatten().map(|p| p.as_bytes()).collect();
        if let Ok(b3) = HeaderValue::from_bytes(&parts.join(&b'-')) {
            headers.insert(&B3, b3);
        }
        return;
    }
    const TRACE_BYTES: usize = 32;
    let mut text = [0_u8; TRACE_BYTES + 1 + 16];
    hex(&mut text[..TRACE_BYTES], id.as_bytes());
    text[TRACE_BYTES] = b'-';
    hex(&mut text[TRACE_BYTES + 1..], &span.to_be_bytes());
    for (name, value) in [
        (&B3_TRACE, &text[..TRACE_BYTES]),
        (&B3_SPAN, &text[TRACE_BYTES + 1..]),
        (&B3, &text[..]),
    ] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
}

fn hex(into: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in into.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// HTTP/2 may split cookies over lines; HTTP/1 may not.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}
