//! Ports of this machine that are kept for nodes, also while none of them listens there.

use std::net::{IpAddr, SocketAddr, TcpListener};

use anyhow::{Context, Result};
use gitstratum_core::{Entropy as _, SystemEntropy};
use socket2::{Domain, Socket, Type};

/// Where free ports are looked for: below those that systems give to connections of their
/// own, one of which might have the port of a node that is down for a moment.
const FREE_PORTS: std::ops::Range<u16> = 18_000..32_000;

/// Sockets that are bound and never listen: whoever connects is refused as by a node that is
/// down, a node's own listener finds its place beside them, and nobody else who looks for a
/// free port is given theirs.
#[derive(Debug, Default)]
pub(in super::super) struct Ports(Vec<Socket>);

impl Ports {
    /// Keeps the port of `address`; somebody must not listen there.
    ///
    /// # Errors
    /// When the address is in use or not of this machine.
    pub(super) fn keep(&mut self, address: SocketAddr) -> Result<()> {
        let listening = || format!("listening on {address}");
        drop(TcpListener::bind(address).with_context(listening)?);
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into()).with_context(listening)?;
        self.0.push(socket);
        Ok(())
    }

    /// Keeps a port of `host` that is nobody's.
    ///
    /// # Errors
    /// When none is left.
    pub(super) fn keep_free(&mut self, host: IpAddr) -> Result<SocketAddr> {
        let mut random = [0; 2];
        SystemEntropy::new().fill(&mut random);
        let first = u16::from_be_bytes(random) % (FREE_PORTS.end - FREE_PORTS.start);
        let (before, after) = (FREE_PORTS.take(first.into()), FREE_PORTS.skip(first.into()));
        let mut addresses = after.chain(before).map(|port| SocketAddr::new(host, port));
        let found = addresses.find_map(|address| Some((address, nobodys(address)?)));
        let none = || format!("no port of {host} is free between {FREE_PORTS:?}");
        let (address, socket) = found.with_context(none)?;
        self.0.push(socket);
        Ok(address)
    }
}

/// The port of `address`, unless it is kept or used by somebody.
fn nobodys(address: SocketAddr) -> Option<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).ok()?;
    // Without the option the system refuses a port that anybody is bound to; with it, from here
    // on, a node may listen there.
    socket.bind(&address.into()).ok()?;
    socket.set_reuse_address(true).ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_kept_port_is_given_to_nobody_else_and_takes_its_listener() {
        let mut ports = Ports::default();
        let kept = ports.keep_free(HOST).unwrap();
        assert!(nobodys(kept).is_none(), "another that looks for a port");
        assert!(TcpStream::connect(kept).is_err(), "nobody listens yet");
        for _ in 0..2 {
            let listener = TcpListener::bind(kept).unwrap();
            drop(TcpStream::connect(kept).unwrap());
            listener.accept().unwrap();
        }
        assert!(TcpStream::connect(kept).is_err(), "it is down");
        drop(ports);
        let mut later = Ports::default();
        later.keep(kept).unwrap();
        assert!(nobodys(kept).is_none(), "after a start anew too");
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_named() {
        let taken = TcpListener::bind((HOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let refused = Ports::default().keep(address).unwrap_err();
        assert!(format!("{refused:#}").contains(&address.to_string()));
    }
}
