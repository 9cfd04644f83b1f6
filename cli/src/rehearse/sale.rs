//! The shop's counter: opens the sale, and asks for the shop's own verdict.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cfx_process::clock::Clock;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::Api;
use crate::failure::{Failure, Outcome};
use crate::load::{Answer, Ask, HttpWire, Target, Wire};

/// Time for an answer of the counter: the verdict counts every order again.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The app's variable that holds the operator's token.
const TOKEN: &str = "SALE_TOKEN";
/// Times the counter is asked before it is given up, and the pause between them: a 503 says that the
/// stock does not answer just now, and right after a rush that is no verdict.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// As the shop itself counts, `GET /api/verdict`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShopVerdict {
    pub(crate) ok: bool,
    #[serde(default)]
    pub(crate) never_oversold: bool,
    #[serde(default)]
    pub(crate) books_balance: bool,
    #[serde(default)]
    pub(crate) one_order_per_key: bool,
    #[serde(default)]
    pub(crate) orders: u64,
    #[serde(default)]
    pub(crate) total: u64,
    #[serde(default)]
    pub(crate) available: u64,
    #[serde(default)]
    pub(crate) reserved: u64,
    #[serde(default)]
    pub(crate) sold: u64,
}

#[derive(Debug, Default, Deserialize)]
struct Item {
    #[serde(default)]
    open: bool,
}

#[derive(Debug)]
pub(crate) struct Counter {
    wire: HttpWire,
    clock: Clock,
    root: String,
    token: HeaderValue,
}

/// `GET /v3/apps/:g/environment_variables`.
#[derive(Debug, Deserialize)]
struct Variables {
    #[serde(default)]
    var: serde_json::Map<String, Value>,
}

impl Counter {
    /// The token is read from the app's own settings, so that it never stands on a command line.
    pub(crate) async fn find(
        api: &Api,
        clock: &Clock,
        app: &str,
        target: Arc<Target>,
    ) -> Outcome<Self> {
        let path = format!("/v3/apps/{app}/environment_variables");
        let variables: Variables = api.get(&path).await?;
        let token = variables.var.get(TOKEN).and_then(Value::as_str);
        let token = token.filter(|token| !token.is_empty());
        let token = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
        let mut token =
            token.ok_or_else(|| {
                Failure::new(format!("the app has no {TOKEN}, so its sale cannot be opened")).next(
                "push it with one (`cfx push --var sale-token=...`), or rehearse `--profile ramp`",
            )
            })?;
        token.set_sensitive(true);
        Ok(Self {
            root: target.path.trim_end_matches('/').to_owned(),
            wire: HttpWire::new(target, TIMEOUT),
            clock: clock.clone(),
            token,
        })
    }

    /// A sale with customers in it must not be played with.
    pub(crate) async fn make_ready(&self, reset: bool) -> Outcome {
        let item: Item = self.read(Method::GET, "/api/item", None).await?;
        match (item.open, reset) {
            (false, _) => Ok(()),
            (true, true) => {
                let close = json!({"open": false});
                self.read::<Value>(Method::POST, "/api/sale", Some(&close))
                    .await?;
                Ok(())
            }
            (true, false) => Err(Failure::new(
                "the app's sale is open: there may be customers in it",
            )
            .next("rehearse on another app; or end that sale and begin a new one: --reset-sale")),
        }
    }

    pub(crate) async fn open(&self, stock: u64) -> Outcome {
        let order = json!({"stock": stock});
        self.read::<Value>(Method::POST, "/api/sale", Some(&order))
            .await?;
        Ok(())
    }

    pub(crate) async fn verdict(&self) -> Outcome<ShopVerdict> {
        self.read(Method::GET, "/api/verdict", None).await
    }

    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Outcome<T> {
        let what = format!("{method} {}{path}", self.root);
        let failed = |why: String| {
            Failure::new(format!("the shop does not do `{what}`: {why}")).next(
                "look at its logs: `cfx logs APP --recent`. The flash sale needs an app with the API of sample-apps/flash-sale",
            )
        };
        let mut tries = 0;
        let answer = loop {
            tries += 1;
            let answer = self.wire.exchange(self.ask(&method, path, body)).await;
            match answer {
                // Nothing was done, and the same again is safe.
                Ok(answer) if answer.status == 503 && tries < TRIES => {
                    self.clock.sleep(PAUSE).await;
                }
                Ok(answer) => break answer,
                Err(error) => return Err(failed(error.to_string())),
            }
        };
        // A verdict that is not ok comes with status 500, and is an answer all the same.
        let is_verdict = path.ends_with("/verdict") && answer.status == 500;
        if answer.status >= 300 && !is_verdict {
            return Err(failed(refusal(&answer)));
        }
        serde_json::from_slice(&answer.body).map_err(|error| failed(error.to_string()))
    }

    fn ask(&self, method: &Method, path: &str, body: Option<&Value>) -> Ask {
        let mut headers = HeaderMap::new();
        if *method == Method::POST {
            headers.insert(header::AUTHORIZATION, self.token.clone());
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
        }
        Ask {
            method: method.clone(),
            path: format!("{}{path}", self.root),
            headers,
            body: body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string())),
            is_new: true,
            wants_body: true,
        }
    }
}

/// What it says in words, or its status.
fn refusal(answer: &Answer) -> String {
    let said: Result<Value, _> = serde_json::from_slice(&answer.body);
    let message = said.ok();
    let message = message
        .as_ref()
        .and_then(|said| said.get("message")?.as_str());
    match message {
        Some(message) => format!("{message} ({})", answer.status),
        None => format!("it answered {}", answer.status),
    }
}
