//! What may be fetched, and how much of it.

use std::net::IpAddr;
use std::time::Duration;

use url::Url;

use super::FetchError;
use super::address::AddressClass;
use super::rules::{AllowRule, HostPattern, USUAL_PORTS};
use super::stores::StoreAddress;

/// Longest URL, bytes.
const MAX_URL_BYTES: usize = 8 << 10;

/// Bounds on one fetch, and on all of them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchLimits {
    /// Bytes of a body.
    pub max_bytes: usize,
    /// Time for one address, from the queue to the last byte; redirects and further tries included.
    pub total: Duration,
    /// Time in which something must come, once connected.
    pub idle: Duration,
    /// Time for a connection to one address, TLS not included.
    pub connect: Duration,
    /// Redirects that are followed.
    pub max_redirects: usize,
    /// Requests to one host at once; more wait.
    pub per_host: usize,
    /// Requests to one store at once, which is the operator's own; more wait.
    pub per_store: usize,
    /// Requests at once, to all hosts together.
    pub in_all: usize,
    /// Requests for one address when the host is busy (429, 502, 503, 504), or breaks off.
    pub max_tries: u32,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            max_bytes: 32 << 20,
            total: Duration::from_secs(20),
            idle: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            max_redirects: 5,
            per_host: 4,
            per_store: 16,
            in_all: 32,
            max_tries: 3,
        }
    }
}

/// What may be fetched: by default whatever lies on the public internet, at the ports of `http` and
/// `https`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchPolicy {
    /// Hosts that the fetcher is kept to; none: any.
    pub only: Vec<HostPattern>,
    /// What else may be reached: private networks, other ports.
    pub allow: Vec<AllowRule>,
    /// Stores that are read from, or what is below these keys; none: no store is.
    pub stores: Vec<StoreAddress>,
    /// Whether nothing else is: web addresses are not fetched.
    pub stores_only: bool,
    /// Bounds.
    pub limits: FetchLimits,
}

impl FetchPolicy {
    /// Reads an address; checks all that can be known before a connection is made.
    ///
    /// # Errors
    /// [`FetchError`] that says what is wrong with it.
    pub fn check_url(&self, text: &str) -> Result<Url, FetchError> {
        if text.len() > MAX_URL_BYTES {
            return Err(FetchError::LongUrl {
                n_bytes: text.len(),
                limit: MAX_URL_BYTES,
            });
        }
        let url = Url::parse(text.trim()).map_err(FetchError::NotAUrl)?;
        self.check(&url)?;
        Ok(url)
    }

    /// As [`check_url`](Self::check_url), of an address that was read already.
    ///
    /// # Errors
    /// As there.
    pub fn check(&self, url: &Url) -> Result<(), FetchError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(FetchError::Scheme {
                found: url.scheme().to_owned(),
            });
        }
        if self.stores_only {
            return Err(FetchError::StoresOnly);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Credentials);
        }
        let host = host_of(url);
        let is_listed = self.only.is_empty() || self.only.iter().any(|only| only.fits(&host));
        if !is_listed {
            return Err(FetchError::HostNotListed { host });
        }
        // Addresses given as numbers reach no resolver, so they are known now.
        if let Some(address) = literal(&host) {
            let port = url.port_or_known_default().unwrap_or_default();
            if !self.lets(&host, address, port) {
                return Err(FetchError::NotPublic { host });
            }
        }
        Ok(())
    }

    /// Reads the address of an object; checks that it may be read.
    ///
    /// # Errors
    /// [`FetchError`] that says what is wrong with it.
    pub fn check_store(&self, text: &str) -> Result<StoreAddress, FetchError> {
        if text.len() > MAX_URL_BYTES {
            return Err(FetchError::LongUrl {
                n_bytes: text.len(),
                limit: MAX_URL_BYTES,
            });
        }
        let address: StoreAddress = text.parse().map_err(FetchError::NoStoreAddress)?;
        self.check_object(&address)?;
        Ok(address)
    }

    /// As [`check_store`](Self::check_store), of an address that was read already.
    ///
    /// # Errors
    /// [`FetchError::StoreNotNamed`].
    pub fn check_object(&self, address: &StoreAddress) -> Result<(), FetchError> {
        if self.stores.iter().any(|named| named.holds(address)) {
            return Ok(());
        }
        Err(FetchError::StoreNotNamed {
            address: address.to_string(),
        })
    }

    /// Whether a connection may be made to `host` at this very address and port.
    pub fn lets(&self, host: &str, address: IpAddr, port: u16) -> bool {
        let is_usual =
            AddressClass::of(address) == AddressClass::Public && USUAL_PORTS.contains(&port);
        is_usual || self.allow.iter().any(|rule| rule.lets(host, address, port))
    }
}

