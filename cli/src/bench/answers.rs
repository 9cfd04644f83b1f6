//! Asking every instance by name, through the router, until each has answered for itself.

use std::collections::VecDeque;
use std::time::Duration;

use cfx_process::clock::Clock;

use super::lab::Deployed;
use super::load;
use crate::failure::{Failure, Outcome};

/// Of those that have not answered, so many are asked in turn: instances start in about the order
/// of their indices, and asking all of thousands would cost more than starting them.
const ASKED_AT_ONCE: u32 = 8;
/// Pause for each that was asked in a round in which nobody new has answered: what is measured is
/// not to be the asking.
const PAUSE: Duration = Duration::from_millis(2);

/// Until each of these indices has answered; the time of the last answer.
pub(super) async fn all(
    deployed: &Deployed,
    indices: std::ops::Range<u32>,
    clock: &Clock,
    timeout: Duration,
) -> Outcome<Duration> {
    let deadline = clock.monotonic() + timeout;
    let mut pending: VecDeque<u32> = indices.collect();
    let mut connection = None;
    while !pending.is_empty() {
        let (before, mut asked) = (pending.len(), 0);
        while asked < ASKED_AT_ONCE.min(u32::try_from(before).unwrap_or(ASKED_AT_ONCE))
            && let Some(index) = pending.pop_front()
        {
            asked += 1;
            let request = request(deployed, index);
            let answer = load::ask_once(&mut connection, deployed.router, &request).await;
            if !matches!(answer, Ok(load::OK)) {
                pending.push_back(index);
            }
        }
        // The lowest first again: they are the likeliest.
        pending.make_contiguous().sort_unstable();
        if clock.monotonic() > deadline {
            return Err(Failure::new(format!(
                "{} instances did not answer within {timeout:?}, the first is {}",
                pending.len(),
                pending[0]
            )));
        }
        if pending.len() == before {
            clock.sleep(PAUSE * asked).await;
        }
    }
    Ok(clock.monotonic())
}

/// Until this instance does not answer any more.
pub(super) async fn none(
    deployed: &Deployed,
    index: u32,
    clock: &Clock,
    timeout: Duration,
) -> Outcome {
    let deadline = clock.monotonic() + timeout;
    let (mut connection, request) = (None, request(deployed, index));
    while matches!(
        load::ask_once(&mut connection, deployed.router, &request).await,
        Ok(load::OK)
    ) {
        if clock.monotonic() > deadline {
            return Err(Failure::new(format!("instance {index} still answers")));
        }
        clock.sleep(PAUSE).await;
    }
    Ok(())
}

fn request(deployed: &Deployed, index: u32) -> String {
    let Deployed { app, host, .. } = deployed;
    format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Cf-App-Instance: {app}:{index}\r\n\r\n")
}
