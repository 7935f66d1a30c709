//! Ports of this machine that are kept for nodes, also while none of them listens there.

use std::io;
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
pub(in super::super) struct Ports {
    kept: Vec<(SocketAddr, Socket)>,
}

/// Why a port cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It is kept already.
    #[error("{0} is taken twice")]
    Twice(SocketAddr),
    /// It is not to be had.
    #[error("listening on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Somebody listens there now and may let go of it.
    pub(super) fn is_in_use(&self) -> bool {
        matches!(self, Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }
}

impl Ports {
    /// Keeps the port of `address`; somebody must not listen there.
    ///
    /// # Errors
    /// When the address is kept, in use or not of this machine.
    pub(super) fn keep(&mut self, address: SocketAddr) -> Result<(), Error> {
        // Sockets that were kept for reuse do not refuse one another.
        if self.kept.iter().any(|(kept, _)| overlap(*kept, address)) {
            return Err(Error::Twice(address));
        }
        let socket = bind(address).map_err(|source| Error::Listen { address, source })?;
        self.kept.push((address, socket));
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
        self.kept.push((address, socket));
        Ok(address)
    }
}

/// Whether one that listens on `a` takes what is for `b`.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let is_same = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && is_same
}

/// A socket at `address`, where nobody listens.
fn bind(address: SocketAddr) -> io::Result<Socket> {
    drop(TcpListener::bind(address)?);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
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
        assert!(refused.to_string().contains(&address.to_string()) && refused.is_in_use());
    }

    #[test]
    fn a_port_is_kept_once() {
        let mut ports = Ports::default();
        let address = ports.keep_free(HOST).unwrap();
        let everywhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        for again in [address, everywhere] {
            let refused = ports.keep(again).unwrap_err();
            assert_eq!(refused.to_string(), format!("{again} is taken twice"));
            assert!(!refused.is_in_use());
        }
        let other = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), address.port());
        ports.keep(other).unwrap();
    }
}
