//! The machine's own name servers.

use std::net::{IpAddr, SocketAddr};

use super::PORT;

/// As many as the C library asks.
const SERVERS_MAX: usize = 3;
const PATH: &str = "/etc/resolv.conf";

/// The name servers in a `resolv.conf`, in their order.
#[must_use]
pub fn nameservers(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            if words.next() != Some("nameserver") {
                return None;
            }
            // A zone (`fe80::1%eth0`) names a link that may not be there tomorrow.
            let address: IpAddr = words.next()?.parse().ok()?;
            Some(SocketAddr::new(address, PORT))
        })
        .take(SERVERS_MAX)
        .collect()
}

/// Those of this machine; none when it has none.
pub fn nameservers_of_machine() -> std::io::Result<Vec<SocketAddr>> {
    match std::fs::read_to_string(PATH) {
        Ok(text) => Ok(nameservers(&text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::nameservers;

    #[test]
    fn servers_are_read_in_order_and_oddities_skipped() {
        let text = "# comment\nsearch example.com\nnameserver 10.0.0.2\n\tnameserver  fd00::2 # x\n\
                    nameserver fe80::1%eth0\nnameserver\nnameserver 1.1.1.1\nnameserver 9.9.9.9\n";
        let found: Vec<_> = nameservers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.2:53", "[fd00::2]:53", "1.1.1.1:53"]);
    }
}
