//! Keeps the route table in step with state and reports, for the cost of what changed. The sweep
//! compares it with the table that `build` makes of everything, and is to find nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use cfx_protocol::id::{AppGuid, ProcessGuid, RouteGuid};

use super::table::{self, Table};
use crate::cells::Observed;
use crate::cells::changes::Listener;
use crate::cells::observed::Instances;
use crate::state::app::App;
use crate::state::domain::Domain;
use crate::state::intent::IntentChunk;
use crate::state::process::Process;
use crate::state::route::Route;
use crate::state::{Link, State, StateHandle, changed_keys};

#[derive(Debug)]
pub(super) struct Keeper {
    listener: Listener,
    followed: Arc<State>,
    table: Table,
}

impl Keeper {
    pub(super) fn new(observed: &Observed) -> Self {
        Self {
            listener: observed.listen(),
            followed: Arc::default(),
            table: Table::new(),
        }
    }

    /// The table as of now, and what it was made from. The state is looked at after the reports:
    /// whatever they speak of is in it.
    pub(super) fn follow(
        &mut self,
        observed: &Observed,
        state: &StateHandle,
    ) -> (Table, Arc<State>, Instances) {
        let (changed, _, instances) = observed.since(&self.listener);
        let (changed, state) = (changed.instances, state.read());
        let owners = changed.into_iter().filter_map(|it| state.owner_of(it));
        let mut processes: BTreeSet<_> = owners.map(|chunk| chunk.process).collect();
        let chunks = changed_keys::<IntentChunk>(&self.followed, &state).into_iter();
        processes.extend(chunks.map(|chunk| chunk.process));
        for guid in changed_routes(&self.followed, &state, processes) {
            let route = state.get::<Route>(&guid);
            match route.and_then(|route| table::entry(&state, &instances, route)) {
                Some(entry) if self.table.get(&guid).is_some_and(|it| **it == entry) => {}
                Some(entry) => drop(self.table.insert(guid, Arc::new(entry))),
                None => drop(self.table.remove(&guid)),
            }
        }
        self.followed = state.clone();
        (self.table.clone(), state, instances)
    }

    pub(super) fn table(&self) -> Table {
        self.table.clone()
    }

    /// Compare with everything. Answers how many routes were wrong; they are put right.
    pub(super) fn sweep(&mut self, state: &State, instances: &Instances) -> usize {
        let table = table::build(state, instances, &self.table);
        let repairs = self.table.diff(&table).count();
        self.table = table;
        repairs
    }
}

/// Routes whose entries may differ between two states, or because of what instances of these
/// processes do.
fn changed_routes(
    before: &State,
    after: &State,
    mut processes: BTreeSet<ProcessGuid>,
) -> BTreeSet<RouteGuid> {
    processes.extend(changed_keys::<Process>(before, after));
    let mut apps: BTreeSet<AppGuid> = changed_keys::<App>(before, after).into_iter().collect();
    let mut routes: BTreeSet<_> = changed_keys::<Route>(before, after).into_iter().collect();
    for state in [before, after] {
        let of = processes.iter().filter_map(|it| state.get::<Process>(it));
        apps.extend(of.map(|process| process.app));
        for domain in changed_keys::<Domain>(before, after) {
            let under = state.linked::<Route>(Link::RoutesUnder(domain.0));
            routes.extend(under.map(|route| route.guid));
        }
    }
    for app in apps {
        let to = after.linked::<Route>(Link::RoutesTo(app.0));
        routes.extend(to.map(|route| route.guid));
    }
    routes
}
