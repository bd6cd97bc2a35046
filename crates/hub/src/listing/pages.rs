//! From one page of a listing to the next.

use reqwest::Url;

use crate::error::{FetchError, without_query};
use crate::http::redirect::URL_BYTES;
use crate::http::transport::Answer;
use crate::hub::Hub;

impl Hub {
    /// The page after this one. It must be of the same listing: same origin, same path.
    pub(crate) fn next_page(&self, answer: &Answer) -> Result<Option<Url>, FetchError> {
        let url = answer.url();
        let refuse = |what: &str| FetchError::malformed(&without_query(url.as_str()), what);
        let unclear = || refuse("its link to the next page is unclear");
        let Some(link) = next_link(&answer.links().ok_or_else(unclear)?) else {
            return Ok(None);
        };
        let link = link.ok_or_else(unclear)?;
        if link.len() > URL_BYTES {
            return Err(refuse(
                "its next page has an address of more than 8000 bytes",
            ));
        }
        let next = url.join(&link);
        let mut next = next.map_err(|error| refuse(&format!("its next page: {error}")))?;
        next.set_fragment(None);
        let nobody = next.username().is_empty() && next.password().is_none();
        if !self.endpoint.is_origin_of(&next) || next.path() != url.path() || !nobody {
            let place = without_query(next.as_str());
            return Err(refuse(&format!("its next page is elsewhere, at {place}")));
        }
        Ok(Some(next))
    }
}

/// The target with `rel="next"` (RFC 8288); the inner `None` is one that cannot be read, or two,
/// which is not the end of a listing.
fn next_link(header: &str) -> Option<Option<String>> {
    let mut targets = header.split(',').filter_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |p: &str| matches!(p.trim(), "rel=\"next\"" | "rel=next");
        parameters
            .split(';')
            .any(is_next)
            .then(|| target.to_owned())
    });
    match (targets.next(), targets.next()) {
        (None, _) if !header.to_ascii_lowercase().contains("next") => None,
        (target, None) => Some(target),
        (_, Some(_)) => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found_among_others() {
        let next = "https://hub/api/models/a/b/tree/0?cursor=x";
        let both = format!("<https://hub/x>; rel=\"xet-auth\", <{next}>; rel=\"next\"");
        let found = Some(Some(next.to_owned()));
        assert_eq!(next_link(&both), found);
        assert_eq!(next_link(&format!("<{next}>; rel=next")), found);
        assert_eq!(next_link(&format!("<{next}>; rel=\"prev\"")), None);
        assert_eq!(next_link(""), None);
        assert_eq!(next_link(&format!("<{next}>; rel=\"NEXT\"")), Some(None));
        assert_eq!(
            next_link(&format!("<{next}>; rel=\"last next\"")),
            Some(None)
        );
        assert_eq!(next_link(&format!("{next}; rel=\"next\"")), Some(None));
        assert_eq!(next_link("<https://hub/a,b>; rel=\"next\""), Some(None));
        assert_eq!(next_link("</a>; rel=next, </b>; rel=next"), Some(None));
    }
}
