//! Where the Hub is, who we are there, and how much of it we take.

pub(crate) mod endpoint;
mod file;
pub(crate) mod proxies;
pub(crate) mod roots;
pub(crate) mod token;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::endpoint::Endpoint;
use crate::config::proxies::Proxies;
use crate::config::roots::Roots;
use crate::config::token::{Token, implicit_token};
use crate::limits::FetchLimits;

/// How to reach a Hub. Everything is said here; nothing is read behind the caller's back, but for
/// the system's root certificates.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The Hub or mirror.
    pub endpoint: Endpoint,
    /// Sent to the endpoint's origin, and nowhere else; one that was found in the environment only
    /// if that is the endpoint which the environment names.
    pub token: Option<Token>,
    /// Whether the network is not to be used at all.
    pub offline: bool,
    /// Bounds of time and size.
    pub limits: FetchLimits,
    /// The proxies for every request but those to an endpoint on this machine.
    pub proxies: Proxies,
    /// Whose certificates count; `None` is what the system has.
    pub roots: Option<Roots>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not the address of a Hub.
    #[error("{text:?} is not the address of a Hub: {reason}")]
    Endpoint {
        /// What was given.
        text: Box<str>,
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// Not a token; what it is stays secret.
    #[error("the token from {origin} is not one: {reason}")]
    Token {
        /// Where it came from.
        origin: Box<str>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The token's file is named, and cannot be read.
    #[error("the token file {path:?} cannot be read: {source}")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Everybody on the way could read the token.
    #[error("the token would cross the network in clear text to {endpoint}")]
    TokenInClear {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// A proxy that cannot be used; its address may have a password in it, and stays unsaid.
    #[error("the proxy of {name} cannot be used: {reason}")]
    Proxy {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Root certificates that cannot be used.
    #[error("the root certificates in {path:?} cannot be used: {reason}")]
    Roots {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// No HTTP client can be made, for instance without any root certificate.
    #[error("no HTTP client can be made: {0}")]
    Client(Box<str>),
}

impl ConfigError {
    /// What a person can do about it.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TokenInClear { .. } => Some(
                "use https, or no token: HF_HUB_DISABLE_IMPLICIT_TOKEN=1 passes over a stored one",
            ),
            Self::Token { .. } | Self::TokenFile { .. } => Some(
                "name a file with a token, or set HF_HUB_DISABLE_IMPLICIT_TOKEN=1 to use none that is stored",
            ),
            Self::Proxy { .. } => Some("a proxy is written as http://HOST:PORT"),
            Self::Roots { .. } => {
                Some("SSL_CERT_FILE names a file in PEM, SSL_CERT_DIR directories with such files")
            }
            Self::Client(_) => Some(
                "the system needs root certificates (ca-certificates), or SSL_CERT_FILE names some",
            ),
            Self::Endpoint { .. } => None,
        }
    }
}

impl Config {
    /// An endpoint without a token.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            token: None,
            offline: false,
            limits: FetchLimits::default(),
            proxies: Proxies::default(),
            roots: None,
        }
    }

    /// What users of `huggingface_hub` have in their environment: `HF_ENDPOINT`, `HF_TOKEN` or
    /// the file at `HF_TOKEN_PATH` or `HF_HOME/token` (none of them with
    /// `HF_HUB_DISABLE_IMPLICIT_TOKEN`), and `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`; then
    /// what every client has: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`,
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    ///
    /// The token is for the endpoint of `HF_ENDPOINT`, or the public Hub: with another
    /// [`endpoint`](Self::endpoint) it stays here. [`Token::new`] and [`Token::from_file`] make
    /// tokens for whatever endpoint they are used with.
    ///
    /// # Errors
    /// A value that cannot be used is an error, never passed over.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(&|name| std::env::var_os(name))
    }

    /// The same of variables that `var` looks up.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_vars(var: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let proxies = Proxies::from_vars(var)?;
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let truth = |name| var(name).is_some_and(|value| is_true(&value.to_string_lossy()));
        let endpoint = match var("HF_ENDPOINT") {
            Some(text) => text.to_string_lossy().parse()?,
            None => Endpoint::hugging_face()?,
        };
        let mut config = Self::new(endpoint);
        config.offline = truth("HF_HUB_OFFLINE") || truth("TRANSFORMERS_OFFLINE");
        (config.proxies, config.roots) = (proxies, Roots::from_vars(&var)?);
        if !truth("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            let token = implicit_token(&var)?;
            config.token = token.map(|token| token.implied_for(&config.endpoint));
        }
        Ok(config)
    }

    /// The token, if it is for this endpoint.
    pub(crate) fn token_to_send(&self) -> Option<&Token> {
        let token = self.token.as_ref();
        token.filter(|token| token.is_for(&self.endpoint))
    }

    pub(crate) fn refuse_token_in_clear(&self) -> Result<(), ConfigError> {
        if self.token_to_send().is_some()
            && !self.endpoint.is_https()
            && !self.endpoint.is_loopback()
        {
            let endpoint = self.endpoint.clone();
            return Err(ConfigError::TokenInClear { endpoint });
        }
        Ok(())
    }
}

