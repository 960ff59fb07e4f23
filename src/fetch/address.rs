//! What kind of network an address lies in, after the IANA special-purpose registries of IPv4 and IPv6
//! (as of 2026-11).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// The internet.
    Public,
    /// A network of one's own: RFC 1918, unique local addresses, addresses shared behind a carrier's NAT.
    Private,
    /// This machine.
    Loopback,
    /// Neighbours on the same wire; clouds keep their machines' credentials here.
    LinkLocal,
    /// Nothing that a photo could come from: multicast, documentation, benchmarks, tunnels, reserved.
    Special,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: u16, second: u16, third: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0), prefix)
}

use AddressClass::{LinkLocal, Loopback, Private, Public, Special};

/// Everything that is not the internet; the rest is.
const V4: [(Ipv4Net, AddressClass); 16] = [
    (v4(0, 0, 0, 0, 8), Special),
    (v4(10, 0, 0, 0, 8), Private),
    (v4(100, 64, 0, 0, 10), Private),
    (v4(127, 0, 0, 0, 8), Loopback),
    (v4(169, 254, 0, 0, 16), LinkLocal),
    (v4(172, 16, 0, 0, 12), Private),
    (v4(192, 0, 0, 0, 24), Special),
    (v4(192, 0, 2, 0, 24), Special),
    (v4(192, 31, 196, 0, 24), Special),
    (v4(192, 88, 99, 0, 24), Special),
    (v4(192, 168, 0, 0, 16), Private),
    (v4(192, 175, 48, 0, 24), Special),
    (v4(198, 18, 0, 0, 15), Special),
    (v4(198, 51, 100, 0, 24), Special),
    (v4(203, 0, 113, 0, 24), Special),
    // Multicast, reserved, broadcast.
    (v4(224, 0, 0, 0, 3), Special),
];

/// Alibaba's and Oracle's machines find their credentials outside of the link-local networks.
const METADATA_V4: [Ipv4Addr; 2] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// Amazon's and Google's machines, likewise.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// What is given out to the internet at all.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);
/// Parts of it that are not the internet: protocol assignments (Teredo, benchmarks, ORCHID), 6to4,
/// documentation. A 6to4 or Teredo address holds an IPv4 address that a relay would connect to.
const SPECIAL_V6: [Ipv6Net; 5] = [
    v6(0x2001, 0, 0, 23),
    v6(0x2001, 0xdb8, 0, 32),
    v6(0x2002, 0, 0, 16),
    v6(0x2620, 0x4f, 0x8000, 48),
    v6(0x3fff, 0, 0, 20),
];
/// Where a network without IPv4 puts it; the last four bytes are an IPv4 address.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);
const UNIQUE_LOCAL: Ipv6Net = v6(0xfc00, 0, 0, 7);
const LINK_LOCAL_V6: Ipv6Net = v6(0xfe80, 0, 0, 10);
/// Given up in 2004, but some networks still use it.
const SITE_LOCAL: Ipv6Net = v6(0xfec0, 0, 0, 10);

impl AddressClass {
    /// The class of `address`; of an IPv4 address in an IPv6 one, that of the IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }
}

fn of_v4(address: Ipv4Addr) -> AddressClass {
    if METADATA_V4.contains(&address) {
        return LinkLocal;
    }
    let special = V4.iter().find(|(net, _)| net.contains(&address));
    special.map_or(Public, |(_, class)| *class)
}

fn of_v6(address: Ipv6Addr) -> AddressClass {
    if let Some(inner) = address.to_ipv4_mapped() {
        return of_v4(inner);
    }
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return of_v4(Ipv4Addr::new(a, b, c, d));
    }
    if METADATA_V6.contains(&address) || LINK_LOCAL_V6.contains(&address) {
        LinkLocal
    } else if address.is_loopback() {
        Loopback
    } else if UNIQUE_LOCAL.contains(&address) || SITE_LOCAL.contains(&address) {
        Private
    } else if !GLOBAL_V6.contains(&address) || SPECIAL_V6.iter().any(|net| net.contains(&address)) {
        Special
    } else {
        Public
    }
}

/// The IPv4 address that an IPv6 one stands for on this machine, else the address itself: rules on
/// `127.0.0.1` hold of `::ffff:127.0.0.1` as well.
pub(super) fn is_within(net: &IpNet, address: IpAddr) -> bool {
    net.contains(&address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_network_is_known() {
        let cases: &[(AddressClass, &[&str])] = &[
            (
                Public,
                &[
                    "1.1.1.1",
                    "93.184.216.34",
                    "100.63.255.255",
                    "100.128.0.0",
                    "172.15.255.255",
                    "172.32.0.0",
                    "192.0.1.1",
                    "198.17.255.255",
                    "223.255.255.255",
                    "2606:4700:4700::1111",
                    "2a00:1450:4001::1",
                    "2001:4860:4860::8888",
                    "::ffff:1.1.1.1",
                    "64:ff9b::1.1.1.1",
                ],
            ),
            (
                Private,
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "100.64.0.1",
                    "100.127.255.255",
                    "fc00::1",
                    "fdff::1",
                    "fec0::1",
                    "::ffff:10.1.2.3",
                    "64:ff9b::192.168.0.1",
                ],
            ),
            (
                Loopback,
                &[
                    "127.0.0.1",
                    "127.255.255.254",
                    "::1",
                    "::ffff:127.0.0.1",
                    "64:ff9b::127.0.0.1",
                ],
            ),
            (
                LinkLocal,
                &[
                    "169.254.169.254",
                    "169.254.170.2",
                    "100.100.100.200",
                    "192.0.0.192",
                    "fe80::1",
                    "febf::1",
                    "fd00:ec2::254",
                    "::ffff:169.254.169.254",
                    "64:ff9b::a9fe:a9fe",
                ],
            ),
            (
                Special,
                &[
                    "0.0.0.0",
                    "0.1.2.3",
                    "192.0.0.8",
                    "192.0.2.1",
                    "192.88.99.1",
                    "198.18.0.1",
                    "198.19.255.255",
                    "198.51.100.7",
                    "203.0.113.7",
                    "224.0.0.1",
                    "239.255.255.255",
                    "240.0.0.1",
                    "255.255.255.255",
                    "::",
                    "::7f00:1",
                    "ff02::1",
                    "2001::1",
                    "2001:10::1",
                    "2001:db8::1",
                    "2002:7f00:1::",
                    "2002:0101:0101::1",
                    "3fff::1",
                    "64:ff9b:1::7f00:1",
                    "100::1",
                    "5f00::1",
                    "::ffff:0.0.0.0",
                ],
            ),
        ];
        for (class, addresses) in cases {
            for text in *addresses {
                let address: IpAddr = text.parse().expect("an address");
                assert_eq!(AddressClass::of(address), *class, "{text}");
            }
        }
    }
}
