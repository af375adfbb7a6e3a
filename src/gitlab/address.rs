//! Which machines a redirect may reach, by the address that is really dialled.
//!
//! Guarantees that a name GitLab redirects to is never dialled at a link-local address, nor at one nearer to us than
//! GitLab's own (loopback is nearer than private, private than public), however its name resolves. Where a proxy is used it
//! resolves the names, and this sees literal addresses only.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// How many redirect hosts are remembered; above it every name is judged as one.
const MAX_STRANGERS: usize = 256;

/// How near to us an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Reach {
    /// The internet.
    Public,
    /// An organisation's own network.
    Private,
    /// This machine.
    Loopback,
    /// Link-local (cloud metadata among them), multicast, unspecified: nobody serves files there.
    Never,
}

/// The resolver, and what it knows about GitLab's own address.
#[derive(Debug)]
pub(super) struct Addresses {
    home: Box<str>,
    /// The nearest address of GitLab's own host seen so far, as a [`Reach`].
    home_reach: AtomicU8,
    strangers: Mutex<HashSet<Box<str>>>,
}

/// Handed to reqwest.
#[derive(Debug, Clone)]
pub(super) struct Resolver(pub(super) Arc<Addresses>);

/// A redirect's host name stands for an address that must not be reached.
#[derive(Debug, thiserror::Error)]
#[error("its address must not be reached")]
pub(super) struct OutOfReach;

impl Reach {
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127, ..] => Self::Loopback,
            [0 | 224..=255, ..] | [169, 254, ..] => Self::Never,
            // Private, shared (carrier-grade NAT), protocol assignments, benchmarking.
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Self::Private,
            [192, 0, 0, _] | [198, 18 | 19, ..] => Self::Private,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let embedded = |high: u16, low: u16| {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Self::of_v4(Ipv4Addr::new(a, b, c, d))
        };
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            // Mapped, compatible, NAT64 and 6to4 addresses lead to the IPv4 address in them.
            [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
            [0x2002, high, low, ..] => embedded(high, low),
            [0xfe80..=0xfebf | 0xff00..=0xffff, ..] => Self::Never,
            // The metadata service of one cloud is in its private range.
            [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Self::Never,
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Self::Private,
            _ => Self::Public,
        }
    }
}

impl Addresses {
    /// Knows the host of GitLab's own address.
    pub(super) fn around(home: &Url) -> Self {
        let reach = literal(home).map_or(Reach::Public, Reach::of).min(Reach::Loopback);
        Self {
            home: home.host_str().unwrap_or_default().into(),
            home_reach: AtomicU8::new(reach as u8),
            strangers: Mutex::default(),
        }
    }

    /// Admits a redirect's host: a literal address is judged now, a name whenever it is resolved from now on.
    pub(super) fn admit(&self, target: &Url) -> Result<(), OutOfReach> {
        match literal(target) {
            Some(address) if self.may_reach(address) => Ok(()),
            Some(_) => Err(OutOfReach),
            None => {
                let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
                let name = target.host_str().unwrap_or_default();
                if strangers.len() < MAX_STRANGERS && !strangers.contains(name) {
                    strangers.insert(name.into());
                }
                Ok(())
            }
        }
    }

    fn may_reach(&self, address: IpAddr) -> bool {
        let reach = Reach::of(address);
        reach != Reach::Never && reach as u8 <= self.home_reach.load(Ordering::Relaxed)
    }

    fn is_stranger(&self, name: &str) -> bool {
        let strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.len() >= MAX_STRANGERS || strangers.contains(name)
    }

    /// Leaves of a name's addresses those that may be dialled. A name that is neither GitLab's nor a redirect's is a
    /// proxy's, which the operator chose.
    fn judge(&self, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, OutOfReach> {
        if name == &*self.home {
            let nearest = found.iter().map(|address| Reach::of(address.ip()).min(Reach::Loopback)).max();
            self.home_reach.fetch_max(nearest.unwrap_or(Reach::Public) as u8, Ordering::Relaxed);
            return Ok(found);
        }
        if !self.is_stranger(name) {
            return Ok(found);
        }
        let reachable: Vec<_> = found.into_iter().filter(|address| self.may_reach(address.ip())).collect();
        if reachable.is_empty() { Err(OutOfReach) } else { Ok(reachable) }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let judged: Addrs = Box::new(addresses.judge(name.as_str(), found)?.into_iter());
            Ok(judged)
        })
    }
}

fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_also_inside_of_other_addresses() {
        for (reach, addresses) in [
            (Reach::Public, &["8.8.8.8", "172.32.0.1", "2606:4700::1", "64:ff9b::808:808"][..]),
            (
                Reach::Private,
                &["10.1.2.3", "172.16.0.1", "192.168.0.1", "100.100.100.200", "fd12::1", "::ffff:10.0.0.1"],
            ),
            (Reach::Loopback, &["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "2002:7f00:1::"]),
            (Reach::Never, &["169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "fe80::1", "ff02::1"]),
            (Reach::Never, &["::", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254"]),
        ] {
            for address in addresses {
                assert_eq!(Reach::of(address.parse().expect("an address")), reach, "{address}");
            }
        }
    }

    #[test]
    fn a_redirects_name_is_judged_by_its_addresses_and_a_proxys_is_not() {
        let url = |text| Url::parse(text).expect("a URL");
        let at = |text: &str| vec![SocketAddr::new(text.parse().expect("an address"), 443)];
        let addresses = Addresses::around(&url("https://gitlab.example/"));
        assert!(addresses.judge("proxy.example", at("10.0.0.1")).is_ok());
        addresses.admit(&url("https://storage.example/file")).expect("a name is judged later");
        assert!(addresses.judge("storage.example", at("8.8.8.8")).is_ok());
        assert!(addresses.judge("storage.example", at("10.0.0.1")).is_err());
        assert!(addresses.admit(&url("https://10.0.0.1/")).is_err());
        addresses.judge("gitlab.example", at("10.0.0.9")).expect("GitLab's own address is never refused");
        assert!(addresses.judge("storage.example", at("10.0.0.1")).is_ok(), "as private as GitLab itself");
        assert!(addresses.judge("storage.example", at("127.0.0.1")).is_err(), "but not nearer");
        assert!(addresses.judge("storage.example", at("169.254.169.254")).is_err());
    }
}
