//! The proxies that stand between here and a Hub.

use std::ffi::OsString;
use std::fmt;

use reqwest::{NoProxy, Proxy, Url};

use crate::config::ConfigError;

/// Which proxy a request goes through. The default is none.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    none: String,
}

impl Proxies {
    /// What the variables `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, or those
    /// in small letters.
    ///
    /// # Errors
    /// [`ConfigError::Proxy`] for one that cannot be used: a request never goes around a proxy.
    pub(crate) fn from_vars(var: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        // There, a stranger's header `Proxy` is the variable (CVE-2016-5385).
        if var("REQUEST_METHOD").is_some() {
            return Ok(Self::default());
        }
        let first = |names: [&'static str; 4]| {
            let set = names.into_iter().find_map(|name| Some((name, var(name)?)));
            let Some((name, text)) = set.filter(|(_, text)| !text.is_empty()) else {
                return Ok(None);
            };
            parse(name, &text.to_string_lossy()).map(Some)
        };
        let none = var("NO_PROXY").or_else(|| var("no_proxy"));
        Ok(Self {
            http: first(["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])?,
            https: first(["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])?,
            none: none.unwrap_or_default().to_string_lossy().into_owned(),
        })
    }

    /// The hosts of the proxies.
    pub(crate) fn hosts(&self) -> Vec<Box<str>> {
        let urls = self.http.iter().chain(&self.https);
        urls.filter_map(|url| url.host_str().map(Into::into))
            .collect()
    }

    /// For the HTTP client, which asks `direct` itself.
    pub(crate) fn rules(&self, direct: Option<&str>) -> Result<Vec<Proxy>, reqwest::Error> {
        let direct = direct.map(|host| host.trim_matches(['[', ']']));
        let none = format!("{},{}", self.none, direct.unwrap_or_default());
        let http = self.http.clone().map(Proxy::http);
        let https = self.https.clone().map(Proxy::https);
        let rule = |proxy: Result<Proxy, _>| Ok(proxy?.no_proxy(NoProxy::from_string(&none)));
        http.into_iter().chain(https).map(rule).collect()
    }
}

/// `HOST:PORT` is one of plain HTTP, as everywhere.
fn parse(name: &'static str, text: &str) -> Result<Url, ConfigError> {
    let refuse = |reason| ConfigError::Proxy { name, reason };
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let url = Url::parse(&whole).map_err(|_| refuse("expected http://HOST:PORT"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(refuse("only proxies of http and https can be used")),
    }
}

impl fmt::Debug for Proxies {
    /// Without names and passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |url: &Option<Url>| {
            url.as_ref()
                .and_then(|url| Some(url.host_str()?.to_owned()))
        };
        f.debug_struct("Proxies")
            .field("http", &host(&self.http))
            .field("https", &host(&self.https))
            .field("none", &self.none)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(vars: &[(&str, &str)]) -> Result<Proxies, ConfigError> {
        Proxies::from_vars(&|name| {
            let found = vars.iter().find(|(key, _)| *key == name)?;
            Some(found.1.into())
        })
    }

    #[test]
    fn the_variables_mean_what_users_expect() {
        let hosts = |vars: &[(&str, &str)]| proxies(vars).unwrap().hosts().concat();
        for (vars, expected) in [
            (&[][..], ""),
            (&[("HTTP_PROXY", "http://a:3128")], "a"),
            (&[("https_proxy", "b:3128")], "b"),
            (&[("ALL_PROXY", "http://c")], "cc"),
            (&[("ALL_PROXY", "http://c"), ("HTTPS_PROXY", "d")], "cd"),
            (&[("HTTPS_PROXY", ""), ("all_proxy", "c")], "c"),
            (&[("HTTP_PROXY", "http://a"), ("http_proxy", "b")], "a"),
            (&[("HTTP_PROXY", "http://a"), ("REQUEST_METHOD", "GET")], ""),
        ] {
            assert_eq!(hosts(vars), expected, "{vars:?}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_not_gone_around() {
        for text in [
            "socks5://me:hunter2@proxy:1080",
            "http://",
            "http://me:hunter2@pro xy",
            "me:hunter2@:1",
            "file:///hunter2",
        ] {
            let error = proxies(&[("ALL_PROXY", text)]).unwrap_err();
            let shown = format!("{error} {error:?} {:?}", error.hint());
            assert!(shown.contains("ALL_PROXY"), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let secret = proxies(&[("HTTP_PROXY", "http://me:hunter2@proxy")]).unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
