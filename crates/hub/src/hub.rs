//! A Hub, and one repository of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use hf_hub::{HFClient, HFResult};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, Url};
use serde::Deserialize;
use tensorgate_verify::{FilePath, RepoId, RepoType, Revision};

use crate::config::{Config, ConfigError, Endpoint, FetchLimits, Token};
use crate::error::{FetchError, without_query};
use crate::progress::Progress;
use crate::refused::Refused;
use crate::retry::Retries;
use crate::target::Target;

/// A Hub that is not trusted.
///
/// The token goes to the endpoint's origin. Listings never leave it; bodies may be redirected, to
/// anywhere that is no less private, and without the token.
#[derive(Debug)]
pub struct Hub {
    endpoint: Endpoint,
    token: Option<Token>,
    limits: FetchLimits,
    /// Follows redirects within the endpoint's origin only.
    api: Client,
    /// Brings bodies.
    bodies: HFClient,
    requests: AtomicU64,
}

/// One repository of a Hub.
#[derive(Clone, Copy, Debug)]
pub struct Repository<'h> {
    pub(crate) hub: &'h Hub,
    repo_type: RepoType,
    repo: &'h RepoId,
}

/// What hf-hub gives for a file.
type ByteStream = Box<dyn Stream<Item = HFResult<Bytes>> + Send + Unpin>;

/// What the Hub says a name stands for.
#[derive(Deserialize)]
struct Named {
    sha: String,
}

const USER_AGENT: &str = concat!("tensorgate/", env!("CARGO_PKG_VERSION"));

/// What hf-hub is given where there is no token. Without any it would look for one in the
/// environment and in the home directory, and send it to whatever the endpoint is. A line break
/// cannot stand in a header, so this one is never sent.
const NO_TOKEN: &str = "\n";

impl Hub {
    /// A Hub to be asked; nothing is sent yet.
    ///
    /// # Errors
    /// [`ConfigError::TokenInClear`], [`ConfigError::Client`].
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.refuse_token_in_clear()?;
        let (endpoint, limits) = (&config.endpoint, &config.limits);
        let origin = endpoint.clone();
        let api = client(config, Policy::custom(move |to| stay(to, &origin)))?;
        let most = limits.redirects;
        let bodies = client(config, Policy::custom(move |to| follow(to, most)))?;
        let secret = config.token.as_ref().map_or(NO_TOKEN, Token::secret);
        let bodies = HFClient::builder()
            .endpoint(endpoint.to_string())
            .token(secret)
            .client(bodies)
            .user_agent(USER_AGENT)
            // Neither read nor written; named so that it is not looked up.
            .cache_dir("/dev/null")
            .cache_enabled(false)
            // Attempts are counted in one place, here.
            .retry_max_attempts(0)
            .build()
            .map_err(|error| ConfigError::Client(error.to_string().into()))?;
        Ok(Self {
            endpoint: endpoint.clone(),
            token: config.token.clone(),
            limits: limits.clone(),
            api,
            bodies,
            requests: AtomicU64::new(0),
        })
    }

    /// The same, or `None` where the configuration says that the network is not to be used.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn unless_offline(config: &Config) -> Result<Option<Self>, ConfigError> {
        match config.offline {
            true => Ok(None),
            false => Self::new(config).map(Some),
        }
    }

    /// One of its repositories; whether it exists is not asked.
    pub const fn repository<'h>(&'h self, repo_type: RepoType, repo: &'h RepoId) -> Repository<'h> {
        Repository {
            hub: self,
            repo_type,
            repo,
        }
    }

    /// The repository that a target names.
    pub const fn repository_of<'h>(&'h self, target: &'h Target) -> Repository<'h> {
        self.repository(target.repo_type, &target.repo)
    }

    /// Where it is.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The bounds of time and size.
    pub const fn limits(&self) -> &FetchLimits {
        &self.limits
    }

    /// How many requests were sent to the endpoint; redirects are not counted.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn count(&self, requests: u64) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
    }

    /// One request to the API, of which at most `limit` bytes of an answer are read.
    async fn ask(&self, url: &Url, limit: u64) -> Result<Answer, FetchError> {
        self.count(1);
        let shown = without_query(url.as_str());
        let failed = |error| FetchError::of_request(&shown, error, self.limits.stall);
        let mut request = self.api.get(url.clone()).timeout(self.limits.grace);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.secret());
        }
        let mut response = request.send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(Refused::of_answer(&response).into());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            too_large(&format!("the answer of {shown}"), body.len(), limit)?;
        }
        Ok(Answer { response, body })
    }

    /// The attempts that are left after a first one.
    pub(crate) fn retries<'a>(&'a self, progress: &'a dyn Progress) -> Retries<'a> {
        Retries::new(&self.limits, progress)
    }

    /// A request to the API, tried again while that may help.
    pub(crate) async fn get(
        &self,
        url: &Url,
        limit: u64,
        progress: &dyn Progress,
    ) -> Result<Answer, FetchError> {
        let mut retries = self.retries(progress);
        loop {
            match self.ask(url, limit).await {
                Ok(answer) => return Ok(answer),
                Err(error) => retries.wait_after(error).await?,
            }
        }
    }
}