/// The host of a web address, IPv6 in brackets.
pub(super) fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// The address that a host is written as, if it is no name.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn however_an_address_is_written_it_is_the_same_address(bits: u32, inside: bool) {
            // Half of them within 127.0.0.0/8.
            let bits = if inside { 0x7f00_0000 | bits >> 8 } else { bits };
            let address = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = address.octets();
            let may = FetchPolicy::default().lets("", address.into(), 80);
            for host in [
                address.to_string(),
                bits.to_string(),
                format!("{bits:#x}"),
                format!("{bits:#o}").replacen("0o", "0", 1),
                format!("{a:#x}.{b}.{c:#x}.{d}"),
                format!("{a}.{}", bits & 0xff_ffff),
                format!("{a}.{b}.{c}.{d}."),
                format!("[{}]", address.to_ipv6_mapped()),
            ] {
                let passes = FetchPolicy::default().check_url(&format!("http://{host}/a.jpg"));
                prop_assert_eq!(passes.is_ok(), may, "{}: {:?}", host, passes);
            }
        }

        #[test]
        fn only_what_is_given_out_to_the_internet_passes(bits: u128, text in ".*") {
            let address = Ipv6Addr::from_bits(bits);
            let passes = FetchPolicy::default().check_url(&format!("https://[{address}]/"));
            if passes.is_ok() {
                prop_assert_eq!(address.segments()[0] >> 13, 1);
            }
            // Whatever it is, it is no panic.
            let _ = FetchPolicy::default().check_url(&text);
        }
    }

    #[test]
    fn only_plain_web_addresses_of_public_hosts_pass() {
        let policy = FetchPolicy::default();
        for good in [
            "http://shop.example/a.jpg",
            "https://shop.example:443/a.jpg?x=1#y",
            " HTTPS://SHOP.example/ä b.jpg ",
            "https://93.184.216.34/a.jpg",
            // As browsers read it: a path at shop.example, and nothing else anywhere below.
            "http://shop.example\\@127.0.0.1/",
            "https://[2606:4700:4700::1111]/a.jpg",
        ] {
            assert!(policy.check_url(good).is_ok(), "{good}");
        }
        for (bad, part) in [
            ("a.jpg", "no URL"),
            ("", "no URL"),
            ("http://", "no URL"),
            ("http://[::1/", "no URL"),
            ("http://256.1.1.1/", "no URL"),
            ("file:///etc/passwd", "file: addresses"),
            ("ftp://shop.example/a.jpg", "ftp: addresses"),
            ("data:image/png;base64,AAAA", "data: addresses"),
            ("gopher://shop.example/", "gopher: addresses"),
            ("http://user@shop.example/", "user or password"),
            ("http://user:pw@shop.example/", "user or password"),
            ("http://:pw@shop.example/", "user or password"),
            ("http://127.0.0.1/", "public internet"),
            // The same in decimal, octal, hexadecimal, short, and full-width digits.
            ("http://2130706433/", "public internet"),
            ("http://0177.0.0.1/", "public internet"),
            ("http://0x7f.0x0.0x0.0x1/", "public internet"),
            ("http://0x7f000001/", "public internet"),
            ("http://127.1/", "public internet"),
            ("http://127.0.0.1./", "public internet"),
            ("http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/", "public internet"),
            ("http://[::1]/", "public internet"),
            ("http://[::]/", "public internet"),
            ("http://[::ffff:127.0.0.1]/", "public internet"),
            ("http://[::ffff:7f00:1]/", "public internet"),
            ("http://[64:ff9b::10.0.0.1]/", "public internet"),
            ("http://[2002:7f00:1::]/", "public internet"),
            ("http://[fe80::1]/", "public internet"),
            (
                "http://169.254.169.254/latest/meta-data/",
                "public internet",
            ),
            ("http://0/", "public internet"),
            ("http://93.184.216.34:22/", "public internet"),
        ] {
            let error = policy.check_url(bad).expect_err(bad).to_string();
            assert!(error.contains(part), "{bad}: {error}");
        }
        let long = format!("http://shop.example/{}", "a".repeat(MAX_URL_BYTES));
        assert!(matches!(
            policy.check_url(&long),
            Err(FetchError::LongUrl { .. })
        ));
    }

    #[test]
    fn hosts_are_kept_to_a_list() {
        let policy = FetchPolicy {
            only: vec!["*.cdn.example".parse().expect("a host")],
            ..FetchPolicy::default()
        };
        assert!(policy.check_url("https://a.cdn.example/x").is_ok());
        for other in [
            "https://cdn.example/x",
            "https://a.cdn.example.evil.example/x",
            "https://1.1.1.1/x",
        ] {
            assert!(
                matches!(
                    policy.check_url(other),
                    Err(FetchError::HostNotListed { .. })
                ),
                "{other}"
            );
        }
    }

    #[test]
    fn stores_are_read_from_only_where_they_are_named() {
        let policy = FetchPolicy {
            stores: vec!["s3://photos/shop".parse().expect("an address")],
            stores_only: true,
            ..FetchPolicy::default()
        };
        assert!(policy.check_store("s3://photos/shop/a.jpg").is_ok());
        for (other, part) in [
            ("s3://photos/a.jpg", "not among the stores"),
            ("s3://photos/shop/../a.jpg", "no key"),
            ("gs://photos/shop/a.jpg", "not among the stores"),
            ("s3://x/a.jpg", "no name of a bucket"),
        ] {
            let error = policy.check_store(other).expect_err(other).to_string();
            assert!(error.contains(part), "{other}: {error}");
        }
        assert!(FetchPolicy::default().check_store("s3://photos/a").is_err());
        let web = policy.check_url("https://shop.example/a.jpg");
        assert!(matches!(web, Err(FetchError::StoresOnly)), "{web:?}");
    }

    #[test]
    fn allowed_networks_do_not_open_others() {
        let policy = FetchPolicy {
            allow: vec!["127.0.0.1:9000".parse().expect("a rule")],
            ..FetchPolicy::default()
        };
        assert!(policy.check_url("http://127.0.0.1:9000/x").is_ok());
        assert!(policy.check_url("http://[::ffff:127.0.0.1]:9000/x").is_ok());
        for other in [
            "http://127.0.0.1/x",
            "http://127.0.0.2:9000/x",
            "http://[::1]:9000/x",
        ] {
            assert!(policy.check_url(other).is_err(), "{other}");
        }
    }
}
