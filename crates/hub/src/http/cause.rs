//! What an error of the HTTP client is about.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::time::Duration;

use rustls::CertificateError;

use crate::error::FetchError;
use crate::http::addresses::Nearer;
use crate::http::refused::{Refused, short};

impl FetchError {
    /// An error of the client, in which only the connection has a time. `url` may be shown.
    pub(crate) fn of_request(url: &str, error: reqwest::Error, connect: Duration) -> Self {
        if error.is_timeout() {
            return Self::timed_out(url, "there is no connection", connect);
        }
        let error = error.without_url();
        if let Some(nearer) = find::<Nearer>(&error) {
            return Self::malformed(url, nearer);
        }
        if let Some(error) = find::<rustls::Error>(&error) {
            return of_tls(url, error);
        }
        let cause = short(&deepest(&error));
        // Of a tunnel that is refused, the client has words alone.
        if cause.contains("proxy authorization required") {
            return Refused::by_proxy(url).into();
        }
        match find::<hyper::Error>(&error) {
            Some(error) if error.is_parse() => Self::malformed(url, cause),
            _ => Self::Unreachable {
                url: url.into(),
                cause,
            },
        }
    }
}

/// A certificate that does not count is no bad luck: another try would meet it again.
fn of_tls(url: &str, error: &rustls::Error) -> FetchError {
    let (url, cause) = (url.into(), short(&error.to_string()));
    let rustls::Error::InvalidCertificate(reason) = error else {
        return FetchError::Unreachable { url, cause };
    };
    let hint = match reason {
        // The latter where an authority of the same name is known.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "if a site's own authority vouches for it, name its certificates in SSL_CERT_FILE"
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "check this machine's clock, then the server's certificate"
        }
        _ => "check the endpoint, and who answers in its place",
    };
    FetchError::NotTrusted { url, cause, hint }
}

/// The errors below one another.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |error| below(*error))
}

/// What is inside of an I/O error is no `source` of it.
fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let io = error.downcast_ref::<io::Error>();
    match io.and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The cause that says most: the last of the chain.
pub(crate) fn deepest(error: &(dyn Error + 'static)) -> String {
    chain(error)
        .last()
        .map_or_else(String::new, ToString::to_string)
}
