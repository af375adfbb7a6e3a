//! What counts as one address where strangers are limited by where they come from.

use std::net::{IpAddr, Ipv6Addr};

/// Returns what stands for a connection's address: of IPv6 the network of 64 bits, since whoever has one address there has all of
/// them. A connection without an address is one of a test's; all of them count together.
pub fn network(peer: Option<IpAddr>) -> IpAddr {
    match peer {
        None => IpAddr::from([0, 0, 0, 0]),
        Some(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(inner) => inner.into(),
            None => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        },
        Some(address) => address,
    }
}