/// A successful answer, its body apart.
pub(crate) struct Answer {
    response: Response,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// All `Link` headers as one (RFC 9110, section 5.3), or `None` if one is not text.
    pub(crate) fn links(&self) -> Option<String> {
        let values = self.response.headers().get_all("link");
        let texts: Option<Vec<_>> = values.iter().map(|value| value.to_str().ok()).collect();
        Some(texts?.join(","))
    }

    /// Where the answer came from in the end.
    pub(crate) fn url(&self) -> &Url {
        self.response.url()
    }
}

impl Repository<'_> {
    /// The commit that a branch or tag stands for now.
    ///
    /// # Errors
    /// [`Reason::RevisionNotFound`](crate::Reason) and everything that keeps a request from being answered.
    pub async fn resolve(
        &self,
        name: &str,
        progress: &dyn Progress,
    ) -> Result<Revision, FetchError> {
        let url = self.api_url(&["revision", name]);
        let limit = self.hub.limits.listing_bytes;
        let answer = self.hub.get(&url, limit, progress).await?;
        let unusable = |what: String| FetchError::malformed(&without_query(url.as_str()), what);
        let named: Named =
            serde_json::from_slice(&answer.body).map_err(|error| unusable(error.to_string()))?;
        let no_commit = |_| unusable(format!("{:?} is no commit id", named.sha));
        named.sha.parse().map_err(no_commit)
    }

    /// A whole file of at most `limit` bytes, of which nothing is checked: a manifest, whose
    /// signature speaks for it.
    ///
    /// # Errors
    /// [`FetchError::TooLarge`] and everything that keeps it from being had.
    pub async fn small_file(
        &self,
        revision: &Revision,
        path: &FilePath,
        limit: u64,
        progress: &dyn Progress,
    ) -> Result<Vec<u8>, FetchError> {
        let mut retries = self.hub.retries(progress);
        loop {
            match self.read(revision, path, limit).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => retries.wait_after(error).await?,
            }
        }
    }

    async fn read(
        &self,
        revision: &Revision,
        path: &FilePath,
        limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        let mut body = self.body(revision, path, self.hub.limits.grace).await?;
        while let Some(chunk) = body.next().await? {
            bytes.extend_from_slice(&chunk);
            too_large(path.as_str(), bytes.len(), limit)?;
        }
        Ok(bytes)
    }

    pub(crate) fn api_url(&self, segments: &[&str]) -> Url {
        let kind = format!("{}s", self.repo_type);
        let mut all = vec!["api", &kind, self.repo.owner(), self.repo.name()];
        all.extend(segments);
        self.hub.endpoint.join(&all)
    }

    /// The bytes of a file, as they come; all of them within `total`.
    pub(crate) async fn body(
        &self,
        revision: &Revision,
        path: &FilePath,
        total: Duration,
    ) -> Result<Body, FetchError> {
        let shown = format!("{}/{}/{revision}/{path}", self.hub.endpoint, self.repo);
        let limits = &self.hub.limits;
        // The client asks for the headers first.
        self.hub.count(2);
        let wait = limits.connect.saturating_add(limits.stall);
        let Ok(opened) = tokio::time::timeout(wait, self.open(revision, path)).await else {
            let (url, what) = (shown.into(), "no answer came");
            return Err(FetchError::TimedOut {
                url,
                what,
                waited: wait,
            });
        };
        let (_hint, stream) =
            opened.map_err(|error| FetchError::of_client(&shown, error, limits.stall))?;
        Ok(Body {
            stream,
            shown,
            stall: limits.stall,
            deadline: tokio::time::Instant::now() + total,
            total,
        })
    }

    async fn open(
        &self,
        revision: &Revision,
        path: &FilePath,
    ) -> HFResult<(Option<u64>, ByteStream)> {
        let (client, owner, name) = (&self.hub.bodies, self.repo.owner(), self.repo.name());
        if self.repo_type == RepoType::Dataset {
            let repo = client.dataset(owner, name);
            let stream = repo.download_file_stream().filename(path.as_str());
            return stream.revision(revision.as_str()).send().await;
        }
        let repo = client.model(owner, name);
        let stream = repo.download_file_stream().filename(path.as_str());
        stream.revision(revision.as_str()).send().await
    }
}