/// As `huggingface_hub` reads its variables.
fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&&*value.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_vars(&|name| {
            let found = vars.iter().find(|(key, _)| *key == name)?;
            Some(found.1.into())
        })
    }

    #[test]
    fn the_environment_means_what_users_expect() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "hf_stored\n").unwrap();
        let home = home.path().to_str().unwrap();
        let secret = |vars: &[(&str, &str)]| {
            let token = config(vars).unwrap().token;
            token.map(|token| token.secret().to_owned())
        };
        assert_eq!(secret(&[]), None);
        assert_eq!(secret(&[("HF_HOME", home)]).unwrap(), "hf_stored");
        assert_eq!(
            secret(&[("HF_HOME", home), ("HF_TOKEN", " hf_x ")]).unwrap(),
            "hf_x"
        );
        let off = ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1");
        assert_eq!(
            secret(&[("HF_HOME", home), ("HF_TOKEN", "hf_x"), off]),
            None
        );

        let public = Endpoint::hugging_face().unwrap();
        assert_eq!(config(&[]).unwrap().endpoint, public);
        let mirror = config(&[("HF_ENDPOINT", "http://10.0.0.2:8090/hf/")]).unwrap();
        assert_eq!(mirror.endpoint.to_string(), "http://10.0.0.2:8090/hf");
        for name in ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"] {
            for (value, offline) in [("yes", true), ("1", true), ("0", false)] {
                let config = config(&[(name, value)]).unwrap();
                let hub = crate::Hub::unless_offline(&config).unwrap();
                assert_eq!(hub.is_none(), offline, "{name}={value}");
            }
        }
    }

    #[test]
    fn what_cannot_be_used_is_not_passed_over() {
        for (name, value, what) in [
            ("HF_ENDPOINT", "huggingface.co", "not the address of a Hub"),
            ("HF_ENDPOINT", "ftp://hub", "neither https:// nor http://"),
            ("HF_ENDPOINT", "https://hub/?x=1", "scheme, host, port"),
            ("HF_TOKEN", "two words", "from HF_TOKEN is not one"),
            ("HF_TOKEN", " ", "it is empty"),
            ("HF_TOKEN_PATH", "/nowhere/token", "cannot be read"),
        ] {
            let error = config(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        let error = config(&[("HF_ENDPOINT", "https://me:hunter2@hub")]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn a_token_from_the_environment_is_for_its_endpoint_alone() {
        let sent_to = |mut config: Config, endpoint: &str| {
            config.endpoint = endpoint.parse().unwrap();
            config.token_to_send().is_some()
        };
        let token = ("HF_TOKEN", "hf_x");
        let public = || config(&[token]).unwrap();
        let hugging_face = "https://huggingface.co";
        assert!(sent_to(public(), hugging_face));
        assert!(sent_to(public(), "https://huggingface.co:443/hf"));
        for other in ["https://mirror", "http://huggingface.co", "http://[::1]:1"] {
            assert!(!sent_to(public(), other), "{other}");
        }
        let mirror = ("HF_ENDPOINT", "https://mirror");
        assert!(sent_to(config(&[mirror, token]).unwrap(), "https://mirror"));
        assert!(!sent_to(config(&[mirror, token]).unwrap(), hugging_face));

        let mut given = public();
        given.token = Some(Token::new("hf_y", "--token-file").unwrap());
        assert!(sent_to(given, "https://mirror"));
        let hint = config(&[("HF_TOKEN", "two words")]).unwrap_err().hint();
        assert!(hint.unwrap().contains("HF_HUB_DISABLE_IMPLICIT_TOKEN=1"));
    }

    #[test]
    fn a_token_shows_itself_nowhere() {
        let error = Token::new("hf_sec ret", "HF_TOKEN").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hf_sec"));
        let config = config(&[("HF_TOKEN", "hf_secret")]).unwrap();
        assert!(!format!("{config:?}").contains("hf_secret"));
    }

    #[test]
    fn a_token_does_not_cross_a_network_in_clear_text() {
        let with = |endpoint| {
            let config = config(&[("HF_ENDPOINT", endpoint), ("HF_TOKEN", "hf_x")]).unwrap();
            config.refuse_token_in_clear()
        };
        assert!(matches!(
            with("http://10.0.0.2"),
            Err(ConfigError::TokenInClear { .. })
        ));
        assert!(with("https://10.0.0.2").is_ok());
        assert!(with("http://127.0.0.1:1").is_ok());
        assert!(with("http://[::1]:1").is_ok());
    }
}
