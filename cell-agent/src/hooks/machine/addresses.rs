//! Who has which address, and which are made ahead with a network namespace around them.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::actual::Address;
use cfx_protocol::id::AssignmentGuid;

use crate::network::{AddressPool, Forward};

/// A network namespace that nobody sits in: it lasts as long as this is held, so an agent that is
/// killed leaves none behind.
pub(super) type Namespace = Arc<File>;

#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) pool: AddressPool,
    pub(super) leases: BTreeMap<AssignmentGuid, Address>,
    /// Ports of the machine that lead to leased addresses.
    pub(super) forwards: BTreeMap<AssignmentGuid, Forward>,
    /// Addresses that are nobody's yet, attached to namespaces; the oldest first.
    pub(super) ready: VecDeque<(Ipv4Addr, Namespace)>,
    /// Namespaces of leased addresses, until somebody has entered them.
    pub(super) open: BTreeMap<AssignmentGuid, Namespace>,
}

impl Addresses {
    pub(super) fn new(pool: AddressPool) -> Self {
        Self {
            pool,
            leases: BTreeMap::new(),
            forwards: BTreeMap::new(),
            ready: VecDeque::new(),
            open: BTreeMap::new(),
        }
    }

    pub(super) fn lease(
        &mut self,
        assignment: AssignmentGuid,
        known: Option<Address>,
        port: u16,
        now: Duration,
    ) -> Option<Address> {
        if let Some(address) = self.leases.get(&assignment) {
            return Some(*address);
        }
        let known = known.and_then(v4).filter(|ip| self.pool.claim(*ip));
        let ip = known
            .or_else(|| self.take_ready(assignment))
            .or_else(|| self.pool.lease(now))?;
        Some(self.give(assignment, ip, port))
    }

    /// The address of one assignment becomes another's, which has none.
    pub(super) fn pass(
        &mut self,
        from: AssignmentGuid,
        to: AssignmentGuid,
        port: u16,
    ) -> Option<Address> {
        if self.leases.contains_key(&to) {
            return None;
        }
        let ip = v4(*self.leases.get(&from)?)?;
        self.leases.remove(&from);
        Some(self.give(to, ip, port))
    }

    fn give(&mut self, assignment: AssignmentGuid, ip: Ipv4Addr, port: u16) -> Address {
        let address = Address {
            host: ip.into(),
            port,
            internal_ip: ip.into(),
        };
        self.leases.insert(assignment, address);
        address
    }

    fn take_ready(&mut self, assignment: AssignmentGuid) -> Option<Ipv4Addr> {
        let (ip, namespace) = self.ready.pop_front()?;
        self.open.insert(assignment, namespace);
        Some(ip)
    }

    pub(super) fn ip(&self, assignment: AssignmentGuid) -> Option<Ipv4Addr> {
        self.leases.get(&assignment).copied().and_then(v4)
    }

    /// Has anybody this address, or will somebody have it?
    pub(super) fn is_spoken_for(&self, ip: Ipv4Addr) -> bool {
        let ready = self.ready.iter().map(|(ip, _)| IpAddr::V4(*ip));
        let leased = self.leases.values().map(|lease| lease.internal_ip);
        ready.chain(leased).any(|one| one == IpAddr::V4(ip))
    }
}

/// Where another process finds a namespace that this one holds open.
pub(super) fn path(namespace: &Namespace) -> PathBuf {
    PathBuf::from(format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        namespace.as_raw_fd()
    ))
}

pub(super) fn v4(address: Address) -> Option<Ipv4Addr> {
    match address.internal_ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn guid(number: u128) -> AssignmentGuid {
        AssignmentGuid(Uuid::from_u128(number))
    }

    fn addresses() -> Addresses {
        let range = "100.64.0.0/29".parse().expect("a range");
        Addresses::new(AddressPool::new(range, Duration::from_secs(30)))
    }

    fn namespace() -> Namespace {
        Arc::new(File::open("/proc/self/ns/net").expect("a namespace"))
    }

    #[test]
    fn an_address_is_passed_on_once_and_to_nobody_who_has_one() {
        let mut addresses = addresses();
        let lease = |addresses: &mut Addresses, number| {
            addresses.lease(guid(number), None, 1, Duration::ZERO)
        };
        let first = lease(&mut addresses, 1).expect("an address");
        let second = lease(&mut addresses, 2).expect("another");
        assert_eq!(addresses.pass(guid(1), guid(2), 80), None);
        let passed = addresses.pass(guid(1), guid(3), 80).expect("passed on");
        assert_eq!((passed.internal_ip, passed.port), (first.internal_ip, 80));
        assert_eq!(addresses.pass(guid(1), guid(4), 80), None, "it is gone");
        assert_eq!(lease(&mut addresses, 3), Some(passed));
        assert_eq!(lease(&mut addresses, 2), Some(second));
        assert_eq!(addresses.pool.leased(), 2);
    }

    #[test]
    fn what_is_ready_is_given_first_and_never_in_place_of_a_known_address() {
        let mut addresses = addresses();
        let ip = addresses.pool.lease(Duration::ZERO).expect("an address");
        addresses.ready.push_back((ip, namespace()));
        assert!(addresses.is_spoken_for(ip));
        let known = Address {
            host: Ipv4Addr::new(100, 64, 0, 5).into(),
            port: 1,
            internal_ip: Ipv4Addr::new(100, 64, 0, 5).into(),
        };
        let kept = addresses.lease(guid(1), Some(known), 1, Duration::ZERO);
        assert_eq!(kept, Some(known));
        assert!(addresses.open.is_empty());
        let given = addresses.lease(guid(2), None, 1, Duration::ZERO);
        assert_eq!(given.map(|one| one.internal_ip), Some(ip.into()));
        assert!(addresses.open.contains_key(&guid(2)) && addresses.ready.is_empty());
        assert!(addresses.is_spoken_for(ip));
    }
}
