//! What a manifest says. It proves nothing by being said.

use serde_json::{Value, json};
use tensorgate_verify::{Manifest, RepoId, RepoType, Revision, SignedManifest};

use crate::text::{count, thousands, total};

/// A line for each claim, aligned, for people.
pub(crate) fn lines(signed: &SignedManifest, manifest: &Manifest) -> Vec<String> {
    let Manifest { repo, policy, .. } = manifest;
    let mut lines = vec![
        self::repo(repo.repo_type, &repo.id, &repo.revision),
        format!("  sequence   {}", manifest.sequence),
        format!("  policy     {:?}", policy.policy_type),
    ];
    if let Some(robot) = &policy.robot {
        lines.push(format!("  robot      {robot:?}"));
    }
    lines.extend([
        format!("  valid      {} to {}", manifest.issued, manifest.expires),
        format!("  manifest   sha256 {}", signed.digest()),
        format!(
            "  files      {}, {} bytes",
            count(manifest.files.len(), "file"),
            thousands(bytes(manifest))
        ),
    ]);
    let (externals, reviews) = (&manifest.externals, &manifest.reviewed_code);
    if !externals.is_empty() || !reviews.is_empty() {
        lines.push(format!(
            "  declares   {}, {} of code",
            count(externals.len(), "external"),
            count(reviews.len(), "review")
        ));
    }
    lines
}

/// The same for programs, with what else is to be told of it.
pub(crate) fn json<const N: usize>(
    signed: &SignedManifest,
    manifest: &Manifest,
    more: [(&str, Value); N],
) -> Value {
    let claims = [
        ("repo", json!(manifest.repo)),
        ("sequence", json!(manifest.sequence)),
        ("issued", json!(manifest.issued)),
        ("expires", json!(manifest.expires)),
        ("policy", json!(manifest.policy)),
        ("manifest", json!(signed.digest())),
    ];
    claims.into_iter().chain(more).collect()
}

/// The line of a repository at a commit, as `fetch` takes it.
pub(crate) fn repo(repo_type: RepoType, id: &RepoId, revision: &Revision) -> String {
    let prefix = match repo_type {
        RepoType::Dataset => "datasets/",
        _ => "",
    };
    format!("  repo       {prefix}{id}@{revision}")
}

/// Bytes of all files.
pub(crate) fn bytes(manifest: &Manifest) -> u64 {
    total(manifest.files.iter().map(|file| file.size))
}
