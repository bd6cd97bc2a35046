//! `tensorgate trust show`: one public key, in every form that somebody compares.

use serde_json::json;

use crate::args::operator::Show;
use crate::failure::Failure;
use crate::keys;
use crate::openssh;
use crate::output::Report;

pub(crate) fn run(args: &Show) -> Result<Report, Failure> {
    let key = keys::public(&args.key)?;
    let pem = key
        .to_pem()
        .map_err(|error| Failure::about(&args.key, error))?;
    let (id, fingerprint) = (key.id().to_string(), openssh::fingerprint(&key));
    Ok(Report {
        verdict: Some("done"),
        subject: args.key.display().to_string(),
        prose: vec![
            format!("{:?}: an ed25519 public key", args.key),
            format!("  key        {id}"),
            format!("  openssh    {fingerprint}"),
        ],
        more: json!({ "key": id, "openssh": fingerprint, "public_key": pem })
            .as_object()
            .cloned()
            .unwrap_or_default(),
        data: pem,
        ..Report::default()
    })
}
