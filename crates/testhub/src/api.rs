//! `/api/models/...` and `/api/datasets/...`: information, listings, branches.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::listing::{self, Entry};
use crate::refusal::Refusal;
use crate::repository::RepoId;
use crate::server::{Hub, Target, encoded};

type Answer = Result<Response, Refusal>;

pub(crate) fn routes() -> Router<Arc<Hub>> {
    Router::new()
        .route("/api/{kind}/{owner}/{name}", get(info))
        .route("/api/{kind}/{owner}/{name}/revision/{rev}", get(info))
        .route("/api/{kind}/{owner}/{name}/tree/{rev}", get(tree))
        .route("/api/{kind}/{owner}/{name}/tree/{rev}/{*path}", get(tree))
        .route(
            "/api/{kind}/{owner}/{name}/paths-info/{rev}",
            post(paths_info),
        )
        .route("/api/{kind}/{owner}/{name}/refs", get(refs))
}

#[derive(Deserialize)]
struct InfoQuery {
    blobs: Option<String>,
}

async fn info(
    State(hub): State<Arc<Hub>>,
    Path(target): Path<Target>,
    Query(query): Query<InfoQuery>,
) -> Answer {
    let id = target.repo_id();
    let repository = hub.repository(&id)?;
    let commit = repository
        .revision(&target.rev)
        .ok_or(Refusal::RevisionNotFound)?;
    let entries = listing::tree(commit, "", true, &hub.faults).unwrap_or_default();
    let blobs = is_true(query.blobs.as_deref());
    let siblings: Vec<_> = entries
        .iter()
        .filter(|e| e.is_file())
        .map(|e| sibling(e, blobs))
        .collect();
    let gated = if repository.granted().is_some() {
        json!("manual")
    } else {
        json!(false)
    };
    Ok(Json(json!({
        "id": format!("{}/{}", id.owner, id.name),
        "author": id.owner,
        "sha": commit.id.to_string(),
        "lastModified": "2026-01-01T00:00:00.000Z",
        "private": false,
        "gated": gated,
        "disabled": false,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": siblings,
    }))
    .into_response())
}

fn sibling(entry: &Entry, blobs: bool) -> Value {
    if !blobs {
        return json!({ "rfilename": entry.path });
    }
    let mut sibling = json!({
        "rfilename": entry.path,
        "size": entry.size,
        "blobId": entry.oid,
    });
    if let Some(lfs) = &entry.lfs {
        let size = entry.size;
        let lfs = json!({ "sha256": lfs.oid, "size": size, "pointerSize": lfs.pointer_size });
        sibling["lfs"] = lfs;
    }
    sibling
}

/// `cursor` is the index of a page's first entry; to clients it is opaque.
#[derive(Deserialize)]
struct TreeQuery {
    recursive: Option<String>,
    limit: Option<usize>,
    cursor: Option<usize>,
}

async fn tree(
    State(hub): State<Arc<Hub>>,
    Path(target): Path<Target>,
    Query(query): Query<TreeQuery>,
) -> Answer {
    let id = target.repo_id();
    let repository = hub.repository(&id)?;
    let commit = repository
        .revision(&target.rev)
        .ok_or(Refusal::RevisionNotFound)?;
    let recursive = is_true(query.recursive.as_deref());
    let directory = target.path.trim_end_matches('/');
    let entries = listing::tree(commit, directory, recursive, &hub.faults)
        .ok_or(Refusal::EntryNotFound(commit.id))?;

    let limit = query.limit.unwrap_or(hub.page_size).clamp(1, hub.page_size);
    let start = query.cursor.unwrap_or(0);
    let end = start.saturating_add(limit);
    let more = end < entries.len();
    let page: Vec<_> = entries.into_iter().skip(start).take(limit).collect();

    let mut response = Json(page).into_response();
    let next = more.then(|| next_page(&hub, &target, recursive, limit, end));
    if let Some(url) = foreign_next(&hub).or(next) {
        let link = HeaderValue::try_from(format!("<{url}>; rel=\"next\""))
            .map_err(|_| Refusal::Internal(format!("{url:?} cannot be in a header")))?;
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

fn next_page(hub: &Hub, target: &Target, recursive: bool, limit: usize, cursor: usize) -> String {
    let RepoId { kind, owner, name } = target.repo_id();
    let rev = encoded(&target.rev).replace('/', "%2F");
    let slash = if target.path.is_empty() { "" } else { "/" };
    format!(
        "{}/api/{}/{owner}/{name}/tree/{rev}{slash}{}?recursive={recursive}&limit={limit}&cursor={cursor}",
        hub.endpoint,
        kind.name(),
        encoded(&target.path),
    )
}

fn foreign_next(hub: &Hub) -> Option<String> {
    hub.faults.find(|fault| match fault {
        Fault::NextLink { url } => Some(url.clone()),
        _ => None,
    })
}

/// The Rust client sends JSON, the Python client a form with repeated `paths`.
async fn paths_info(
    State(hub): State<Arc<Hub>>,
    Path(target): Path<Target>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    #[derive(Deserialize)]
    struct Asked {
        paths: Vec<String>,
    }
    let repository = hub.repository(&target.repo_id())?;
    let commit = repository
        .revision(&target.rev)
        .ok_or(Refusal::RevisionNotFound)?;
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let paths = if kind.starts_with(b"application/json") {
        let asked: Asked =
            serde_json::from_slice(&body).map_err(|_| Refusal::BadRequest("paths are missing"))?;
        asked.paths
    } else {
        form_paths(&body).ok_or(Refusal::BadRequest("not a form"))?
    };
    Ok(Json(listing::paths(commit, &paths, &hub.faults)).into_response())
}

fn form_paths(body: &[u8]) -> Option<Vec<String>> {
    let query = format!("/?{}", std::str::from_utf8(body).ok()?)
        .parse()
        .ok()?;
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&query).ok()?;
    Some(
        pairs
            .into_iter()
            .filter(|(key, _)| key == "paths")
            .map(|(_, path)| path)
            .collect(),
    )
}

async fn refs(State(hub): State<Arc<Hub>>, Path(target): Path<Target>) -> Answer {
    let repository = hub.repository(&target.repo_id())?;
    let branch = |(name, id): (&String, _)| {
        json!({
            "name": name,
            "ref": format!("refs/heads/{name}"),
            "targetCommit": format!("{id}"),
        })
    };
    let branches: Vec<_> = repository.branches().iter().map(branch).collect();
    Ok(Json(json!({ "branches": branches, "converts": [], "tags": [] })).into_response())
}

/// Python's `True` and JavaScript's `true`.
fn is_true(value: Option<&str>) -> bool {
    matches!(value, Some("true" | "True" | "1"))
}
