//! `curl`: any request, as the logged-in user.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::args::CurlArgs;
use crate::client::Answer;
use crate::context::Context;
use crate::failure::{EXIT_HTTP_ERROR, Failure, Outcome};

pub(crate) async fn curl(context: &Context, args: &CurlArgs) -> Outcome {
    let logged_in = context.logged_in()?;
    let api = &logged_in.api;
    let path = match args.path.strip_prefix(&api.target().url) {
        Some(path) => path,
        None => args.path.as_str(),
    };
    let url = format!("{}/{}", api.target().url, path.trim_start_matches('/'));
    let body = args.data.as_deref().map(body).transpose()?;
    let method = match (&args.method, &body) {
        (Some(method), _) => method.to_uppercase().parse::<Method>().map_err(|_| {
            Failure::new(format!("`{method}` is no method")).next("for example -X PATCH")
        })?,
        (None, Some(_)) => Method::POST,
        (None, None) => Method::GET,
    };
    let headers = headers(&args.headers)?;
    let answer = api
        .authorised(method, url, headers, body.unwrap_or_default())
        .await?;
    show(context, args, &answer)?;
    if args.fail && answer.status.as_u16() >= 400 {
        context.terminal.note(format!(
            "The requested URL returned error: {}",
            answer.status
        ));
        return Err(Failure::silent(EXIT_HTTP_ERROR));
    }
    Ok(())
}

fn body(data: &str) -> Outcome<Bytes> {
    let Some(file) = data.strip_prefix('@') else {
        return Ok(Bytes::from(data.to_owned()));
    };
    match std::fs::read(file) {
        Ok(content) => Ok(content.into()),
        Err(error) => Err(Failure::new(format!("cannot read {file}: {error}"))
            .next("give the body as -d TEXT or -d @FILE")),
    }
}

fn headers(given: &[String]) -> Outcome<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    for text in given {
        let parsed = text.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::try_from(name.trim()).ok()?;
            Some((name, HeaderValue::try_from(value.trim()).ok()?))
        });
        let (name, value) = parsed.ok_or_else(|| {
            Failure::new(format!("`{text}` is no header")).next("for example -H 'If-Match: x'")
        })?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn show(context: &Context, args: &CurlArgs, answer: &Answer) -> Outcome {
    let terminal = &context.terminal;
    if args.include {
        terminal.say(format!("HTTP/1.1 {}", answer.status));
        for (name, value) in &answer.headers {
            terminal.say(format!(
                "{name}: {}",
                String::from_utf8_lossy(value.as_bytes())
            ));
        }
        terminal.blank();
    }
    let Some(file) = &args.output else {
        terminal.raw(&answer.body);
        if !answer.body.is_empty() && !answer.body.ends_with(b"\n") {
            terminal.blank();
        }
        return Ok(());
    };
    std::fs::write(file, &answer.body).map_err(|error| {
        Failure::new(format!("cannot write {}: {error}", file.display()))
            .next("give another file: --output FILE")
    })
}
