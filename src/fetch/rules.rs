//! What an operator lets the fetcher reach beside the internet, and what they keep it to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;
use url::Host;

use super::address::{AddressClass, is_within};

/// Ports that need no leave: those of `http` and `https`.
pub(super) const USUAL_PORTS: [u16; 2] = [80, 443];

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Neither a name nor a network.
    #[error(
        "{found:?} is no host and no network: use cdn.example.com, *.example.com, 10.0.0.0/8 or [fd00::]/8, with :PORT or :* behind it for other ports than 80 and 443"
    )]
    NoRule {
        /// What was given.
        found: String,
    },
    /// Behind the colon is no port.
    #[error("{found:?} is no port: use 1 to 65535, or * for any")]
    NoPort {
        /// What was given.
        found: String,
    },
    /// Where only names make sense.
    #[error("{found:?}: name hosts here, without a port")]
    NoHost {
        /// What was given.
        found: String,
    },
}

/// A host by its name: one, or all below a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    /// Lower case, in ASCII as in addresses, without a dot at the end.
    name: String,
    /// Also what ends in `.name`, but not the name itself.
    is_wild: bool,
}

impl HostPattern {
    /// Whether `host` is meant.
    pub fn fits(&self, host: &str) -> bool {
        let host = plain_name(host);
        if !self.is_wild {
            return host == self.name;
        }
        let below = host.strip_suffix(&self.name);
        below.is_some_and(|below| below.len() > 1 && below.ends_with('.'))
    }
}

