//! Listings of any rows, as a client takes them.

use tensorgate_hub::{FetchError, FetchLimits, Hub, Listing, Silent, Target};
use tensorgate_verify::Rejection;

use super::raw::{TOKEN, serve, whole};
use super::{ID, config};

pub(crate) const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// The empty blob.
pub(crate) const EMPTY: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";

pub(crate) async fn listing_at(
    endpoint: &str,
    limit: impl FnOnce(&mut FetchLimits),
) -> Result<Listing, FetchError> {
    let mut config = config(endpoint, Some(TOKEN));
    config.limits.retries = 0;
    limit(&mut config.limits);
    let hub = Hub::new(&config).unwrap();
    let target: Target = format!("{ID}@{COMMIT}").parse().unwrap();
    let revision = COMMIT.parse().unwrap();
    hub.repository_of(&target).listing(&revision, &Silent).await
}

/// A listing of one page.
pub(crate) async fn listing_of(body: impl Into<String>) -> Result<Listing, FetchError> {
    let body = body.into();
    listing_at(&serve(move |_, stream| whole(stream, &body)), |_| {}).await
}

pub(crate) async fn refusal_of(body: impl Into<String>) -> (Option<Rejection>, String) {
    let error = listing_of(body).await.unwrap_err();
    (error.rejection(), error.to_string())
}

pub(crate) fn file(path: &str) -> String {
    format!(r#"{{"type":"file","oid":"{EMPTY}","size":0,"path":"{path}"}}"#)
}

pub(crate) fn directory(path: &str, oid: &str) -> String {
    format!(r#"{{"type":"directory","oid":"{oid}","size":0,"path":"{path}"}}"#)
}

pub(crate) fn page(rows: &[String]) -> String {
    format!("[{}]", rows.join(","))
}
