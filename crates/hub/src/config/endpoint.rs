//! Where a Hub is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

use crate::config::ConfigError;

/// The address of a Hub: scheme, host, port and perhaps a path.
#[derive(Clone, Eq, PartialEq)]
pub struct Endpoint(Url);

/// The public Hub.
const HUGGING_FACE: &str = "https://huggingface.co";

impl Endpoint {
    /// The public Hub.
    ///
    /// # Errors
    /// None in fact: the address is a constant.
    pub fn hugging_face() -> Result<Self, ConfigError> {
        HUGGING_FACE.parse()
    }

    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    pub(crate) const fn url(&self) -> &Url {
        &self.0
    }

    /// A name or an address, the latter of IPv6 in brackets.
    pub(crate) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// A URL below, each segment encoded as one.
    pub(crate) fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        // An http URL always has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        self.is_origin_of(&other.0)
    }

    pub(crate) fn is_origin_of(&self, url: &Url) -> bool {
        self.0.origin() == url.origin()
    }
}

impl FromStr for Endpoint {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        // Behind these signs there may be a secret: then the text is not repeated.
        let shown = match text.contains(['@', '?', '#']) {
            true => "…",
            false => text,
        };
        let refuse = |reason: &str| ConfigError::Endpoint {
            text: shown.into(),
            reason: reason.into(),
        };
        let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("a name or password belongs into the token"));
        }
        match url.scheme() {
            "https" | "http" => {}
            _ => return Err(refuse("it begins with neither https:// nor http://")),
        }
        if !url.has_host() || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("expected scheme, host, port and perhaps a path"));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_repeated() {
        for text in [
            "https://me:hunter2@ho st",
            "me:hunter2@hub",
            "ftp://me:hunter2@hub",
            "https://hub/?token=hunter2",
            "https://hub/#hunter2",
            "https://[hub?hunter2",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}");
        }
        let error = "huggingface.co".parse::<Endpoint>().unwrap_err();
        assert!(error.to_string().contains("\"huggingface.co\""));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let endpoint: Endpoint = "https://hub.example".parse().unwrap();
        for (url, is_origin) in [
            ("https://hub.example/x", true),
            ("https://HUB.example:443/x", true),
            ("https://hub.ex%61mple/x", true),
            ("http://hub.example/x", false),
            ("https://hub.example:8443/x", false),
            ("https://hub.example./x", false),
            ("https://hub.example@evil.example/x", false),
            ("https://hub.example.evil.example/x", false),
            ("https://hub.ехample/x", false),
            ("https://hub.example\\@evil.example/x", true),
            ("https://evil.example\\@hub.example/x", false),
        ] {
            let parsed = url.parse().unwrap();
            assert_eq!(endpoint.is_origin_of(&parsed), is_origin, "{url}");
        }
    }
}
