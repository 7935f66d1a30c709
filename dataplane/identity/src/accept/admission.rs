use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::metric_names::Outcome;

/// Bits of an IPv6 address that name a client; the rest it chooses at will.
const IPV6_CLIENT_BITS: u32 = 64;

/// Counts the connections of a server, in all and by client.
#[derive(Debug)]
pub(super) struct Admission {
    connections_max: usize,
    per_client_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_client: BTreeMap<IpAddr, usize>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    admission: Arc<Admission>,
    client: IpAddr,
}

impl Admission {
    pub(super) fn new(connections_max: usize, per_client_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, per_client_max, open: Mutex::default() })
    }

    /// A place for a connection from `address`, or why there is none.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Ticket, Outcome> {
        let client = client_of(address);
        let mut open = self.open.lock();
        if open.total >= self.connections_max {
            return Err(Outcome::OverLimit);
        }
        if open.by_client.get(&client).copied().unwrap_or(0) >= self.per_client_max {
            return Err(Outcome::OverClientLimit);
        }
        *open.by_client.entry(client).or_insert(0) += 1;
        open.total += 1;
        Ok(Ticket { admission: Arc::clone(self), client })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock();
        open.total -= 1;
        if let Some(count) = open.by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.by_client.remove(&self.client);
            }
        }
    }
}

/// What counts as one client.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::MAX << (Ipv6Addr::BITS - IPV6_CLIENT_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & prefix))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_given_back_and_forgotten() {
        let admission = Admission::new(2, 1);
        let first = admission.admit(address("10.0.0.1")).unwrap();
        let second = admission.admit(address("10.0.0.2")).unwrap();
        let third = admission.admit(address("10.0.0.3"));
        assert_eq!(third.unwrap_err(), Outcome::OverLimit);
        drop(first);
        let again = admission.admit(address("10.0.0.2"));
        assert_eq!(again.unwrap_err(), Outcome::OverClientLimit);
        drop(second);
        assert!(admission.open.lock().by_client.is_empty(), "idle clients cost no memory");
    }

    #[test]
    fn one_client_is_an_ipv4_address_or_an_ipv6_network() {
        let admission = Admission::new(9, 1);
        let _v6 = admission.admit(address("2001:db8::1")).unwrap();
        assert!(admission.admit(address("2001:db8::ffff:2")).is_err());
        let _next = admission.admit(address("2001:db8:0:1::1")).unwrap();
        let _v4 = admission.admit(address("10.0.0.1")).unwrap();
        assert!(admission.admit(address("::ffff:10.0.0.1")).is_err(), "the same, mapped");
    }
}
