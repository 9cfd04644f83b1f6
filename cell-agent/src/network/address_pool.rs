//! Which addresses are free. Pure: time is an argument.
//!
//! The address that has been free longest is given first, and none before it has rested: somebody
//! may still believe that it belongs to who had it before.

use std::collections::{HashSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;

use super::range::is_usable;

/// Addresses of one cell.
#[derive(Debug, Clone)]
pub struct AddressPool {
    range: Ipv4Net,
    rest: Duration,
    /// In the order they became free; none means since ever.
    free: VecDeque<(Ipv4Addr, Option<Duration>)>,
    leased: HashSet<Ipv4Addr>,
}

impl AddressPool {
    /// `rest` is how long a released address is kept back.
    #[must_use]
    pub fn new(range: Ipv4Net, rest: Duration) -> Self {
        let free = range
            .hosts()
            .filter(|address| is_usable(range, *address))
            .map(|address| (address, None))
            .collect();
        Self {
            range,
            rest,
            free,
            leased: HashSet::new(),
        }
    }

    /// An address for somebody new; none when all are taken or rest.
    pub fn lease(&mut self, now: Duration) -> Option<Ipv4Addr> {
        let (address, since) = *self.free.front()?;
        if since.is_some_and(|since| now < since + self.rest) {
            return None;
        }
        self.free.pop_front();
        self.leased.insert(address);
        Some(address)
    }

    /// Take a certain address, known from an earlier run; false when it is not to be had.
    pub fn claim(&mut self, address: Ipv4Addr) -> bool {
        if !is_usable(self.range, address) || !self.leased.insert(address) {
            return false;
        }
        self.free.retain(|(free, _)| *free != address);
        true
    }

    /// Give an address back. Releasing what is not leased changes nothing.
    pub fn release(&mut self, address: Ipv4Addr, now: Duration) {
        if self.leased.remove(&address) {
            self.free.push_back((address, Some(now)));
        }
    }

    #[must_use]
    pub fn leased(&self) -> usize {
        self.leased.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(30);

    fn pool(range: &str) -> AddressPool {
        AddressPool::new(range.parse().expect("a range"), REST)
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_longest_free_address_is_given_first_and_none_twice() {
        // .0 and .7 are the ends, .1 the gateway.
        let mut pool = pool("100.64.0.0/29");
        let all: Vec<_> = (0..5).filter_map(|_| pool.lease(at(0))).collect();
        let ends: Vec<u8> = all.iter().map(|address| address.octets()[3]).collect();
        assert_eq!(ends, [2, 3, 4, 5, 6]);
        assert_eq!(pool.lease(at(0)), None);
        pool.release(all[3], at(1));
        pool.release(all[1], at(2));
        assert_eq!(pool.lease(at(1) + REST), Some(all[3]));
        assert_eq!(pool.lease(at(1) + REST), None, "the other one still rests");
        assert_eq!(pool.lease(at(2) + REST), Some(all[1]));
        assert_eq!(pool.leased(), 5);
    }

    #[test]
    fn known_addresses_are_claimed_once_and_only_if_they_are_ours() {
        let mut pool = pool("100.64.0.0/29");
        let second = Ipv4Addr::new(100, 64, 0, 2);
        assert!(pool.claim(second));
        assert!(!pool.claim(second));
        assert!(!pool.claim(Ipv4Addr::new(100, 64, 0, 1)), "the gateway");
        assert!(!pool.claim(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(pool.lease(at(0)), Some(Ipv4Addr::new(100, 64, 0, 3)));
        pool.release(Ipv4Addr::new(100, 64, 0, 6), at(0));
        assert_eq!(pool.leased(), 2, "releasing a free address changes nothing");
    }
}
