//! Files: the resolver on the hub's port, LFS bodies on the CDN's.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, response};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use crate::body::{Answer, Tampering};
use crate::commit::{Blob, Commit, Lfs};
use crate::connection::Flushes;
use crate::fault::Fault;
use crate::refusal::{Refusal, X_REPO_COMMIT};
use crate::repository::{Kind, RepoId, Repository};
use crate::server::{Hub, Target, encoded};

/// The `Signature` in every CDN URL. It opens the file to whoever has the
/// URL, as a real one does, so it belongs in no log.
pub const CDN_SIGNATURE: &str = "testhub-cdn-signature";

const X_LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const X_LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const X_XET_HASH: HeaderName = HeaderName::from_static("x-xet-hash");
/// The form of one: 64 hexadecimal digits.
pub(crate) const XET_HASH: &str =
    "abababababababababababababababababababababababababababababababab";

pub(crate) fn routes() -> Router<Arc<Hub>> {
    Router::new()
        .route("/{owner}/{name}/resolve/{rev}/{*path}", get(model_file))
        .route(
            "/datasets/{owner}/{name}/resolve/{rev}/{*path}",
            get(dataset_file),
        )
}

pub(crate) fn cdn_routes() -> Router<Arc<Hub>> {
    Router::new().route("/{kind}/{owner}/{name}/{rev}/{*path}", get(cdn_file))
}

async fn model_file(
    State(hub): State<Arc<Hub>>,
    Path(target): Path<Target>,
    method: Method,
    ConnectInfo(flushes): ConnectInfo<Flushes>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    file(&hub, &target, &method, &headers, flushes).await
}

async fn dataset_file(
    State(hub): State<Arc<Hub>>,
    Path(mut target): Path<Target>,
    method: Method,
    ConnectInfo(flushes): ConnectInfo<Flushes>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    target.kind = Kind::Datasets;
    file(&hub, &target, &method, &headers, flushes).await
}

/// A plain file itself, or the way to an LFS file.
async fn file(
    hub: &Hub,
    target: &Target,
    method: &Method,
    headers: &HeaderMap,
    flushes: Flushes,
) -> Result<Response, Refusal> {
    let id = target.repo_id();
    let repository = hub.repository(&id)?;
    require_grant(&repository, headers)?;
    let (commit, blob) = find(&repository, target)?;
    let said = hub.faults.find(|fault| match fault {
        Fault::RepoCommit { commit } => Some(commit.clone()),
        _ => None,
    });
    let said = said.unwrap_or_else(|| commit.id.to_string());
    let elsewhere = hub.faults.find(|fault| match fault {
        Fault::Redirect { path, url } if *path == target.path => Some(url.clone()),
        _ => None,
    });
    if let Some(url) = elsewhere {
        return Ok(found(&url, said).body(Body::empty())?);
    }
    let mut response = match &blob.lfs {
        Some(lfs) => redirect(hub.cdn_url(&id, commit, &target.path), blob.size, lfs, said)?,
        None => {
            let etag = (header::ETAG, format!("\"{}\"", blob.oid));
            let answer = body(hub, blob, &target.path, method, headers, flushes).await?;
            answer.with([etag, (X_REPO_COMMIT, said)])?
        }
    };
    name_xet_hash(hub, &target.path, &mut response);
    Ok(response)
}

fn name_xet_hash(hub: &Hub, path: &str, response: &mut Response) {
    let named = hub.faults.find(|fault| match fault {
        Fault::XetHash { path: named } if named == path => Some(()),
        _ => None,
    });
    if named.is_some() {
        response
            .headers_mut()
            .insert(X_XET_HASH, HeaderValue::from_static(XET_HASH));
    }
}

fn redirect(url: String, size: u64, lfs: &Lfs, commit: String) -> Result<Response, Refusal> {
    Ok(found(&url, commit)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .header(X_LINKED_ETAG, format!("\"{}\"", lfs.sha256))
        .header(X_LINKED_SIZE, size)
        .body(Body::from(format!("Found. Redirecting to {url}")))?)
}

fn found(url: &str, commit: String) -> response::Builder {
    Response::builder()
        .status(StatusCode::FOUND)
        .header(X_REPO_COMMIT, commit)
        .header(header::LOCATION, url)
}

#[derive(Deserialize)]
struct Signed {
    #[serde(rename = "Signature")]
    signature: Option<String>,
}

async fn cdn_file(
    State(hub): State<Arc<Hub>>,
    Path(target): Path<Target>,
    Query(signed): Query<Signed>,
    method: Method,
    ConnectInfo(flushes): ConnectInfo<Flushes>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if signed.signature.as_deref() != Some(CDN_SIGNATURE) {
        return Err(Refusal::Unsigned);
    }
    let repository = hub.repository(&target.repo_id())?;
    let (_, blob) = find(&repository, &target)?;
    let digest = blob
        .lfs
        .as_ref()
        .map_or_else(String::new, |lfs| lfs.sha256.clone());
    let answer = body(&hub, blob, &target.path, &method, &headers, flushes).await?;
    let mut response = answer.with([(header::ETAG, format!("\"{digest}\""))])?;
    name_xet_hash(&hub, &target.path, &mut response);
    Ok(response)
}

impl Hub {
    fn cdn_url(&self, id: &RepoId, commit: &Commit, path: &str) -> String {
        let RepoId { kind, owner, name } = id;
        format!(
            "{}/{}/{owner}/{name}/{}/{}?Expires=4102444800&Signature={CDN_SIGNATURE}",
            self.cdn,
            kind.name(),
            commit.id,
            encoded(path),
        )
    }
}

async fn body(
    hub: &Hub,
    blob: &Blob,
    path: &str,
    method: &Method,
    headers: &HeaderMap,
    flushes: Flushes,
) -> Result<Answer, Refusal> {
    // A HEAD has no bytes to tamper with and must not use up a fault.
    let tampering = if method == Method::GET {
        Tampering::of(&hub.faults, path, flushes)
    } else {
        Tampering::default()
    };
    Answer::new(blob, headers.get(header::RANGE), tampering).await
}

fn find<'a>(
    repository: &'a Repository,
    target: &Target,
) -> Result<(&'a Commit, &'a Blob), Refusal> {
    let commit = repository
        .revision(&target.rev)
        .ok_or(Refusal::RevisionNotFound)?;
    let blob = commit
        .files
        .get(&target.path)
        .ok_or(Refusal::EntryNotFound(commit.id))?;
    Ok((commit, blob))
}

fn require_grant(repository: &Repository, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(granted) = repository.granted() else {
        return Ok(());
    };
    let given = headers.get(header::AUTHORIZATION);
    let token = given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match token {
        Some(token) if token == granted => Ok(()),
        token => Err(Refusal::Gated {
            token_given: token.is_some_and(|token| !token.is_empty()),
        }),
    }
}
