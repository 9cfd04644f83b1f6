//! Which addresses a cell has.

use std::net::Ipv4Addr;

use cfx_process::supervisor::Supervisor;
use cfx_protocol::id::CellGuid;
use ipnet::Ipv4Net;

use super::NetworkError;
use super::link::Links;

/// Addresses of a cell: 4,096, more than it may have instances, so that a freed address can rest.
pub const RANGE_PREFIX: u8 = 20;

/// The shared address space of RFC 6598: neither of the internet nor of anybody's own network.
const SPACE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);

/// A range for a cell that nothing on this machine has a route to. Two cells that choose at the
/// same moment could choose the same; open one's network before the other chooses.
pub async fn choose(cell: CellGuid, supervisor: &Supervisor) -> Result<Ipv4Net, NetworkError> {
    let taken = Links::connect(supervisor)?.routed_ranges().await?;
    pick(cell, &taken).ok_or(NetworkError::NoFreeRange)
}

/// Begins at a place that depends on the cell, so that a cell tends to have the same range and
/// two cells tend to have different ones.
fn pick(cell: CellGuid, taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    let count: u32 = 1 << (RANGE_PREFIX - SPACE.prefix_len());
    let first = u32::try_from(cell.0.as_u128() % u128::from(count)).ok()?;
    (0..count)
        .map(|step| (first + step) % count)
        .filter_map(|number| {
            let network = u32::from(SPACE.network()) + (number << (32 - RANGE_PREFIX));
            Ipv4Net::new(Ipv4Addr::from(network), RANGE_PREFIX).ok()
        })
        .find(|range| !taken.iter().any(|other| overlap(range, other)))
}

fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(other) || other.contains(one)
}

/// The first address of a range is the machine's.
pub(super) fn gateway(range: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(range.network()) + 1)
}

/// May an instance have it?
pub(super) fn is_usable(range: Ipv4Net, address: Ipv4Addr) -> bool {
    range.contains(&address)
        && address != range.network()
        && address != range.broadcast()
        && address != gateway(range)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn cell(number: u128) -> CellGuid {
        CellGuid(Uuid::from_u128(number))
    }

    #[test]
    fn a_cell_keeps_its_place_and_avoids_what_is_taken() {
        let first = pick(cell(7), &[]).expect("a range");
        assert_eq!(first.to_string(), "100.64.112.0/20");
        assert_eq!(pick(cell(7), &[]), Some(first));
        let smaller = "100.64.112.128/25".parse().expect("a range");
        let next = pick(cell(7), &[smaller]).expect("another");
        assert_eq!(next.to_string(), "100.64.128.0/20");
        // The last place is followed by the first.
        let last = "100.127.240.0/20".parse().expect("a range");
        assert_eq!(
            pick(cell(1023), &[last]).map(|range| range.to_string()),
            Some("100.64.0.0/20".to_owned())
        );
        let all = "100.64.0.0/10".parse().expect("a range");
        assert_eq!(pick(cell(7), &[all]), None);
    }

    #[test]
    fn instances_get_neither_the_ends_of_a_range_nor_the_gateway() {
        let range = "100.64.112.0/20".parse().expect("a range");
        for (address, usable) in [
            ("100.64.112.0", false),
            ("100.64.112.1", false),
            ("100.64.112.2", true),
            ("100.64.127.254", true),
            ("100.64.127.255", false),
            ("100.64.128.2", false),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(is_usable(range, address), usable, "{address}");
        }
    }
}
