//! Where an answer may send its reader, and which commit it may be of.

use reqwest::header::{HeaderName, HeaderValue, LOCATION};
use reqwest::{Response, Url};
use tensorgate_verify::{Rejection, Revision};

use crate::error::{FetchError, without_query};
use crate::http::refused::short;
use crate::hub::Hub;

/// How far a redirect may lead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    /// To another place of the endpoint's origin: a renamed repository, a trailing slash.
    Endpoint,
    /// To a CDN, anywhere that is no less private.
    Anywhere,
}

/// Bytes of a URL that is followed: 8,000, which everybody is asked to support (RFC 9110, section
/// 4.1). A CDN's signed one has a fourth of that; what grows without end is stopped here.
pub(crate) const URL_BYTES: usize = 8000;

impl Hub {
    /// Where an answer sends its reader, or `None` if it is no redirect.
    pub(crate) fn redirect(
        &self,
        answer: &Response,
        reach: Reach,
    ) -> Result<Option<Url>, FetchError> {
        if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let at = answer.url();
        let refuse = |what| Err(FetchError::malformed(&without_query(at.as_str()), what));
        let next = match target(answer) {
            Ok(next) => next,
            Err(what) => return refuse(what),
        };
        if reach == Reach::Endpoint && !self.endpoint.is_origin_of(&next) {
            return refuse("redirected to another origin, where no listing belongs");
        }
        match (at.scheme(), next.scheme()) {
            (_, "https") | ("http", "http") => {}
            ("https", "http") => return refuse("redirected from https to http"),
            _ => return refuse("redirected to neither http nor https"),
        }
        let nearer = self.addresses.refuse_nearer(&next);
        nearer.map_err(|error| FetchError::malformed(&without_query(at.as_str()), error))?;
        Ok(Some(next))
    }

    /// Whatever the endpoint says of a commit, it says of the one that was asked for.
    pub(crate) fn refuse_other_commit(
        &self,
        answer: &Response,
        commit: Option<&Revision>,
    ) -> Result<(), FetchError> {
        let (Some(commit), true) = (commit, self.endpoint.is_origin_of(answer.url())) else {
            return Ok(());
        };
        let said = answer.headers().get_all("x-repo-commit").iter();
        let mut others = said.filter(|said| said.as_bytes() != commit.as_str().as_bytes());
        let Some(other) = others.next() else {
            return Ok(());
        };
        let other = short(&String::from_utf8_lossy(other.as_bytes()));
        let detail = format!("the answer is of this commit, {commit} was asked for");
        let rejection = Rejection::RevisionMismatch;
        Err(FetchError::rejected(rejection, other, detail))
    }
}

/// The one `Location`, or what is wrong with it.
fn target(answer: &Response) -> Result<Url, &'static str> {
    let location = only(answer, &LOCATION).map_err(|()| "redirected to two places")?;
    let location = location.and_then(|value| value.to_str().ok());
    let text = location.ok_or("redirected to nowhere")?;
    if text.len() > URL_BYTES {
        return Err("redirected to an address of more than 8000 bytes");
    }
    let next = answer.url().join(text);
    let next = next.map_err(|_| "redirected to nowhere")?;
    match next.username().is_empty() && next.password().is_none() {
        true => Ok(next),
        false => Err("redirected to an address with a name or password"),
    }
}

/// The value of a header that is given once, or again with the same value.
pub(crate) fn only<'a>(
    answer: &'a Response,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, ()> {
    let mut values = answer.headers().get_all(name).iter();
    let first = values.next();
    match values.all(|other| Some(other) == first) {
        true => Ok(first),
        false => Err(()),
    }
}
