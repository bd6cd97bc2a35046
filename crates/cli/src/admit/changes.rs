//! What changed since the release of the same repository that the store accepted last, in a few
//! lines; `tensorgate diff` has the rest.

use std::collections::BTreeSet;

use tensorgate_hub::{Expected, Target};
use tensorgate_store::Accepted;
use tensorgate_verify::{FileEntry, FilePath, Limits, Manifest, SignedManifest};

use crate::failure::Failure;
use crate::fetch::Session;
use crate::text::count;

/// Files that are named; the rest is counted.
const SHOWN: usize = 20;

impl Session {
    /// The release that was accepted last, if there was one.
    pub(super) fn accepted(&self, target: &Target) -> Result<Option<Accepted>, Failure> {
        let state = self.store.state();
        Ok(state.last_accepted(target.repo_type, &target.repo)?)
    }

    /// A line for each difference to it. It was verified when it was accepted; here it only tells a
    /// person where to look.
    pub(super) fn changes(
        &self,
        accepted: &Accepted,
        target: &Target,
        files: &[FileEntry],
        path: &str,
    ) -> Result<Vec<String>, Failure> {
        let sequence = accepted.sequence;
        let Some(kept) = self.store.policy(&accepted.manifest)? else {
            return Ok(vec![format!(
                "  changed    since release {sequence}: unknown, the store has its files no more"
            )]);
        };
        let limits = Limits::default();
        let envelope = kept.envelope(&limits)?;
        let before = SignedManifest::parse(&envelope, &limits)?.untrusted(&limits)?;
        let mut lines = differences(&before, files);
        let head = match lines.len() {
            0 => format!("  changed    nothing since release {sequence}"),
            n => format!(
                "  changed    {} since release {sequence}:",
                count(n, "file")
            ),
        };
        if let Some(more) = lines.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            lines.truncate(SHOWN);
            lines.push(format!("    and {}", count(more, "more file")));
        }
        lines.insert(0, head);
        let name = Expected::of(target.repo_type, target.repo.clone()).name();
        lines.push(format!("    `tensorgate diff {name} {path}` shows how"));
        Ok(lines)
    }
}

fn differences(before: &Manifest, after: &[FileEntry]) -> Vec<String> {
    let find = |path: &FilePath| after.iter().find(|file| file.path == *path);
    let paths = before.files.iter().chain(after).map(|file| &file.path);
    let paths: BTreeSet<&FilePath> = paths.collect();
    let line = |path: &FilePath| match (before.file(path), find(path)) {
        (Some(a), Some(b)) if a.sha256 == b.sha256 => None,
        (Some(a), Some(b)) => Some(format!("    changed  {path}{}", tensors(a, b))),
        (Some(_), None) => Some(format!("    gone     {path}")),
        _ => Some(format!("    new      {path}")),
    };
    paths.into_iter().filter_map(line).collect()
}

/// How many tensors of a file are others, where it has some.
fn tensors(before: &FileEntry, after: &FileEntry) -> String {
    let (Some(before), Some(after)) = (&before.tensors, &after.tensors) else {
        return String::new();
    };
    let known: BTreeSet<_> = before
        .iter()
        .map(|tensor| (&tensor.name, tensor.blake3.as_bytes()))
        .collect();
    let is_other = |tensor: &&tensorgate_verify::TensorEntry| {
        !known.contains(&(&tensor.name, tensor.blake3.as_bytes()))
    };
    let others = after.iter().filter(is_other).count();
    format!(": {others} of {} are others", count(after.len(), "tensor"))
}
