//! The address by which others reach this process.

use std::net::{IpAddr, Ipv4Addr};

use nix::ifaddrs::getifaddrs;

/// `host:port` for the session: the configured host, else the first global-unicast
/// IPv4 address of the interfaces, else loopback, as in Milvus.
pub(super) fn advertised(configured: Option<&str>, port: u16) -> String {
    let host = configured.map_or_else(|| first_address().to_string(), str::to_owned);
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => format!("[{host}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

fn first_address() -> Ipv4Addr {
    getifaddrs()
        .into_iter()
        .flatten()
        .filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()))
        .find(|ip| is_global_unicast(*ip))
        .unwrap_or(Ipv4Addr::LOCALHOST)
}

/// What Go calls so: private addresses count, loopback and link-local ones don't.
fn is_global_unicast(ip: Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_hosts_are_taken_as_they_are() {
        assert_eq!(advertised(Some("10.1.2.3"), 53100), "10.1.2.3:53100");
        assert_eq!(advertised(Some("rootcoord-1"), 53100), "rootcoord-1:53100");
        assert_eq!(advertised(Some("fd00::1"), 53100), "[fd00::1]:53100");
    }

    #[test]
    fn without_one_it_is_an_address_of_this_machine() {
        let address = advertised(None, 1);
        let host = address.strip_suffix(":1").unwrap();
        let ip: Ipv4Addr = host.parse().unwrap();
        assert!(ip.is_loopback() || is_global_unicast(ip));
    }
}