/// As names are compared.
fn plain_name(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

impl FromStr for HostPattern {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let no_host = || RuleError::NoHost {
            found: text.to_owned(),
        };
        let (name, is_wild) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        match Host::parse(name) {
            Ok(Host::Domain(name)) if !name.contains('*') => Ok(Self {
                name: plain_name(&name),
                is_wild,
            }),
            Ok(Host::Ipv4(address)) if !is_wild => Ok(Self {
                name: address.to_string(),
                is_wild,
            }),
            Ok(Host::Ipv6(address)) if !is_wild => Ok(Self {
                name: format!("[{address}]"),
                is_wild,
            }),
            _ => Err(no_host()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wild = if self.is_wild { "*." } else { "" };
        write!(f, "{wild}{}", self.name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Name(HostPattern),
    Net(IpNet),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ports {
    Usual,
    One(u16),
    Any,
}

/// Leave to reach what is not the internet, or not at a usual port: a host by name, or a network.
///
/// A host that is trusted by its name may be at private addresses and on this machine, but not where
/// machines find their credentials (`169.254.169.254` and its like): that takes a rule on the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowRule {
    place: Place,
    ports: Ports,
}

impl AllowRule {
    /// Whether it lets `host`, found at `address`, be reached at `port`.
    pub fn lets(&self, host: &str, address: IpAddr, port: u16) -> bool {
        let fits_port = match self.ports {
            Ports::Usual => USUAL_PORTS.contains(&port),
            Ports::One(only) => port == only,
            Ports::Any => true,
        };
        fits_port
            && match &self.place {
                Place::Net(net) => is_within(net, address),
                Place::Name(pattern) => {
                    use AddressClass::{Loopback, Private, Public};
                    pattern.fits(host)
                        && matches!(AddressClass::of(address), Public | Private | Loopback)
                }
            }
    }
}

impl FromStr for AllowRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let text = text.trim();
        if let Some(net) = net_of(text) {
            return Ok(Self {
                place: Place::Net(net),
                ports: Ports::Usual,
            });
        }
        let (place, ports) = match text.rsplit_once(':') {
            // The colons of a bare IPv6 address belong to it.
            Some((place, port)) if !place.contains(':') || place.contains(']') => {
                (place, ports_of(port)?)
            }
            _ => (text, Ports::Usual),
        };
        let place = match net_of(place) {
            Some(net) => Place::Net(net),
            None => Place::Name(place.parse().map_err(|_| RuleError::NoRule {
                found: text.to_owned(),
            })?),
        };
        Ok(Self { place, ports })
    }
}

/// A network, or an address as a network of its own; IPv6 in brackets or without.
fn net_of(text: &str) -> Option<IpNet> {
    let bare = match text.strip_prefix('[') {
        None => text.to_owned(),
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            let is_whole = rest.is_empty() || rest.starts_with('/');
            is_whole.then(|| format!("{address}{rest}"))?
        }
    };
    let net: IpNet = bare
        .parse()
        .ok()
        .or_else(|| bare.parse::<IpAddr>().ok().map(IpNet::from))?;
    Some(net.trunc())
}

fn ports_of(text: &str) -> Result<Ports, RuleError> {
    match text.parse() {
        _ if text == "*" => Ok(Ports::Any),
        Ok(port) if port > 0 => Ok(Ports::One(port)),
        _ => Err(RuleError::NoPort {
            found: text.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lets(rule: &str, host: &str, address: &str, port: u16) -> bool {
        let rule: AllowRule = rule.parse().expect(rule);
        rule.lets(host, address.parse().expect("an address"), port)
    }

    #[test]
    fn rules_let_in_what_they_name_and_no_more() {
        for (rule, host, address, port, is_let) in [
            ("10.0.0.0/8", "a", "10.9.9.9", 443, true),
            ("10.0.0.0/8", "a", "::ffff:10.9.9.9", 443, true),
            ("10.0.0.0/8", "a", "11.0.0.1", 443, false),
            ("10.0.0.0/8", "a", "10.9.9.9", 8080, false),
            ("10.0.0.0/8:8080", "a", "10.9.9.9", 8080, true),
            ("10.0.0.0/8:8080", "a", "10.9.9.9", 80, false),
            ("127.0.0.1:*", "a", "127.0.0.1", 9, true),
            ("127.0.0.1:*", "a", "127.0.0.2", 9, false),
            ("::1", "a", "::1", 80, true),
            ("[::1]:9000", "a", "::1", 9000, true),
            ("[::1]:9000", "a", "::1", 80, false),
            ("[fd00::]/8", "a", "fd12::1", 443, true),
            ("fd00::/8", "a", "fd12::1", 443, true),
            ("[fd00::]/8:8443", "a", "fd12::1", 8443, true),
            ("169.254.169.254", "a", "169.254.169.254", 80, true),
            ("shop.example", "shop.example", "192.168.0.9", 443, true),
            ("shop.example", "SHOP.Example.", "127.0.0.1", 80, true),
            ("shop.example", "a.shop.example", "192.168.0.9", 443, false),
            ("shop.example", "shop.example", "169.254.169.254", 80, false),
            ("shop.example", "shop.example", "224.0.0.1", 80, false),
            ("shop.example", "shop.example", "8.8.8.8", 8443, false),
            ("shop.example:8443", "shop.example", "8.8.8.8", 8443, true),
            ("*.shop.example", "a.b.shop.example", "10.0.0.1", 80, true),
            ("*.shop.example", "shop.example", "10.0.0.1", 80, false),
            ("*.shop.example", "notshop.example", "10.0.0.1", 80, false),
            ("*.shop.example", ".shop.example", "10.0.0.1", 80, false),
            (
                "bücher.example",
                "xn--bcher-kva.example",
                "10.0.0.1",
                80,
                true,
            ),
        ] {
            let is = lets(rule, host, address, port);
            assert_eq!(is, is_let, "{rule} for {host} at {address}, port {port}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "*",
            "a*b.example",
            "http://a.example",
            "a b",
            "10.0.0.0/33",
            "a.example:0",
            "a.example:70000",
            "a.example:x",
            "[::1",
            "*.10.0.0.1",
            "*.*.example",
        ] {
            assert!(text.parse::<AllowRule>().is_err(), "{text}");
        }
        for text in ["cdn.example:443", "10.0.0.0/8", "", "*"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }
}
