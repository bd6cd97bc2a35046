//! One more signature on a list of revocations: whoever makes it has seen the list, or names it.
//!
//! Whoever has one key could else have another sign what leaves out that it was revoked.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tensorgate_store::Store;
use tensorgate_verify::{KeyHolder, Limits, Revocation, Revocations, Sha256, SignedRevocations};

use super::revoke::{line, lines};
use crate::disk;
use crate::failure::Failure;
use crate::output::say;
use crate::stop;
use crate::terminal;
use crate::text::{self, count, shorten};

/// Where a store has the list that was accepted last.
const REMEMBERED: &str = "state/revocations.dsse.json";
/// Characters that are shown of a key's id; one of ours has 64.
const MAX_ID: usize = 64;

/// Shows the list and asks: what somebody agreed to, by its digest.
pub(super) fn agree(
    path: &Path,
    signer: &dyn KeyHolder,
    limits: &Limits,
    json: bool,
) -> Result<Sha256, Failure> {
    let signed = there(path, limits)?;
    let list = signed.untrusted(limits)?;
    if json {
        let hint = "without --json it is shown; `--add-signature=DIGEST` then names it";
        return Err(nobody_to_ask(path).hint(hint));
    }
    let before = remembered(limits)?;
    let gone = gone(before.as_ref(), &list);
    say(&format!("{path:?} says, and nothing of it is proven:"));
    let told = [
        lines(&signed, &list),
        claimed(&signed),
        since(before.as_ref(), &list, &gone),
    ];
    told.iter().flatten().for_each(|line| say(line));
    if !terminal::is_there() {
        let hint = "once you have read it, `--add-signature=DIGEST` signs the list of that sha256";
        return Err(nobody_to_ask(path).hint(hint));
    }
    ask(question(&list, before.as_ref(), gone.len(), signer))?;
    Ok(signed.digest())
}

/// Signs the list that is there, if it is the one that was agreed to.
pub(super) fn sign(
    path: &Path,
    agreed: Sha256,
    signer: &dyn KeyHolder,
    limits: &Limits,
) -> Result<SignedRevocations, Failure> {
    let mut signed = there(path, limits)?;
    if signed.digest() != agreed {
        let digest = signed.digest();
        let detail = format!(
            "{path:?} is not the list that was agreed to: its sha256 is {digest}; nothing was signed"
        );
        let hint = "`--add-signature` without a digest shows what it says";
        return Err(Failure::about(path, detail).hint(hint));
    }
    signed.add_signature(signer, limits)?;
    Ok(signed)
}

fn there(path: &Path, limits: &Limits) -> Result<SignedRevocations, Failure> {
    disk::list_at(path, limits)?.ok_or_else(|| {
        let failure = Failure::about(path, format!("{path:?} is not there: nothing to sign"));
        failure.hint("without --add-signature a first list is made")
    })
}

fn nobody_to_ask(path: &Path) -> Failure {
    let detail = "there is nobody to ask whether this list is meant: standard input and standard error are no terminal, or --json was given; nothing was signed";
    Failure::about(path, detail)
}

fn ask(question: String) -> Result<(), Failure> {
    let answer = async move { terminal::agree(&question, "to sign").await };
    stop::until_stopped(answer)?.unwrap_or_else(|| {
        let stopped = "stopped; nothing was signed";
        Err(Failure::about(Path::new(""), stopped))
    })
}

fn question(
    list: &Revocations,
    before: Option<&Revocations>,
    gone: usize,
    signer: &dyn KeyHolder,
) -> String {
    let less = match before {
        Some(before) if gone > 0 => format!(", without {gone} of list {}", before.sequence),
        _ => String::new(),
    };
    format!(
        "sign it as list {}, {}{less}, until {}, with key {}? [y/N] ",
        list.sequence,
        count(list.revoked.len(), "revocation"),
        list.expires,
        signer.public().id()
    )
}

/// The list that robots of this store would compare it with.
fn remembered(limits: &Limits) -> Result<Option<Revocations>, Failure> {
    // Where no store can be, none is.
    let Ok(store) = Store::default_location() else {
        return Ok(None);
    };
    let path = store.join(REMEMBERED);
    let signed = disk::list_at(&path, limits);
    let list = signed.and_then(|signed| {
        let list = signed.map(|signed| signed.untrusted(limits));
        Ok(list.transpose()?)
    });
    // It is not the list that is to be signed that is at fault.
    list.map_err(|failure| {
        let (why, _) = failure.told();
        let detail = format!("the list remembered in {path:?} cannot be compared: {why}");
        Failure::about(&path, detail).note("nothing was signed")
    })
}

/// What was revoked before and would be no more.
fn gone<'b>(before: Option<&'b Revocations>, list: &Revocations) -> Vec<&'b Revocation> {
    let now: BTreeSet<_> = list.revoked.iter().map(|entry| &entry.what).collect();
    let before = before.into_iter().flat_map(|before| &before.revoked);
    before.filter(|entry| !now.contains(&entry.what)).collect()
}

/// How it differs from the list before.
fn since(before: Option<&Revocations>, list: &Revocations, gone: &[&Revocation]) -> Vec<String> {
    let Some(before) = before else {
        return vec!["  before     no list is remembered on this machine".to_owned()];
    };
    let older = match list.sequence <= before.sequence && list != before {
        true => ", which does not give way to this one",
        false => "",
    };
    let mut lines = vec![
        format!(
            "  before     list {} is remembered on this machine{older}",
            before.sequence
        ),
        format!("  no more    {}", count(gone.len(), "revocation")),
    ];
    lines.extend(gone.iter().map(|entry| line(entry)));
    lines
}

/// The keys that it names as its signers: whose they are, only a trust policy can prove.
fn claimed(signed: &SignedRevocations) -> Vec<String> {
    let envelope: Value = serde_json::from_slice(&signed.to_bytes()).unwrap_or_default();
    let signatures = envelope["signatures"].as_array().into_iter().flatten();
    let keys = signatures.map(|signature| signature["keyid"].as_str().unwrap_or("no id"));
    keys.map(|key| {
        format!(
            "  claims     a signature by key {}",
            text::line(&shorten(key, MAX_ID))
        )
    })
    .collect()
}
