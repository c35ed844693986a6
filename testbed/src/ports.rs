//! Free ports from the kernel, for programs that must be told theirs.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

/// A TCP port of loopback that the kernel gives to nobody else for about a minute.
///
/// A connection to it is opened and closed from its own side: while that stands in
/// `TIME_WAIT`, the kernel hands the port out to no other one who asks for a free
/// one, but lets a listener with `SO_REUSEADDR` (Rust's and Go's) have it.
///
/// # Panics
/// When loopback has no free port.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
    let address = listener.local_addr().expect("the listener's address");
    let client = TcpStream::connect(address).expect("a connection to the own listener");
    let (server, _) = listener.accept().expect("the own connection");
    // The order makes the listener's side the one that waits.
    drop(server);
    drop(client);
    address.port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_can_be_listened_on_and_is_given_once() {
        let mut ports: Vec<u16> = (0..50).map(|_| free_port()).collect();
        for &port in &ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
    }
}
