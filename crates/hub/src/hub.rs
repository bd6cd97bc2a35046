//! A Hub, and one repository of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{Client, Url};
use serde::Deserialize;
use tensorgate_verify::{FilePath, RepoId, RepoType, Revision};
use tokio::sync::Semaphore;

use crate::config::endpoint::Endpoint;
use crate::config::token::Token;
use crate::config::{Config, ConfigError};
use crate::error::{FetchError, without_query};
use crate::http::addresses::Addresses;
use crate::http::client::client;
use crate::http::deadline::Deadline;
use crate::http::pause::Pause;
use crate::http::redirect::Reach;
use crate::http::refused::short;
use crate::http::retry::Retries;
use crate::http::transport::Body;
use crate::limits::FetchLimits;
use crate::progress::Progress;
use crate::target::Target;
use crate::transfer::range::Span;

/// A Hub that is not trusted.
///
/// The token goes to the endpoint's origin. Listings never leave it; bodies may be redirected to
/// anywhere that is no less private, nor nearer to this machine than the endpoint is, without the
/// token.
#[derive(Debug)]
pub struct Hub {
    pub(crate) endpoint: Endpoint,
    pub(crate) token: Option<Token>,
    pub(crate) limits: FetchLimits,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) client: Client,
    pub(crate) requests: AtomicU64,
    /// Begun by any answer of the endpoint.
    pub(crate) pause: Pause,
    /// Held by the one file that comes by several connections.
    pub(crate) split: Semaphore,
}

/// One repository of a Hub.
#[derive(Clone, Copy, Debug)]
pub struct Repository<'h> {
    pub(crate) hub: &'h Hub,
    repo_type: RepoType,
    repo: &'h RepoId,
}

/// What the Hub says a name stands for.
#[derive(Deserialize)]
struct Named {
    sha: String,
}

impl Hub {
    /// A Hub to be asked; nothing is sent yet.
    ///
    /// # Errors
    /// [`ConfigError::TokenInClear`], [`ConfigError::Client`].
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.refuse_token_in_clear()?;
        let addresses = Addresses::new(config.endpoint.url(), config.proxies.hosts());
        let addresses = Arc::new(addresses);
        Ok(Self {
            endpoint: config.endpoint.clone(),
            token: config.token_to_send().cloned(),
            limits: config.limits.clone(),
            client: client(config, &addresses)?,
            addresses,
            requests: AtomicU64::new(0),
            pause: Pause::default(),
            split: Semaphore::new(1),
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

    /// How many requests were sent, those that a redirect asked for included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The attempts that are left after a first one.
    pub(crate) fn retries<'a>(&'a self, progress: &'a dyn Progress) -> Retries<'a> {
        Retries::new(&self.limits, progress)
    }

    /// An error that may be shown, whatever strangers have put into it.
    pub(crate) fn hide(&self, error: FetchError) -> FetchError {
        error.hiding(self.token.as_ref())
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
        let answer = self.hub.get(&url, None, limit, progress).await?;
        let unusable = |what: String| {
            let shown = without_query(url.as_str());
            self.hub.hide(FetchError::malformed(&shown, what))
        };
        let named: Named =
            serde_json::from_slice(&answer.body).map_err(|error| unusable(error.to_string()))?;
        let no_commit = |_| unusable(format!("{:?} is no commit id", short(&named.sha)));
        let revision = named.sha.parse().map_err(no_commit)?;
        answer.refuse_other_commit(self.hub, &revision)?;
        Ok(revision)
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
            self.hub.pause.over(progress).await;
            match self.read(revision, path, limit).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => retries.wait_after(self.hub.hide(error)).await?,
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
        let time = self.hub.limits.time_of(limit);
        let deadline = Deadline::within(time, "the file is not complete");
        let mut body = self.body(revision, path, Span::WHOLE, deadline).await?;
        while let Some(chunk) = body.next().await? {
            bytes.extend_from_slice(&chunk);
            let what = format!("bytes of {:?}", path.as_str());
            too_large(&what, bytes.len(), limit)?;
        }
        Ok(bytes)
    }

    pub(crate) fn api_url(&self, segments: &[&str]) -> Url {
        let kind = format!("{}s", self.repo_type);
        let mut all = vec!["api", &kind, self.repo.owner(), self.repo.name()];
        all.extend(segments);
        self.hub.endpoint.join(&all)
    }

    /// Those bytes of a file, as they come.
    pub(crate) async fn body(
        &self,
        revision: &Revision,
        path: &FilePath,
        span: Span,
        deadline: Deadline,
    ) -> Result<Body, FetchError> {
        let mut segments = match self.repo_type {
            RepoType::Dataset => vec!["datasets"],
            _ => Vec::new(),
        };
        segments.extend([self.repo.owner(), self.repo.name()]);
        segments.extend(["resolve", revision.as_str()]);
        segments.extend(path.as_str().split('/'));
        let url = self.hub.endpoint.join(&segments);
        let (reach, commit) = (Reach::Anywhere, Some(revision));
        self.hub.open(&url, span, reach, commit, deadline).await
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
