//! What came of it, and what to do next.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use tensorgate_verify::{Manifest, SignedManifest, TrustPolicy, TrustedKey};

use crate::args::admit::Admit;
use crate::claims;
use crate::output::Report;
use crate::trust::check::Standing;

/// It is in the store.
pub(super) fn admitted(args: &Admit, mut report: Report, written: Option<&Path>) -> Report {
    // Whoever launches it stands elsewhere.
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (path, trust) = (
        absolute(report.data.trim_end().as_ref()),
        absolute(&args.trust),
    );
    let next = format!(
        "ros2 launch tensorgate tensorgate.launch.xml policy:={} trust:={}",
        word(&path.display().to_string()),
        word(&trust.display().to_string())
    );
    if let Some(written) = written {
        report.prose.push(format!(
            "  written    {written:?}, which the other machines take"
        ));
    }
    report.prose.push(format!("  next       {next}"));
    report.more.insert("admitted".to_owned(), true.into());
    report.more.insert("next".to_owned(), next.into());
    let written = written.map(|path| path.display().to_string());
    report.more.insert("written".to_owned(), written.into());
    report
}

/// Others have to sign it.
pub(super) fn pending(
    args: &Admit,
    trust: &TrustPolicy,
    signed: &SignedManifest,
    manifest: &Manifest,
    path: &Path,
) -> Report {
    let signers = Signers::of(trust, signed, manifest);
    let next = format!(
        "tensorgate admit {}@{} --key THEIRS.key.pem --trust {} --manifest {}",
        manifest.repo.id,
        manifest.repo.revision,
        word(&args.trust.display().to_string()),
        word(&path.display().to_string())
    );
    let mut prose = vec![format!("signed, not yet admitted: {path:?}")];
    prose.extend(claims::lines(signed, manifest));
    prose.extend(signers.lines(trust.threshold()));
    prose.push(format!("  next       give them {path:?}; there: {next}"));
    let path = path.display().to_string();
    let more = json!({ "admitted": false, "written": path, "next": next });
    Report {
        verdict: Some("done"),
        subject: args.target.clone(),
        prose,
        data: format!("{path}\n"),
        evidence: claims::json(
            signed,
            manifest,
            [
                ("threshold", trust.threshold().into()),
                ("signers", Signers::json(&signers.have)),
                ("may_sign", Signers::json(&signers.may)),
            ],
        ),
        more: more.as_object().cloned().unwrap_or_default(),
        ..Report::default()
    }
}

/// The keys that count for a repository.
struct Signers<'t> {
    /// Those that have signed.
    have: Vec<&'t TrustedKey>,
    /// Those that may.
    may: Vec<&'t TrustedKey>,
}

impl<'t> Signers<'t> {
    fn of(trust: &'t TrustPolicy, signed: &SignedManifest, manifest: &Manifest) -> Self {
        let (repo, now) = (Some(&manifest.repo.id), Timestamp::now());
        let counts = |key: &&TrustedKey| Standing::of(key, trust, repo, now).counts();
        let keys = trust.keys().iter().filter(counts);
        let (have, may) = keys.partition(|key| signed.is_signed_by(&key.key));
        Self { have, may }
    }

    fn lines(&self, threshold: usize) -> Vec<String> {
        let line =
            |what: &str, key: &TrustedKey| format!("  {what:<10} {:?}, key {}", key.name, key.id());
        let missing = threshold.saturating_sub(self.have.len());
        let mut lines: Vec<_> = self.have.iter().map(|key| line("signed by", key)).collect();
        lines.push(format!("  missing    {missing} of {threshold}: one of"));
        lines.extend(self.may.iter().map(|key| line("", key)));
        lines
    }

    fn json(keys: &[&TrustedKey]) -> Value {
        let key = |key: &&TrustedKey| json!({ "name": key.name, "key": key.id().to_string() });
        keys.iter().map(key).collect()
    }
}

/// A word of a command line for a POSIX shell.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
