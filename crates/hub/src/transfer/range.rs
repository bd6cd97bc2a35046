//! Where the body of an answer begins, and that it is what is missing and no more.

use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE};
use reqwest::{StatusCode, Version};
use tensorgate_verify::Rejection;

use crate::error::FetchError;
use crate::fetch::wanted::Wanted;
use crate::http::transport::Body;

/// `bytes FIRST-LAST/SIZE` (RFC 9110, section 14.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct ContentRange {
    first: u64,
    last: u64,
    size: u64,
}

/// Which bytes of a file are asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    /// The first byte that is not asked for; `None` where the file ends.
    pub(crate) end: Option<u64>,
}

impl Span {
    pub(crate) const WHOLE: Self = Self::after(0);

    /// All but the first bytes, of which there are so many.
    pub(crate) const fn after(have: u64) -> Self {
        Self {
            first: have,
            end: None,
        }
    }

    /// The header `Range`, or `None` for the whole.
    pub(crate) fn header(self) -> Option<String> {
        match (self.first, self.end) {
            (0, None) => None,
            (first, None) => Some(format!("bytes={first}-")),
            (first, Some(end)) => Some(format!("bytes={first}-{}", end.saturating_sub(1))),
        }
    }
}

impl Body {
    /// Where the body begins in the file: where `span` does, or at 0 if the server sends the whole
    /// all the same.
    ///
    /// # Errors
    /// `size-mismatch` where a header says that the file, or what comes of it, is of another size
    /// than what is listed or missing; [`FetchError::Malformed`] for any other part of the file.
    pub(crate) fn start(&self, wanted: &Wanted, span: Span) -> Result<u64, FetchError> {
        let span = match self.is_part() {
            true => span,
            false => Span::WHOLE,
        };
        if self.is_part() {
            self.refuse_other_part(wanted, span)?;
        }
        let end = span.end.unwrap_or(wanted.listed.size);
        let missing = end.saturating_sub(span.first);
        match self.response().content_length() {
            Some(len) if len != missing => {
                let detail = format!("{len} bytes are announced, {missing} are missing");
                let rejection = Rejection::SizeMismatch;
                Err(FetchError::rejected(rejection, wanted.path(), detail))
            }
            _ => Ok(span.first),
        }
    }

    /// Whether it is some bytes of the file, and not the whole.
    pub(crate) fn is_part(&self) -> bool {
        self.response().status() == StatusCode::PARTIAL_CONTENT
    }

    fn refuse_other_part(&self, wanted: &Wanted, span: Span) -> Result<(), FetchError> {
        let range = self.content_range()?;
        let size = wanted.listed.size;
        if range.size != size {
            let detail = format!("the file has {} bytes there, {size} are listed", range.size);
            let rejection = Rejection::SizeMismatch;
            return Err(FetchError::rejected(rejection, wanted.path(), detail));
        }
        let end = span.end.unwrap_or(size);
        if (range.first, range.last.checked_add(1)) != (span.first, Some(end)) {
            let ContentRange { first, last, .. } = range;
            let asked = span.header().unwrap_or_default();
            let what = format!("bytes {first} to {last} came, {asked} was asked for");
            return Err(self.malformed(&what));
        }
        Ok(())
    }

    /// The one part that it is.
    fn content_range(&self) -> Result<ContentRange, FetchError> {
        let headers = self.response().headers();
        let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
        if kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with(b"multipart/")) {
            return Err(self.malformed("several parts, and one was asked for"));
        }
        let mut ranges = headers.get_all(CONTENT_RANGE).into_iter();
        let (range, second) = (ranges.next(), ranges.next());
        let range = range.filter(|_| second.is_none());
        let range = range.and_then(|range| ContentRange::parse(range.to_str().ok()?));
        range.ok_or_else(|| self.malformed("it does not say in one Content-Range which part it is"))
    }

    /// Whether the end of the body is told apart from the end of the connection (RFC 9112, section
    /// 6.3).
    pub(crate) fn has_an_end(&self) -> bool {
        let answer = self.response();
        let old = matches!(answer.version(), Version::HTTP_09 | Version::HTTP_10);
        let is_chunked = answer.headers().contains_key("transfer-encoding") && !old;
        answer.content_length().is_some() || is_chunked
    }
}

impl ContentRange {
    /// This form and no other: no white space more, no sign, no `*`.
    fn parse(text: &str) -> Option<Self> {
        let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some(Self {
            first: number(first)?,
            last: number(last)?,
            size: number(size)?,
        })
    }
}

fn number(digits: &str) -> Option<u64> {
    let all = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_has_one_form() {
        let range = |first, last, size| Some(ContentRange { first, last, size });
        assert_eq!(ContentRange::parse("bytes 7-9/10"), range(7, 9, 10));
        assert_eq!(ContentRange::parse("bytes 9-7/3"), range(9, 7, 3));
        for other in [
            "",
            "bytes",
            "bytes */10",
            "bytes 7-9/*",
            "bytes=7-9/10",
            "bytes 7-9",
            "bytes  7-9/10",
            "bytes 7-9/10 ",
            "bytes 7 - 9/10",
            "bytes +7-9/10",
            "bytes -7-9/10",
            "bytes 7-9/10, bytes 7-9/10",
            "Bytes 7-9/10",
            "octets 7-9/10",
            "bytes 7-9/18446744073709551616",
            "bytes 0x7-9/10",
            "bytes \u{0667}-9/10",
        ] {
            assert_eq!(ContentRange::parse(other), None, "{other:?}");
        }
    }
}
