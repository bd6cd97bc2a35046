//! How near an address is to this machine, as the registries of IANA have it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whose an address is, nearest first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Vicinity {
    /// This machine's own.
    Machine,
    /// Somebody's on this link; clouds keep the secrets of their machines here (169.254.169.254).
    Link,
    /// Of a private network: RFC 1918, carriers' (100.64.0.0/10), RFC 4193.
    Site,
    /// Of the internet.
    World,
}

impl Vicinity {
    /// Whose an address is, or `None` for one at which no Hub can be: groups, examples, and what
    /// is reserved.
    ///
    /// Of an IPv6 address that stands for one of IPv4, that one is judged.
    pub(crate) const fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    /// <https://www.iana.org/assignments/iana-ipv4-special-registry>
    const fn of_v4(address: Ipv4Addr) -> Option<Self> {
        match address.octets() {
            // An unspecified destination is this machine, too.
            [0 | 127, ..] => Some(Self::Machine),
            [169, 254, ..] => Some(Self::Link),
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => {
                Some(Self::Site)
            }
            // For benchmarks; local resolvers of proxies give them to names.
            [198, 18 | 19, ..] => Some(Self::Site),
            [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => None,
            [224..=255, ..] => None,
            _ => Some(Self::World),
        }
    }

    /// <https://www.iana.org/assignments/iana-ipv6-special-registry>
    const fn of_v6(address: Ipv6Addr) -> Option<Self> {
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Some(Self::Machine),
            // Mapped and compatible (RFC 4291), translated (RFC 6052), and 6to4 (RFC 3056).
            [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, ..] => Self::of_v4(v4(high, low)),
            // A translator of this network (RFC 8215).
            [0x64, 0xff9b, 1, ..] => Some(Self::Site),
            [0xfe80..=0xfebf, ..] => Some(Self::Link),
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Some(Self::Site),
            // Teredo and other assignments to protocols, then examples.
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => None,
            [0x2000..=0x3fff, ..] => Some(Self::World),
            _ => None,
        }
    }
}

const fn v4(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

impl fmt::Display for Vicinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Machine => "this machine",
            Self::Link => "this link",
            Self::Site => "a private network",
            Self::World => "the internet",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_has_its_place() {
        use Vicinity::{Link, Machine, Site, World};
        for (vicinity, addresses) in [
            (
                Some(Machine),
                &[
                    "127.0.0.1",
                    "127.255.255.254",
                    "0.0.0.0",
                    "0.1.2.3",
                    "::1",
                    "::",
                    "::ffff:127.0.0.1",
                    "::127.0.0.1",
                    "64:ff9b::7f00:1",
                    "2002:7f00:1::",
                ][..],
            ),
            (
                Some(Link),
                &[
                    "169.254.169.254",
                    "fe80::1",
                    "febf::1",
                    "::ffff:169.254.169.254",
                    "64:ff9b::a9fe:a9fe",
                    "2002:a9fe:a9fe::1",
                ],
            ),
            (
                Some(Site),
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "100.64.0.1",
                    "100.127.255.255",
                    "198.18.0.1",
                    "fc00::1",
                    "fd12:3456::1",
                    "fec0::1",
                    "::ffff:10.0.0.1",
                    "64:ff9b::a00:1",
                    "64:ff9b:1::1",
                    "2002:c0a8:101::1",
                ],
            ),
            (
                Some(World),
                &[
                    "1.1.1.1",
                    "11.0.0.1",
                    "100.63.255.255",
                    "100.128.0.0",
                    "172.15.0.1",
                    "172.32.0.1",
                    "198.17.0.1",
                    "198.20.0.1",
                    "2606:4700:4700::1111",
                    "2a00:1450::1",
                    "::ffff:1.1.1.1",
                    "64:ff9b::101:101",
                    "2002:101:101::1",
                ],
            ),
            (
                None,
                &[
                    "192.0.0.8",
                    "192.0.2.1",
                    "198.51.100.1",
                    "203.0.113.1",
                    "192.88.99.1",
                    "224.0.0.1",
                    "239.255.255.250",
                    "240.0.0.1",
                    "255.255.255.255",
                    "::ffff:224.0.0.1",
                    "100::1",
                    "2001::1",
                    "2001:db8::1",
                    "3fff:fff::1",
                    "4000::1",
                    "5f00::1",
                    "ff02::1",
                ],
            ),
        ] {
            for address in addresses {
                let found = Vicinity::of(address.parse().unwrap());
                assert_eq!(found, vicinity, "{address}");
            }
        }
    }
}
