//! Clients' requests: each is given to an endpoint that its router serves, comes out wherever that
//! address leads now, and takes its time there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cfx_protocol::id::AssignmentGuid;
use cfx_protocol::route::Endpoint;

use crate::around::Around;
use crate::cell::Cell;
use crate::router::Router;
use crate::trace::{Fact, Receiver};
use crate::world::Event;

/// Longest time an app takes for an answer: less than the two seconds that a stop leaves it.
const ANSWER_MAX_MS: u64 = 1_700;

#[derive(Debug)]
pub enum Request {
    Comes {
        router: usize,
    },
    Arrives {
        router: usize,
        endpoint: Box<Endpoint>,
    },
    Ends {
        number: u64,
    },
}

#[derive(Debug)]
pub struct Requests {
    every_ms: u64,
    count: u64,
    /// Those that an instance works on, with the router they came through.
    in_flight: BTreeMap<u64, (usize, AssignmentGuid)>,
}

impl Requests {
    #[must_use]
    pub fn new(every_ms: u64) -> Self {
        Self {
            every_ms,
            count: 0,
            in_flight: BTreeMap::new(),
        }
    }

    pub fn on(
        &mut self,
        request: Request,
        routers: &mut [Router],
        cells: &[Cell],
        around: &mut Around,
    ) {
        match request {
            Request::Comes { router } => {
                let pause = around.dice.ms(1, self.every_ms);
                around.after(pause, Event::Request(Request::Comes { router }));
                if let Some(endpoint) = routers[router].choose(around) {
                    let way = around.dice.ms(0, 3);
                    let endpoint = Box::new(endpoint);
                    around.after(way, Event::Request(Request::Arrives { router, endpoint }));
                }
            }
            Request::Arrives { router, endpoint } => self.arrives(router, endpoint, cells, around),
            Request::Ends { number } => drop(self.in_flight.remove(&number)),
        }
    }

    fn arrives(
        &mut self,
        router: usize,
        endpoint: Box<Endpoint>,
        cells: &[Cell],
        around: &mut Around,
    ) {
        let to = cell_of(&endpoint)
            .and_then(|cell| cells.get(cell))
            .and_then(|cell| {
                let container = cell.machine.who_listens(endpoint.address.ip())?;
                let starts = 0..=container.start;
                let is_meant = starts
                    .map(|start| container.assignment.instance(start))
                    .any(|guid| guid == endpoint.instance);
                Some(Receiver {
                    assignment: container.assignment,
                    is_meant,
                })
            });
        if let Some(receiver) = to {
            self.count += 1;
            self.in_flight
                .insert(self.count, (router, receiver.assignment));
            let takes = around.dice.ms(0, ANSWER_MAX_MS);
            around.after(takes, Event::Request(Request::Ends { number: self.count }));
        }
        // A delivery as it should be is no news.
        if to.is_none_or(|receiver| !receiver.is_meant) {
            around.tell(Fact::Delivered {
                router,
                endpoint,
                to,
            });
        }
    }

    /// An app answers no more: its requests have failed.
    pub fn ended(&mut self, assignment: AssignmentGuid) {
        self.in_flight.retain(|_, (_, of)| *of != assignment);
    }

    /// An instance is told to stop: tell of each request that it still works on.
    pub fn interrupted(&mut self, assignment: AssignmentGuid, around: &mut Around) {
        let here = self.in_flight.values().filter(|(_, of)| *of == assignment);
        let routers: Vec<_> = here.map(|(router, _)| *router).collect();
        for router in routers {
            around.tell(Fact::Interrupted { router, assignment });
        }
    }
}

/// Addresses of cell `n` are `100.64.n.*`.
fn cell_of(endpoint: &Endpoint) -> Option<usize> {
    match endpoint.address.ip() {
        IpAddr::V4(ip) => Some(ip.octets()[2].into()),
        IpAddr::V6(_) => None,
    }
}
