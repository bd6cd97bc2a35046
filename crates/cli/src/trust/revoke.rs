//! `tensorgate trust revoke`: a signed list of what counts no more.

use serde_json::json;
use tensorgate_verify::{
    Context, KeyHolder, Limits, PublicKey, Revocation, Revocations, Revoked, SignedRevocations,
};

use crate::args::operator::Revoke;
use crate::disk;
use crate::failure::Failure;
use crate::keys;
use crate::output::{Report, say_waiting};
use crate::text::{count, now_in_seconds};
use crate::trust::second;

pub(crate) fn run(args: &Revoke, json: bool) -> Result<Report, Failure> {
    let limits = Limits::default();
    let signer = keys::signer(&args.signing)?;
    let signer = signer.as_ref();
    let name = args.list.file_name();
    let name = name.ok_or_else(|| {
        let failure = Failure::about(&args.list, format!("{:?} names no file", args.list));
        failure.hint("the list is a file of its own, for instance revocations.dsse.json")
    })?;
    // Nobody else has to wait until somebody has read it.
    let agreed = args.add_signature.map(|given| match given {
        Some(digest) => Ok(digest),
        None => second::agree(&args.list, signer, &limits, json),
    });
    let agreed = agreed.transpose()?;
    let parent = disk::parent(&args.list);
    let folder = disk::lock_parent(&args.list, || say_waiting(json, parent))
        .map_err(|error| Failure::io("open the directory", parent, &error))?;
    let signed = match agreed {
        Some(agreed) => second::sign(&args.list, agreed, signer, &limits)?,
        None => {
            let earlier = disk::list_at(&args.list, &limits)?;
            renew(args, earlier.as_ref(), signer, &limits)?
        }
    };
    disk::replace(&folder, name, ".", &signed.to_bytes())
        .map_err(|error| Failure::io("write", &args.list, &error))?;
    report(args, &signed, &signer.public(), &limits)
}

/// The next list: what was revoked before, and what is revoked now.
fn renew(
    args: &Revoke,
    earlier: Option<&SignedRevocations>,
    signer: &dyn KeyHolder,
    limits: &Limits,
) -> Result<SignedRevocations, Failure> {
    let own = |signed| own(args, signed, &signer.public());
    let earlier = earlier.map(own).transpose()?;
    let sequence = earlier.as_ref().map_or(0, |list| list.sequence);
    let mut revoked = earlier.map_or_else(Vec::new, |list| list.revoked);
    for what in named(args) {
        let reason = args.reason.clone().unwrap_or_default();
        revoked.retain(|entry| entry.what != what);
        revoked.push(Revocation::new(what, reason));
    }
    let issued = now_in_seconds();
    let span = (issued, args.expires.unwrap_or(issued));
    let list = Revocations::new(sequence.saturating_add(1), span, revoked);
    Ok(SignedRevocations::sign(&list, signer, limits)?)
}

/// What the list says that this key signed. Whoever else can write the file could have us repeat, in
/// a newer list, what we never saw, or leave out what was revoked.
fn own(args: &Revoke, signed: &SignedRevocations, key: &PublicKey) -> Result<Revocations, Failure> {
    let trust = keys::trust_in(key)?;
    let list = signed.untrusted(trust.limits())?;
    // However old it is by now.
    match trust.authenticate_revocations(signed, &Context::new(list.issued)) {
        Ok(_) => Ok(list),
        Err(_) => {
            let detail = format!(
                "{:?} was not signed by this key; nothing was touched",
                args.list
            );
            let hint = "`--add-signature` shows what it says, and signs that once you agree; or use the key that signed it";
            Err(Failure::about(&args.list, detail).hint(hint))
        }
    }
}

fn named(args: &Revoke) -> Vec<Revoked> {
    let keys = args.revoked_key.iter().copied().map(Revoked::Key);
    let manifests = args.manifest.iter().copied().map(Revoked::Manifest);
    let bytes = args.blake3.iter().copied().map(Revoked::Blake3);
    let commits = args.revision.iter().cloned().map(Revoked::Revision);
    keys.chain(manifests).chain(bytes).chain(commits).collect()
}

fn report(
    args: &Revoke,
    signed: &SignedRevocations,
    key: &PublicKey,
    limits: &Limits,
) -> Result<Report, Failure> {
    let list = signed.untrusted(limits)?;
    let mut prose = vec![
        format!("signed: {:?}", args.list),
        format!("  key        {}", key.id()),
    ];
    prose.extend(lines(signed, &list));
    Ok(Report {
        verdict: Some("done"),
        subject: args.list.display().to_string(),
        prose,
        evidence: json!({
            "list": signed.digest(),
            "sequence": list.sequence,
            "issued": list.issued,
            "expires": list.expires,
            "revoked": list.revoked,
            "key": key.id().to_string(),
        }),
        ..Report::default()
    })
}

/// What a list says.
pub(super) fn lines(signed: &SignedRevocations, list: &Revocations) -> Vec<String> {
    let mut lines = vec![
        format!("  sequence   {}", list.sequence),
        format!("  valid      {} to {}", list.issued, list.expires),
        format!("  list       sha256 {}", signed.digest()),
        format!("  revoked    {}", count(list.revoked.len(), "revocation")),
    ];
    lines.extend(list.revoked.iter().map(line));
    lines
}

pub(super) fn line(entry: &Revocation) -> String {
    format!("    {}: {}", entry.what, entry.reason)
}
