//! Networks, where many addresses count as one peer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network of an address: its first `v4` bits (1 to 32) or, of an IPv6 address, its first `v6` bits (1 to 128), and
/// zeros.
#[must_use]
pub fn network(address: IpAddr, v4: u32, v6: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << (32 - v4))).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - v6))).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn a_network_is_the_first_bits_of_an_address() {
        for (address, v4, v6, expected) in [
            ("192.0.2.77", 24, 48, "192.0.2.0"),
            ("192.0.2.77", 32, 48, "192.0.2.77"),
            ("2001:db8:1:2ff::77", 24, 64, "2001:db8:1:2ff::"),
            ("2001:db8:1:2ff::77", 24, 56, "2001:db8:1:200::"),
            ("2001:db8:1:2ff::77", 24, 128, "2001:db8:1:2ff::77"),
        ] {
            assert_eq!(network(address.parse().unwrap(), v4, v6).to_string(), expected);
        }
    }
}
