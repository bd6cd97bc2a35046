//! `tensorgate trust add-key`: one more key in a trust policy, which stays as it was written.

use std::io;

use jiff::Timestamp;
use serde_json::json;
use tensorgate_verify::{PublicKey, TrustPolicy};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

use crate::args::operator::AddKey;
use crate::disk;
use crate::failure::Failure;
use crate::keys;
use crate::output::{Report, say_waiting};
use crate::trust;

pub(crate) fn run(args: &AddKey, json: bool) -> Result<Report, Failure> {
    let key = keys::public(&args.key)?;
    let pem = key
        .to_pem()
        .map_err(|error| Failure::about(&args.key, error))?;
    let parent = disk::parent(&args.trust);
    let failed =
        |what: &'static str| move |error: io::Error| Failure::io(what, &args.trust, &error);
    let folder = disk::lock_parent(&args.trust, || say_waiting(json, parent))
        .map_err(failed("open the directory of"))?;
    // Who may write it, and all that it says, is judged as on a robot.
    let before = trust::load(&args.trust)?;
    refuse_known(&before, &key, args)?;
    let file = disk::open_regular(&args.trust).map_err(failed("read"))?;
    let metadata = file.metadata().map_err(failed("read"))?;
    let text = io::read_to_string(file).map_err(failed("read"))?;
    let text = with_key(&text, args, &pem)?;
    let after = usable(&text, args).map_err(|failure| failure.note("nothing was touched"))?;
    let name = args.trust.file_name().unwrap_or_default();
    disk::rewrite(&folder, name, &metadata, text.as_bytes()).map_err(failed("write"))?;
    Ok(report(args, &key, &after))
}

fn report(args: &AddKey, key: &PublicKey, after: &TrustPolicy) -> Report {
    let id = key.id().to_string();
    let (must, of) = (after.threshold(), after.keys().len());
    let more = json!({ "key": id, "keys": of, "threshold": must });
    Report {
        verdict: Some("done"),
        subject: args.trust.display().to_string(),
        prose: vec![
            format!("added to {:?}: {:?}", args.trust, args.name),
            format!("  key        {id}"),
            format!("  counts     {must} of {of} keys must sign"),
        ],
        more: more.as_object().cloned().unwrap_or_default(),
        ..Report::default()
    }
}

/// Neither a key nor a name is there twice: a verdict names who signed.
fn refuse_known(before: &TrustPolicy, key: &PublicKey, args: &AddKey) -> Result<(), Failure> {
    for known in before.keys() {
        let detail = if known.id() == key.id() {
            format!("the key {} is there already, as {:?}", key.id(), known.name)
        } else if known.name == args.name {
            format!("another key is called {:?}", known.name)
        } else {
            continue;
        };
        return Err(Failure::about(&args.trust, detail).note("nothing was touched"));
    }
    Ok(())
}

/// The trust policy of this text, if anything can be accepted under it.
fn usable(text: &str, args: &AddKey) -> Result<TrustPolicy, Failure> {
    let home = disk::parent(&args.trust);
    let key_file = |name: &str| io::read_to_string(disk::open_regular(&home.join(name))?);
    let policy = TrustPolicy::parse(text, key_file).map_err(|error| {
        let detail = format!("with this key {:?} could not be used: {error}", args.trust);
        Failure::about(&args.trust, detail)
    })?;
    trust::check::require_usable(&policy, &args.trust, Timestamp::now())?;
    Ok(policy)
}

/// The same text with one more table of `[[keys]]`, behind the others.
fn with_key(text: &str, args: &AddKey, pem: &str) -> Result<String, Failure> {
    let unusable = |why: &dyn std::fmt::Display| {
        Failure::about(
            &args.trust,
            format!("{:?} cannot be added to: {why}", args.trust),
        )
    };
    let mut document: DocumentMut = text.parse().map_err(|error| unusable(&error))?;
    let mut table = Table::new();
    table["name"] = value(&args.name);
    table["public_key"] = literal(pem).map_err(|error| unusable(&error))?;
    if let Some(end) = args.not_after {
        table["not_after"] = value(end.to_string());
    }
    if !args.repos.is_empty() {
        table["repos"] = value(args.repos.iter().map(String::as_str).collect::<Array>());
    }
    let none = || Item::ArrayOfTables(ArrayOfTables::new());
    let keys = document
        .entry("keys")
        .or_insert_with(none)
        .as_array_of_tables_mut();
    let keys = keys.ok_or_else(|| unusable(&"its keys are no tables [[keys]]"))?;
    keys.push(table);
    Ok(document.to_string())
}

/// PEM as people write it into TOML: in its lines, between three quotes.
fn literal(pem: &str) -> Result<Item, toml_edit::TomlError> {
    let item: Item = value(format!("'''\n{pem}'''").parse::<toml_edit::Value>()?);
    Ok(item)
}
