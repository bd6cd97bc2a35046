//! Requests and answers: one client, one rule for redirects and for the token, and an end to all
//! that is waited for or read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, RANGE};
use reqwest::{Response, StatusCode, Url};
use tensorgate_verify::Revision;
use tokio::time::Instant;

use crate::config::token::Token;
use crate::error::{FetchError, without_query};
use crate::http::deadline::Deadline;
use crate::http::rate;
use crate::http::redirect::Reach;
use crate::http::refused::{Refused, short};
use crate::hub::{Hub, too_large};
use crate::limits::FetchLimits;
use crate::progress::Progress;
use crate::transfer::range::Span;

/// A body that is being received.
pub(crate) struct Body {
    response: Response,
    shown: Box<str>,
    stall: Duration,
    deadline: Deadline,
    rate: Rate,
}

/// A complete answer of the API, its body apart.
pub(crate) struct Answer {
    response: Response,
    pub(crate) body: Vec<u8>,
}

/// How much came since when.
struct Rate {
    since: Instant,
    bytes: u64,
    slowest: u64,
    window: Duration,
}

impl Hub {
    /// A request to the API, tried again while that may help.
    pub(crate) async fn get(
        &self,
        url: &Url,
        commit: Option<&Revision>,
        limit: u64,
        progress: &dyn Progress,
    ) -> Result<Answer, FetchError> {
        let mut retries = self.retries(progress);
        loop {
            self.pause.over(progress).await;
            match self.ask(url, commit, limit).await {
                Ok(answer) => return Ok(answer),
                Err(error) => retries.wait_after(self.hide(error)).await?,
            }
        }
    }

    /// One request to the API, of which at most `limit` bytes of an answer are read.
    async fn ask(
        &self,
        url: &Url,
        commit: Option<&Revision>,
        limit: u64,
    ) -> Result<Answer, FetchError> {
        let deadline = Deadline::within(self.limits.grace, "the answer is not complete");
        let mut body = self
            .open(url, Span::WHOLE, Reach::Endpoint, commit, deadline)
            .await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await? {
            bytes.extend_from_slice(&chunk);
            too_large(&format!("the answer of {}", body.shown), bytes.len(), limit)?;
        }
        let response = body.response;
        Ok(Answer {
            response,
            body: bytes,
        })
    }

    /// Asks for those bytes of `url` and follows redirects as far as they may lead.
    ///
    /// Where the endpoint says which commit its answer is of, that must be `commit`. Of an answer
    /// that is not the wanted one, the headers are read and no body.
    pub(crate) async fn open(
        &self,
        url: &Url,
        span: Span,
        reach: Reach,
        commit: Option<&Revision>,
        deadline: Deadline,
    ) -> Result<Body, FetchError> {
        let (mut at, mut token) = (url.clone(), self.token.as_ref());
        for _request in 0..=self.limits.redirects {
            // Whoever sends us back to the endpoint does not do so in our name.
            token = token.filter(|_| self.endpoint.is_origin_of(&at));
            let answer = self.send(&at, token, span, deadline).await?;
            self.heed(&answer);
            let next = self.redirect(&answer, reach)?;
            if next.is_none() {
                self.refuse_failure(&answer, span)?;
            }
            self.refuse_other_commit(&answer, commit)?;
            match next {
                Some(next) => at = next,
                None => return Ok(Body::new(answer, &self.limits, deadline)),
            }
        }
        let shown = without_query(url.as_str());
        Err(FetchError::malformed(&shown, "redirected too often"))
    }

