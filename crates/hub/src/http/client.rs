//! The one HTTP client, through which every request goes.

use std::sync::Arc;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

use crate::config::{Config, ConfigError};
use crate::http::addresses::{Addresses, Lookup};
use crate::http::cause::deepest;

const USER_AGENT: &str = concat!("tensorgate/", env!("CARGO_PKG_VERSION"));

/// Redirects are followed in `transport`, one at a time, and stalls are timed there.
///
/// It speaks HTTP/1.1 alone, and decodes nothing, whatever other crates of a build switch on in it.
/// What comes before a body is bounded by its HTTP library: 100 headers of 400 KiB or so.
pub(crate) fn client(config: &Config, addresses: &Arc<Addresses>) -> Result<Client, ConfigError> {
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .http1_only()
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .https_only(config.endpoint.is_https())
        .redirect(Policy::none())
        .connect_timeout(config.limits.connect)
        .dns_resolver(Lookup(Arc::clone(addresses)));
    let builder = with_proxies(builder, config).map_err(unusable)?;
    let builder = match &config.roots {
        Some(roots) => builder.tls_certs_only(roots.certificates()),
        None => builder,
    };
    builder.build().map_err(unusable)
}

/// Those that are configured; what is on this machine is asked without.
fn with_proxies(builder: ClientBuilder, config: &Config) -> reqwest::Result<ClientBuilder> {
    let own = config.endpoint.is_loopback();
    let direct = own.then(|| config.endpoint.host());
    let rules = config.proxies.rules(direct)?;
    Ok(rules
        .into_iter()
        .fold(builder.no_proxy(), ClientBuilder::proxy))
}

fn unusable(error: reqwest::Error) -> ConfigError {
    ConfigError::Client(deepest(&error).into())
}
