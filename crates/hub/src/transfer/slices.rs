//! Several slices of one large file at a time, handed on in order.
//!
//! What is on the disk is always the beginning of the file, so that a cut costs no more than the
//! slices that were on their way. The address is the one to which the resolver has led: the Hub
//! itself is asked once.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use reqwest::Url;
use reqwest::header::ACCEPT_RANGES;
use tokio::time::Instant;

use crate::error::FetchError;
use crate::fetch::wanted::Wanted;
use crate::http::deadline::Deadline;
use crate::http::redirect::Reach;
use crate::http::transport::Body;
use crate::hub::Hub;
use crate::limits::FetchLimits;
use crate::transfer::range::Span;

/// What is asked for, of whom, and until when.
#[derive(Clone, Copy)]
pub(crate) struct Slices<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) wanted: &'a Wanted,
    pub(crate) deadline: Deadline,
}

impl<'a> Slices<'a> {
    /// Whether it is worth it: much is missing, and a CDN gives slices. The Hub's own bodies are
    /// not split, since each slice would be a request to it.
    pub(crate) fn are_worth_it(self, body: &Body, missing: u64) -> bool {
        let limits = self.hub.limits();
        let said = body.response().headers().get(ACCEPT_RANGES);
        let gives = body.is_part() || said.is_some_and(|said| said.as_bytes() == b"bytes");
        let here = self.hub.endpoint().is_origin_of(body.response().url());
        limits.slices > 1 && missing >= limits.split_from && gives && !here
    }

    /// The `missing` bytes at the end of the file, of which the first are those of `body`.
    pub(crate) fn last(
        self,
        missing: u64,
        body: Body,
    ) -> impl Stream<Item = Result<Vec<Bytes>, FetchError>> + Send + use<'a> {
        let limits = self.hub.limits();
        let (size, each) = (self.wanted.listed.size, limits.slice_bytes.max(1));
        let url = body.response().url().clone();
        let start = size.saturating_sub(missing);
        let mut first = Some(body);
        let begins = std::iter::successors(Some(start), move |begin| {
            begin.checked_add(each).filter(|next| *next < size)
        });
        let slice = move |begin: u64| {
            let end = Some(begin.saturating_add(each).min(size));
            let span = Span { first: begin, end };
            let (body, url) = (first.take(), url.clone());
            async move {
                match body {
                    Some(body) => take(body, span).await,
                    None => take(self.open(&url, span).await?, span).await,
                }
            }
        };
        let slices = futures::stream::iter(begins).map(slice);
        slices.buffered(limits.slices.max(1))
    }

    async fn open(self, url: &Url, span: Span) -> Result<Body, FetchError> {
        let body = self
            .hub
            .open(url, span, Reach::Anywhere, None, self.deadline);
        let body = body.await?;
        if !body.is_part() {
            return Err(body.malformed("it gives the whole, and a part was asked for"));
        }
        body.start(self.wanted, span)?;
        Ok(body)
    }
}

/// How fast one connection begins.
pub(crate) struct Pace<'a> {
    limits: &'a FetchLimits,
    began: Instant,
    bytes: u64,
}

impl<'a> Pace<'a> {
    pub(crate) fn new(limits: &'a FetchLimits) -> Self {
        Self {
            limits,
            began: Instant::now(),
            bytes: 0,
        }
    }

    /// Counts what came. Says so once, when there is enough to go by, if it came slowly.
    pub(crate) fn is_slow_with(&mut self, len: u64) -> bool {
        let before = self.bytes;
        self.bytes = before.saturating_add(len);
        let known = before < self.limits.slice_bytes && self.bytes >= self.limits.slice_bytes;
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        known && self.bytes < self.limits.enough.saturating_mul(micros) / 1_000_000
    }
}

/// So many bytes, and no more.
async fn take(mut body: Body, span: Span) -> Result<Vec<Bytes>, FetchError> {
    let len = span.end.unwrap_or(span.first).saturating_sub(span.first);
    let mut missing = usize::try_from(len).unwrap_or(usize::MAX);
    let mut held = Held::default();
    while missing > 0 {
        let Some(mut chunk) = body.next().await? else {
            return Err(body.cut());
        };
        chunk.truncate(missing);
        missing -= chunk.len();
        held.push(chunk);
    }
    Ok(held.into_chunks())
}

/// Chunks that wait for their turn.
#[derive(Default)]
struct Held {
    chunks: Vec<Bytes>,
    small: BytesMut,
}

/// 4 KiB. A server may send bytes one by one: each as a chunk would take thirty times its size.
const SMALL: usize = 4 << 10;

impl Held {
    fn push(&mut self, chunk: Bytes) {
        let is_small = chunk.len() < SMALL;
        if is_small {
            self.small.extend_from_slice(&chunk);
        }
        if !is_small || self.small.len() >= SMALL {
            self.end_small();
        }
        if !is_small {
            self.chunks.push(chunk);
        }
    }

    fn end_small(&mut self) {
        if !self.small.is_empty() {
            self.chunks.push(self.small.split().freeze());
        }
    }

    fn into_chunks(mut self) -> Vec<Bytes> {
        self.end_small();
        self.chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_stay_in_order_and_small_ones_take_their_size() {
        let all: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        for sizes in [&[1][..], &[1, 4096], &[4095], &[4096], &[70_000, 3]] {
            let (mut held, mut rest) = (Held::default(), Bytes::from(all.clone()));
            for size in sizes.iter().cycle() {
                held.push(rest.split_to(rest.len().min(*size)));
                if rest.is_empty() {
                    break;
                }
            }
            let chunks = held.into_chunks();
            assert_eq!(chunks.concat(), all);
            assert!(chunks.len() <= 2 * all.len() / SMALL + 1, "{sizes:?}");
        }
    }
}