    async fn send(
        &self,
        url: &Url,
        token: Option<&Token>,
        span: Span,
        deadline: Deadline,
    ) -> Result<Response, FetchError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let shown = without_query(url.as_str());
        // The bytes are counted and hashed as the Hub lists them.
        let mut request = self.client.get(url.clone());
        request = request.header(ACCEPT_ENCODING, "identity");
        if let Some(range) = span.header() {
            request = request.header(RANGE, range);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token.secret());
        }
        let wait = self.limits.connect.saturating_add(self.limits.stall);
        let answered = Deadline::within(wait, "no answer came");
        let answer = deadline.sooner(answered).bound(&shown, request.send());
        let failed = |error| FetchError::of_request(&shown, error, self.limits.connect);
        answer.await?.map_err(failed)
    }

    /// What the endpoint asks one request to wait for, the others wait for, too, unless it is
    /// longer than anybody waits.
    fn heed(&self, answer: &Response) {
        if !self.endpoint.is_origin_of(answer.url()) {
            return;
        }
        let (headers, now) = (answer.headers(), Timestamp::now());
        let wait = match answer.status().as_u16() {
            429 | 503 => rate::wait(headers, now),
            _ => rate::spent(headers),
        };
        if let Some(wait) = wait.filter(|wait| *wait <= self.limits.retry_after) {
            self.pause.begin(wait);
        }
    }

    /// Anything but what was asked for or the whole, and as it is.
    fn refuse_failure(&self, answer: &Response, span: Span) -> Result<(), FetchError> {
        let status = answer.status();
        if !status.is_success() {
            let is_hub = self.endpoint.is_origin_of(answer.url());
            return Err(Refused::of_answer(answer, is_hub, self.token.as_ref()).into());
        }
        let refuse =
            |what: String| FetchError::malformed(&without_query(answer.url().as_str()), what);
        let resumed = span != Span::WHOLE && status == StatusCode::PARTIAL_CONTENT;
        if status != StatusCode::OK && !resumed {
            let what = format!("status {}, and the whole was asked for", status.as_u16());
            return Err(refuse(what));
        }
        let mut encodings = answer.headers().get_all(CONTENT_ENCODING).iter();
        match encodings.find(|encoding| encoding.as_bytes() != b"identity") {
            Some(encoding) => Err(refuse(format!(
                "encoded as {:?}, which was not asked for",
                short(&String::from_utf8_lossy(encoding.as_bytes()))
            ))),
            None => Ok(()),
        }
    }
}

impl Body {
    fn new(response: Response, limits: &FetchLimits, deadline: Deadline) -> Self {
        Self {
            shown: without_query(response.url().as_str()),
            response,
            stall: limits.stall,
            deadline,
            rate: Rate {
                since: Instant::now(),
                bytes: 0,
                slowest: limits.slowest,
                window: limits.window,
            },
        }
    }

    /// The next bytes, or `None` at the end that the server made.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let stalled = Deadline::within(self.stall, "no more bytes came");
        let soonest = self.deadline.sooner(stalled);
        let chunk = soonest.bound(&self.shown, self.response.chunk()).await?;
        // The connection stands, so its timeout plays no part.
        let failed = |error| FetchError::of_request(&self.shown, error, Duration::ZERO);
        let chunk = chunk.map_err(failed)?;
        if let Some(chunk) = &chunk
            && self.rate.is_too_slow_with(chunk.len())
        {
            let (what, window) = ("it comes too slowly", self.rate.window);
            return Err(FetchError::timed_out(&self.shown, what, window));
        }
        Ok(chunk)
    }

    /// Status and headers.
    pub(crate) const fn response(&self) -> &Response {
        &self.response
    }

    pub(crate) fn malformed(&self, what: &str) -> FetchError {
        FetchError::malformed(&self.shown, what)
    }

    /// The connection ended, and the file did not.
    pub(crate) fn cut(&self) -> FetchError {
        FetchError::Unreachable {
            url: self.shown.clone(),
            cause: "the connection ended before the file".into(),
        }
    }
}

impl Rate {
    /// Counts what came; at the end of each window, whether that was too little.
    fn is_too_slow_with(&mut self, len: usize) -> bool {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(len);
        if self.since.elapsed() < self.window {
            return false;
        }
        let millis = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let enough = self.slowest.saturating_mul(millis) / 1000;
        let slow = self.bytes < enough;
        (self.since, self.bytes) = (Instant::now(), 0);
        slow
    }
}

impl Answer {
    /// All `Link` headers as one (RFC 9110, section 5.3), or `None` if one is not text.
    pub(crate) fn links(&self) -> Option<String> {
        let values = self.response.headers().get_all("link");
        let texts: Option<Vec<_>> = values.iter().map(|value| value.to_str().ok()).collect();
        Some(texts?.join(","))
    }

    /// Refuses an answer that says it is of another commit.
    pub(crate) fn refuse_other_commit(
        &self,
        hub: &Hub,
        commit: &Revision,
    ) -> Result<(), FetchError> {
        hub.refuse_other_commit(&self.response, Some(commit))
    }

    /// Where the answer came from in the end.
    pub(crate) fn url(&self) -> &Url {
        self.response.url()
    }
}