/// A body that is being received.
pub(crate) struct Body {
    stream: ByteStream,
    shown: String,
    stall: Duration,
    deadline: tokio::time::Instant,
    total: Duration,
}

impl Body {
    /// The next bytes, or `None` at the end that the server made.
    ///
    /// The timeout stands here as well as in the HTTP client: not every transport of hf-hub uses
    /// that client.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let stalled = tokio::time::Instant::now() + self.stall;
        let (end, what, waited) = match stalled < self.deadline {
            true => (stalled, "no more bytes came", self.stall),
            false => (self.deadline, "it comes too slowly", self.total),
        };
        match tokio::time::timeout_at(end, self.stream.next()).await {
            Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => Err(FetchError::of_client(&self.shown, error, self.stall)),
            Err(_) => {
                let url = self.shown.as_str().into();
                Err(FetchError::TimedOut { url, what, waited })
            }
        }
    }
}

fn client(config: &Config, redirects: Policy) -> Result<Client, ConfigError> {
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        .https_only(config.endpoint.is_https())
        .redirect(redirects)
        .connect_timeout(config.limits.connect)
        .read_timeout(config.limits.stall);
    if config.endpoint.is_loopback() {
        builder = builder.no_proxy();
    }
    builder
        .build()
        .map_err(|error| ConfigError::Client(error.to_string().into()))
}

/// Redirects of the API: a renamed repository, a trailing slash.
fn stay(attempt: Attempt<'_>, endpoint: &Endpoint) -> reqwest::redirect::Action {
    if attempt.previous().len() > 5 {
        return attempt.error("redirected too often");
    }
    match endpoint.is_origin_of(attempt.url()) {
        true => attempt.follow(),
        false => attempt.error("redirected to another origin, where no listing belongs"),
    }
}

/// Redirects of a body: to a CDN, and never from https to http.
fn follow(attempt: Attempt<'_>, most: usize) -> reqwest::redirect::Action {
    if attempt.previous().len() > most {
        return attempt.error("redirected too often");
    }
    let private = |url: &Url| url.scheme() == "https";
    match attempt.previous().iter().any(private) && !private(attempt.url()) {
        true => attempt.error("redirected from https to http"),
        false => attempt.follow(),
    }
}

pub(crate) fn too_large(what: &str, value: usize, limit: u64) -> Result<(), FetchError> {
    let value = u64::try_from(value).unwrap_or(u64::MAX);
    if value <= limit {
        return Ok(());
    }
    let what = what.into();
    Err(FetchError::TooLarge { what, value, limit })
}
