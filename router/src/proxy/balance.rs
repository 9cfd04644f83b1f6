//! Which instance answers: what the client wishes, then the route's algorithm.
//!
//! Pure choice over what the thread knows; nothing here connects or waits.

use std::rc::Rc;
use std::time::Duration;

use cfx_protocol::id::{AppGuid, InstanceGuid, ProcessGuid};
use cfx_protocol::route::Balancing;
use http::HeaderMap;
use smallvec::SmallVec;

use super::failure::Failure;
use super::headers::{APP_INSTANCE, PROCESS_INSTANCE};
use super::sticky;
use super::upstream::{LocalEndpoint, LocalRoute};
use crate::config::Limits;

/// What a request asks of the choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    Any,
    /// The instance of an earlier answer; any other is the second best.
    Sticky(InstanceGuid),
    /// `X-CF-App-Instance`: this one or none.
    App {
        app: AppGuid,
        index: u32,
    },
    /// `X-CF-Process-Instance`: this one, or any of the process, or none.
    Process {
        process: ProcessGuid,
        index: Option<u32>,
    },
}

/// Why no instance was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoChoice {
    /// None fits the wish.
    NoneFits,
    /// Every one that fits was tried.
    AllTried,
    /// Every one that fits has as many requests as it may.
    AllFull,
}

/// Instances that failed this request already.
pub(crate) type Tried = SmallVec<[InstanceGuid; 4]>;

impl Wish {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        if let Some(value) = headers.get(&APP_INSTANCE) {
            let (app, index) = value
                .to_str()
                .ok()
                .and_then(guid_and_index)
                .ok_or(Failure::InvalidAppInstance)?;
            let index = index.ok_or(Failure::InvalidAppInstance)?;
            return Ok(Self::App { app, index });
        }
        if let Some(value) = headers.get(&PROCESS_INSTANCE) {
            let (process, index) = value
                .to_str()
                .ok()
                .and_then(guid_and_index)
                .ok_or(Failure::InvalidProcessInstance)?;
            return Ok(Self::Process { process, index });
        }
        Ok(sticky::instance(headers).map_or(Self::Any, Self::Sticky))
    }

    fn admits(&self, endpoint: &LocalEndpoint) -> bool {
        let endpoint = &endpoint.endpoint;
        match self {
            Self::Any | Self::Sticky(_) => true,
            Self::App { app, index } => endpoint.app == *app && endpoint.index == *index,
            Self::Process { process, index } => {
                endpoint.process == *process && index.is_none_or(|index| endpoint.index == index)
            }
        }
    }

    /// How it is worded that nothing fits.
    pub(crate) fn unfulfilled(&self, host: String) -> Failure {
        match self {
            Self::Any | Self::Sticky(_) => Failure::NoEndpoints(host),
            Self::App { app, index } => Failure::NoAppInstance {
                guid: app.to_string(),
                index: index.to_string(),
                host,
            },
            Self::Process { process, index } => Failure::NoProcessInstance {
                guid: process.to_string(),
                index: index.map(|index| index.to_string()),
                host,
            },
        }
    }
}

/// `<lower-case guid>` or `<lower-case guid>:<number>`. A number that no instance can have fits
/// nothing, but is well formed.
fn guid_and_index<Guid: std::str::FromStr>(text: &str) -> Option<(Guid, Option<u32>)> {
    let (guid, index) = match text.split_once(':') {
        Some((guid, index)) => (guid, Some(index)),
        None => (text, None),
    };
    if guid.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let index = match index {
        None => None,
        Some(index) if index.is_empty() || !index.bytes().all(|b| b.is_ascii_digit()) => {
            return None;
        }
        Some(index) => Some(index.parse().unwrap_or(u32::MAX)),
    };
    Some((guid.parse().ok()?, index))
}

/// Choose among the instances of `route` that fit `wish` and were not tried.
pub(crate) fn choose(
    route: &LocalRoute,
    wish: &Wish,
    tried: &Tried,
    limits: &Limits,
    now: Duration,
) -> Result<Rc<LocalEndpoint>, NoChoice> {
    if let Wish::Sticky(instance) = wish {
        let mut endpoints = route.endpoints.iter();
        let own = endpoints.find(|endpoint| endpoint.endpoint.instance == *instance);
        if let Some(own) = own.filter(|e| is_free(e, limits) && !tried.contains(instance)) {
            return Ok(own.clone());
        }
    }
    let fitting = |endpoint: &&Rc<LocalEndpoint>| {
        wish.admits(endpoint) && !tried.contains(&endpoint.endpoint.instance)
    };
    let start = route.next_start();
    let turn = || {
        let (before, from) = route.endpoints.split_at(start);
        from.iter().chain(before).filter(fitting)
    };
    let sound = turn().filter(|endpoint| !endpoint.load.is_failed(now));
    if let Some(chosen) = pick(route.balancing, sound.filter(|e| is_free(e, limits))) {
        return Ok(chosen);
    }
    if turn().next().is_none() {
        let none_fits = !route.endpoints.iter().any(|endpoint| wish.admits(endpoint));
        return Err(if none_fits {
            NoChoice::NoneFits
        } else {
            NoChoice::AllTried
        });
    }
    // When every one has failed, failing is no reason to prefer another.
    if turn().all(|endpoint| endpoint.load.is_failed(now)) {
        turn().for_each(|endpoint| endpoint.load.clear_failed());
    }
    pick(route.balancing, turn().filter(|e| is_free(e, limits))).ok_or(NoChoice::AllFull)
}

fn pick<'e>(
    balancing: Balancing,
    mut turn: impl Iterator<Item = &'e Rc<LocalEndpoint>>,
) -> Option<Rc<LocalEndpoint>> {
    match balancing {
        Balancing::RoundRobin => turn.next(),
        Balancing::LeastConnection => turn.min_by_key(|endpoint| endpoint.load.in_flight()),
    }
    .cloned()
}

/// A thread whose own share of the limit is not used up need not ask the others; so the limit
/// can be passed, by less than twice, while one thread holds nearly all of it.
fn is_free(endpoint: &LocalEndpoint, limits: &Limits) -> bool {
    let max = limits.upstream_in_flight_max;
    let threads = u32::try_from(endpoint.load.threads()).unwrap_or(u32::MAX);
    endpoint.in_flight() < max / threads.max(1) || endpoint.load.in_flight() < max
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "6f1f33a4-5a04-4d9c-b9b2-b6a3a7c0a001";

    #[test]
    fn only_what_gorouter_accepts_names_an_instance() {
        let index = |text: &str| guid_and_index::<AppGuid>(text).map(|(_, index)| index);
        assert_eq!(index(GUID), Some(None));
        assert_eq!(index(&format!("{GUID}:7")), Some(Some(7)));
        assert_eq!(index(&format!("{GUID}:99999999999")), Some(Some(u32::MAX)));
        for wrong in [
            String::new(),
            format!("{GUID}:"),
            format!("{GUID}:x"),
            format!("{GUID}:-1"),
            format!("{GUID}:1:2"),
            GUID.to_uppercase(),
            GUID.replace('-', ""),
        ] {
            assert_eq!(index(&wrong), None, "{wrong}");
        }
    }
}
