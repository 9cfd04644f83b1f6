//! A router that follows the table and confirms it when the test lets it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::http_client::{InternalClient, LinkError};
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use cfx_protocol::generation::Token;
use cfx_protocol::id::{RouteGuid, RouterGuid};
use cfx_protocol::link::{FRAME_MAX_BYTES, PREFIX, Role};
use cfx_protocol::route::{Route, RouteFrame, TableAck};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::world::World;

const REDIAL: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) routes: BTreeMap<RouteGuid, Route>,
    pub(crate) token: Option<Token>,
    pub(crate) frames: u32,
    /// The fewest endpoints that any table had for a route.
    pub(crate) fewest: BTreeMap<RouteGuid, usize>,
    /// Says nothing about what it serves.
    pub(crate) mute: bool,
    acknowledged: Option<Token>,
}

pub(crate) struct FakeRouter {
    pub(crate) table: Arc<Mutex<Table>>,
    stop: Shutdown,
    _tasks: Supervisor,
}

impl FakeRouter {
    pub(crate) fn start(world: &World, n: u128) -> Self {
        let stop = Shutdown::new();
        let tasks = Supervisor::new("fake router", stop.clone());
        let table = Arc::new(Mutex::new(Table::default()));
        let life = Life {
            guid: RouterGuid(Uuid::from_u128(n)),
            client: world.client(Role::Router, n),
            table: table.clone(),
        };
        let router = Self {
            table,
            stop: stop.clone(),
            _tasks: tasks.clone(),
        };
        tasks.spawn("life", OnEnd::Nothing, async move {
            stop.or(life.run()).await;
        });
        router
    }

    /// Endpoints of a route: none when the route is not in the table.
    pub(crate) fn endpoints(&self, route: RouteGuid) -> Option<usize> {
        let table = self.table.lock();
        table.routes.get(&route).map(|route| route.endpoints.len())
    }
}

impl Drop for FakeRouter {
    fn drop(&mut self) {
        self.stop.request();
    }
}

struct Life {
    guid: RouterGuid,
    client: InternalClient,
    table: Arc<Mutex<Table>>,
}

impl Life {
    async fn run(self) {
        loop {
            if self.connected().await.is_err() {
                Clock::system().sleep(REDIAL).await;
            }
        }
    }

    async fn connected(&self) -> Result<(), LinkError> {
        let path = format!("{PREFIX}/routes");
        let mut frames = self
            .client
            .stream::<RouteFrame>(&path, FRAME_MAX_BYTES)
            .await?;
        loop {
            let waited = tokio::time::timeout(REDIAL, std::future::pending::<()>());
            tokio::select! {
                frame = frames.next() => match frame {
                    Ok(Some(frame)) => self.table.lock().follow(frame),
                    _ => return Ok(()),
                },
                _ = waited => self.acknowledge().await?,
            }
        }
    }

    async fn acknowledge(&self) -> Result<(), LinkError> {
        let token = {
            let table = self.table.lock();
            match table.token {
                Some(token) if !table.mute && table.acknowledged != Some(token) => token,
                _ => return Ok(()),
            }
        };
        let ack = TableAck {
            router: self.guid,
            token,
        };
        let path = format!("{PREFIX}/routers/{}/ack", self.guid);
        self.client.post::<_, ()>(&path, &ack).await?;
        self.table.lock().acknowledged = Some(token);
        Ok(())
    }
}

impl Table {
    fn follow(&mut self, frame: RouteFrame) {
        self.frames += 1;
        let token = frame.token();
        match frame {
            RouteFrame::Snapshot { routes, .. } => {
                self.routes = routes.into_iter().map(|it| (it.guid, it)).collect();
            }
            RouteFrame::Delta {
                previous,
                upsert,
                remove,
                ..
            } => {
                assert_eq!(self.token, Some(previous), "no frame is missing");
                self.routes
                    .extend(upsert.into_iter().map(|it| (it.guid, it)));
                for guid in remove {
                    self.routes.remove(&guid);
                }
            }
            RouteFrame::Keepalive { token } => assert_eq!(self.token, Some(token)),
        }
        self.token = Some(token);
        for (guid, route) in &self.routes {
            let count = route.endpoints.len();
            let fewest = self.fewest.entry(*guid).or_insert(count);
            *fewest = count.min(*fewest);
        }
    }
}
