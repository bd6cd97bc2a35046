//! Names become addresses here and nowhere else, so that what was judged is what is connected to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::http::vicinity::Vicinity;

/// Where the endpoint was found, and how near a redirect may lead therefore.
///
/// A Hub that somebody else runs must not make the robot ask the machines around it, or itself: a
/// redirect leads no nearer than the endpoint is. The addresses of a name are judged when it is
/// looked up, and the connection goes to one of those that passed: another answer to a second
/// question changes nothing.
#[derive(Debug)]
pub(crate) struct Addresses {
    endpoint: Box<str>,
    /// The operator named them; the Hub has no say in it.
    proxies: Vec<Box<str>>,
    /// The farthest at which the endpoint was found so far.
    farthest: Mutex<Option<Vicinity>>,
}

/// An address to which no redirect may lead.
#[derive(Debug, thiserror::Error)]
#[error("redirected to {target}, an address of {of}, from an endpoint of {endpoint}")]
pub(crate) struct Nearer {
    target: Box<str>,
    of: Box<str>,
    endpoint: Vicinity,
}

impl Addresses {
    /// For an endpoint at `url`, reached through `proxies` or not.
    pub(crate) fn new(url: &Url, proxies: Vec<Box<str>>) -> Self {
        let farthest = literal(url).and_then(Vicinity::of);
        Self {
            endpoint: url.host_str().unwrap_or_default().into(),
            proxies,
            farthest: Mutex::new(farthest),
        }
    }

    /// Refuses a redirect whose target is written as an address, if it is one too near, and one to
    /// the name of a proxy, whose addresses are not judged.
    pub(crate) fn refuse_nearer(&self, url: &Url) -> Result<(), Nearer> {
        let host = url.host_str().unwrap_or_default();
        match literal(url) {
            _ if host == &*self.endpoint => Ok(()),
            Some(address) => self.judge(None, address),
            None if self.is_proxy(host) => Err(self.nearer(host.into(), "a proxy".into())),
            None => Ok(()),
        }
    }

    /// Of what a name stands for, what may be connected to.
    fn admit(&self, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Nearer> {
        if self.is_proxy(name) {
            return Ok(found);
        }
        if name == &*self.endpoint {
            let farthest = found.iter().filter_map(|found| Vicinity::of(found.ip()));
            if self.note(farthest.max()).is_none() {
                // Addresses that no Hub has, and the operator's choice.
                return Ok(found);
            }
        }
        let judge = |found: &SocketAddr| self.judge(Some(name), found.ip());
        let refused = found.iter().map(judge).find_map(Result::err);
        let admitted: Vec<_> = found.into_iter().filter(|f| judge(f).is_ok()).collect();
        match refused {
            Some(nearer) if admitted.is_empty() => Err(nearer),
            _ => Ok(admitted),
        }
    }

    fn judge(&self, name: Option<&str>, address: IpAddr) -> Result<(), Nearer> {
        let (vicinity, endpoint) = (Vicinity::of(address), self.farthest());
        if vicinity.is_some_and(|vicinity| vicinity >= endpoint) {
            return Ok(());
        }
        let target = match name {
            Some(name) => format!("{name} at {address}"),
            None => address.to_string(),
        };
        let of = vicinity.map_or_else(|| "no Hub".into(), |vicinity| vicinity.to_string());
        Err(self.nearer(target, of))
    }

    fn nearer(&self, target: String, of: String) -> Nearer {
        Nearer {
            target: target.into(),
            of: of.into(),
            endpoint: self.farthest(),
        }
    }

    fn is_proxy(&self, name: &str) -> bool {
        self.proxies.iter().any(|proxy| name == &**proxy)
    }

    /// What is not known, as behind a proxy that looks names up itself, is of the internet.
    fn farthest(&self) -> Vicinity {
        let farthest = self.farthest.lock();
        let farthest = farthest.unwrap_or_else(PoisonError::into_inner);
        farthest.unwrap_or(Vicinity::World)
    }

    /// An endpoint that was once of the internet stays that, whatever its name stands for later:
    /// whoever runs it also says where its name leads.
    fn note(&self, found: Option<Vicinity>) -> Option<Vicinity> {
        let farthest = self.farthest.lock();
        let mut farthest = farthest.unwrap_or_else(PoisonError::into_inner);
        *farthest = found.max(*farthest);
        *farthest
    }
}

/// The host, if it is written as an address. Every way to write one has become its usual form.
fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_matches(['[', ']']).parse().ok()
}

