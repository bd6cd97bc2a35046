//! Where the Hub is, who we are there, and how much of it we take.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use reqwest::Url;

use crate::limits::FetchLimits;
use crate::token::Token;

/// How to reach a Hub. Everything is said here; nothing is read behind the caller's back.
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
}

/// The address of a Hub: scheme, host, port and perhaps a path.
#[derive(Clone, Eq, PartialEq)]
pub struct Endpoint(Url);

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
    #[error("the token file {} cannot be read: {source}", path.display())]
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
            Self::Endpoint { .. } | Self::Client(_) => None,
        }
    }
}

/// The public Hub.
const HUGGING_FACE: &str = "https://huggingface.co";

impl Config {
    /// An endpoint without a token.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            token: None,
            offline: false,
            limits: FetchLimits::default(),
        }
    }

    /// What users of `huggingface_hub` have in their environment: `HF_ENDPOINT`, `HF_TOKEN` or
    /// the file at `HF_TOKEN_PATH` or `HF_HOME/token` (none of them with
    /// `HF_HUB_DISABLE_IMPLICIT_TOKEN`), and `HF_HUB_OFFLINE`.
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

    fn from_vars(var: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let truth = |name| var(name).is_some_and(|value| is_true(&value.to_string_lossy()));
        let endpoint = match var("HF_ENDPOINT") {
            Some(text) => text.to_string_lossy().parse()?,
            None => Endpoint::hugging_face()?,
        };
        let mut config = Self::new(endpoint);
        config.offline = truth("HF_HUB_OFFLINE");
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

/// The order of `huggingface_hub`: the variable, the named file, the file of `hf auth login`.
fn implicit_token(var: &dyn Fn(&str) -> Option<OsString>) -> Result<Option<Token>, ConfigError> {
    if let Some(token) = var("HF_TOKEN") {
        let token = token.to_string_lossy().into_owned();
        return Token::new(&token, "HF_TOKEN").map(Some);
    }
    if let Some(path) = var("HF_TOKEN_PATH") {
        return Token::from_file(PathBuf::from(path)).map(Some);
    }
    match huggingface_home(var).map(|home| home.join("token")) {
        Some(path) if path.exists() => Token::from_file(path).map(Some),
        _ => Ok(None),
    }
}

/// What `huggingface_hub` takes for `HF_HOME`.
pub(crate) fn huggingface_home(var: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let below = |name, rest: &str| var(name).map(|dir| PathBuf::from(dir).join(rest));
    var("HF_HOME")
        .map(PathBuf::from)
        .or_else(|| below("XDG_CACHE_HOME", "huggingface"))
        .or_else(|| below("HOME", ".cache/huggingface"))
}

/// As `huggingface_hub` reads its variables.
fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&&*value.to_ascii_uppercase())
}

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
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
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

        assert_eq!(config(&[]).unwrap().endpoint.to_string(), HUGGING_FACE);
        let mirror = config(&[("HF_ENDPOINT", "http://10.0.0.2:8090/hf/")]).unwrap();
        assert_eq!(mirror.endpoint.to_string(), "http://10.0.0.2:8090/hf");
        for (value, offline) in [("yes", true), ("1", true), ("0", false)] {
            let config = config(&[("HF_HUB_OFFLINE", value)]).unwrap();
            let hub = crate::Hub::unless_offline(&config).unwrap();
            assert_eq!(hub.is_none(), offline, "{value}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_not_passed_over() {
        for vars in [
            [("HF_ENDPOINT", "huggingface.co")],
            [("HF_ENDPOINT", "ftp://huggingface.co")],
            [("HF_ENDPOINT", "https://huggingface.co/?x=1")],
            [("HF_TOKEN", "two words")],
            [("HF_TOKEN", " ")],
            [("HF_TOKEN_PATH", "/nowhere/token")],
        ] {
            assert!(config(&vars).is_err(), "{vars:?}");
        }
        let error = config(&[("HF_ENDPOINT", "https://me:hunter2@hub")]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

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
    fn a_token_from_the_environment_is_for_its_endpoint_alone() {
        let sent_to = |mut config: Config, endpoint: &str| {
            config.endpoint = endpoint.parse().unwrap();
            config.token_to_send().is_some()
        };
        let token = ("HF_TOKEN", "hf_x");
        let public = || config(&[token]).unwrap();
        assert!(sent_to(public(), HUGGING_FACE));
        assert!(sent_to(public(), "https://huggingface.co:443/hf"));
        for other in ["https://mirror", "http://huggingface.co", "http://[::1]:1"] {
            assert!(!sent_to(public(), other), "{other}");
        }
        let mirror = ("HF_ENDPOINT", "https://mirror");
        assert!(sent_to(config(&[mirror, token]).unwrap(), "https://mirror"));
        assert!(!sent_to(config(&[mirror, token]).unwrap(), HUGGING_FACE));

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