/// What the HTTP client asks.
pub(crate) struct Lookup(pub(crate) Arc<Addresses>);

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(io::Error::other("the name has no address").into());
            }
            let found: Addrs = Box::new(addresses.admit(name.as_str(), found)?.into_iter());
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(endpoint: &str) -> Addresses {
        let proxies = vec!["proxy.lan".into()];
        Addresses::new(&endpoint.parse().unwrap(), proxies)
    }

    fn found(addresses: &[&str]) -> Vec<SocketAddr> {
        let socket = |address: &&str| SocketAddr::new(address.parse().unwrap(), 0);
        addresses.iter().map(socket).collect()
    }

    #[test]
    fn an_address_may_be_as_near_as_the_endpoint_and_no_nearer() {
        let (machine, link, site, world) = ("127.0.0.1", "169.254.1.1", "10.1.1.1", "1.1.1.1");
        for (endpoint, allowed, refused) in [
            (
                "http://127.0.0.1:1",
                &[machine, link, site, world][..],
                &[][..],
            ),
            ("http://[::1]:1", &[machine, link, site, world], &[]),
            ("http://169.254.1.2", &[link, site, world], &[machine]),
            ("http://10.0.0.2:8090", &[site, world], &[machine, link]),
            ("http://[fd00::1]", &[site, world], &[machine, link]),
            ("https://1.1.1.2", &[world], &[machine, link, site]),
            // Nobody has looked this name up: a proxy does, or nothing was sent yet.
            ("https://hub.example", &[world], &[machine, link, site]),
        ] {
            let addresses = addresses(endpoint);
            let judge = |address: &&str| {
                let url = format!("http://{address}/x").parse().unwrap();
                let by_name = addresses.admit("cdn.example", found(&[address]));
                assert_eq!(by_name.is_ok(), addresses.refuse_nearer(&url).is_ok());
                by_name.is_ok()
            };
            assert!(allowed.iter().all(judge), "{endpoint}");
            assert!(!refused.iter().any(judge), "{endpoint}");
            assert!(!judge(&"224.0.0.1"), "{endpoint}");
        }
    }

    #[test]
    fn every_way_to_write_an_address_is_one() {
        let addresses = addresses("https://hub.example");
        for host in [
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "127.0.0.1.",
            "[::ffff:7f00:1]",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
        ] {
            let url = format!("https://{host}/").parse().unwrap();
            let error = addresses.refuse_nearer(&url).unwrap_err().to_string();
            assert!(error.contains("this machine"), "{host}: {error}");
        }
    }

    #[test]
    fn of_a_name_only_what_passed_is_connected_to() {
        let addresses = addresses("https://hub.example");
        let mixed = found(&["127.0.0.1", "1.1.1.1", "::1", "10.0.0.1", "2606::1"]);
        let admitted = addresses.admit("cdn.example", mixed).unwrap();
        assert_eq!(admitted, found(&["1.1.1.1", "2606::1"]));
        let error = addresses.admit("cdn.example", found(&["::1", "10.0.0.1"]));
        let expected = "redirected to cdn.example at ::1, an address of this machine, \
                        from an endpoint of the internet";
        assert_eq!(error.unwrap_err().to_string(), expected);
        // The endpoint and the proxies are what the operator named.
        let strange = found(&["192.0.2.1"]);
        assert_eq!(
            addresses.admit("hub.example", strange.clone()).unwrap(),
            strange
        );
        for name in ["hub.example", "proxy.lan"] {
            let own = found(&["10.0.0.1"]);
            assert_eq!(addresses.admit(name, own.clone()).unwrap(), own);
        }
        assert!(addresses.admit("hub.example.", found(&["::1"])).is_err());
        // A redirect does not lead to a proxy, whatever it stands for.
        let refuse = |url: &str| addresses.refuse_nearer(&url.parse().unwrap());
        let error = refuse("http://proxy.lan:9000/").unwrap_err().to_string();
        assert!(
            error.contains("proxy.lan, an address of a proxy"),
            "{error}"
        );
        assert!(refuse("https://hub.example/").is_ok());
    }

    #[test]
    fn an_endpoint_is_as_far_as_it_ever_was() {
        let site = found(&["10.0.0.2"]);
        let addresses = addresses("https://hub.example");
        addresses.admit("hub.example", site.clone()).unwrap();
        assert!(addresses.admit("cdn.lan", site.clone()).is_ok());
        assert!(addresses.admit("cdn.lan", found(&["127.0.0.1"])).is_err());
        let both = found(&["10.0.0.2", "1.1.1.1"]);
        let admitted = addresses.admit("hub.example", both).unwrap();
        assert_eq!(admitted, found(&["1.1.1.1"]));
        // Its name may not lead into the site after that, either.
        let error = addresses.admit("hub.example", site.clone()).unwrap_err();
        assert!(error.to_string().contains("hub.example at 10.0.0.2"));
        assert!(addresses.admit("cdn.lan", site).is_err());
    }
}
