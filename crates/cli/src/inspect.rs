//! `tensorgate inspect`: what is there, with no word on whether it may be trusted.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tensorgate_verify::{Directory, Header, Limits, MANIFEST_FILE, SignedManifest};

use crate::args::Inspect;
use crate::claims;
use crate::disk;
use crate::failure::Failure;
use crate::fetch;
use crate::header;
use crate::listing::{self, Listed};
use crate::output::Report;
use crate::text::{count, table, thousands, total};

const SHOWS: &str = "`inspect` shows safetensors files, manifests and directories";
pub(crate) const UNTRUSTED: &str = "untrusted: nothing below was verified";

pub(crate) fn run(args: &Inspect) -> Result<Report, Failure> {
    let path = args.path.as_path();
    let limits = Limits::default();
    let found = fs::metadata(path)
        .map_err(|error| fetch::or_at_hub(Failure::io("read", path, &error), path, "fetch"))?;
    let (data, mut more) = if found.is_dir() {
        directory(path, &limits)?
    } else if path.extension().is_some_and(|ending| ending == "json") {
        manifest_file(path, &limits)?
    } else {
        tensors_file(path, found.len(), &limits)?
    };
    more.insert("untrusted".into(), true.into());
    more.insert("path".into(), path.display().to_string().into());
    Ok(Report {
        prose: vec![UNTRUSTED.to_owned()],
        data,
        more,
        ..Report::default()
    })
}

/// What is shown, and the same as fields of the JSON object.
type Shown = (String, Map<String, Value>);

/// Other files are no weights that were damaged, but something that is not shown here.
fn tensors_file(path: &Path, bytes: u64, limits: &Limits) -> Result<Shown, Failure> {
    let named_so = path
        .extension()
        .is_some_and(|ending| ending == "safetensors");
    match header(path, limits) {
        Ok(header) => Ok(tensors(&header, bytes)),
        Err(Failure::Rejected(_)) if !named_so => {
            let detail = format!("{path:?} is neither a safetensors file nor a manifest");
            Err(Failure::about(path, detail).hint(SHOWS))
        }
        Err(other) => Err(other),
    }
}

fn header(path: &Path, limits: &Limits) -> Result<Header, Failure> {
    let file = disk::open_regular(path).map_err(|error| Failure::io("read", path, &error))?;
    header::read(&file, path, limits)
}

fn tensors(header: &Header, bytes: u64) -> Shown {
    let mut rows = vec![
        ["tensor", "dtype", "shape", "bytes"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let row = |tensor: &tensorgate_verify::Tensor| {
        vec![
            tensor.name.clone(),
            tensor.dtype.to_string(),
            format!("{:?}", tensor.shape),
            thousands(tensor.byte_len()),
        ]
    };
    rows.extend(header.tensors.iter().map(row));
    let mut text = table(&rows, &[3]);
    if !header.metadata.is_empty() {
        text.push_str("\nmetadata\n");
    }
    for (key, value) in &header.metadata {
        text.push_str(&format!("  {key:?}: {value:?}\n"));
    }
    let elements = total(header.tensors.iter().map(elements));
    text.push_str(&format!(
        "\n{}, {} elements, {} bytes of which {} are header\n",
        count(header.tensors.len(), "tensor"),
        thousands(elements),
        thousands(bytes),
        thousands(header.len),
    ));
    let object = json!({
        "bytes": bytes,
        "header_bytes": header.len,
        "elements": elements,
        "metadata": header.metadata,
        "tensors": header.tensors.iter().map(tensor_json).collect::<Vec<_>>(),
    });
    (text, fields(object))
}

/// The header's parser made sure that the product fits.
fn elements(tensor: &tensorgate_verify::Tensor) -> u64 {
    tensor.shape.iter().map(|dim| *dim as u64).product()
}

fn tensor_json(tensor: &tensorgate_verify::Tensor) -> Value {
    json!({
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": tensor.shape,
        "begin": tensor.begin,
        "end": tensor.end,
        "bytes": tensor.byte_len(),
    })
}

/// Other JSON is no manifest that was damaged, but something that is not shown here.
fn manifest_file(path: &Path, limits: &Limits) -> Result<Shown, Failure> {
    let shown = disk::manifest_at(path, limits).and_then(|signed| manifest(&signed, limits));
    let named_so = path.to_string_lossy().ends_with(".dsse.json");
    match shown {
        Err(Failure::Rejected(_)) if !named_so => {
            let failure = Failure::about(path, format!("{path:?} is no manifest"));
            Err(failure.hint(SHOWS))
        }
        other => other,
    }
}

fn manifest(signed: &SignedManifest, limits: &Limits) -> Result<Shown, Failure> {
    let manifest = signed.untrusted(limits)?;
    let heading = "claims of the manifest, which `tensorgate verify` would have to prove";
    let text = format!(
        "{heading}\n{}\n",
        claims::lines(signed, &manifest).join("\n")
    );
    let object = json!({
        "manifest": {
            "digest": signed.digest(),
            "repo": manifest.repo,
            "sequence": manifest.sequence,
            "issued": manifest.issued,
            "expires": manifest.expires,
            "policy": manifest.policy,
            "files": manifest.files,
            "externals": manifest.externals,
            "reviewed_code": manifest.reviewed_code,
        }
    });
    Ok((text, fields(object)))
}

fn directory(path: &Path, limits: &Limits) -> Result<Shown, Failure> {
    let held = disk::hold_directory(path)?;
    let entries = listing::list(path, limits)?;
    let notes: Vec<String> = entries.iter().map(|entry| note(entry, limits)).collect();
    let mut rows = vec![["file", "kind", "bytes", ""].map(str::to_owned).to_vec()];
    let row = |(entry, note): (&Listed, &String)| {
        let bytes = thousands(entry.bytes);
        vec![entry.name.clone(), entry.kind_name(), bytes, note.clone()]
    };
    rows.extend(entries.iter().zip(&notes).map(row));
    let bytes = total(entries.iter().map(|entry| entry.bytes));
    let (claims, mut object) = manifest_of(&held, limits);
    let text = format!(
        "{}\n{}, {} bytes\n{claims}",
        table(&rows, &[2]),
        count(entries.len(), "file"),
        thousands(bytes)
    );
    object.insert("bytes".into(), bytes.into());
    let files = entries.iter().zip(notes).map(|(entry, note)| {
        json!({ "path": entry.name, "kind": entry.kind_name(), "bytes": entry.bytes, "note": note })
    });
    object.insert("files".into(), files.collect());
    Ok((text, object))
}

/// The manifest's claims, or why there are none.
fn manifest_of(directory: &Directory, limits: &Limits) -> Shown {
    let read = disk::manifest_in(directory, limits).and_then(|signed| manifest(&signed, limits));
    match read {
        Ok((text, object)) => (format!("\n{text}"), object),
        Err(_) => (
            "\nno manifest that can be read\n".to_owned(),
            fields(json!({ "manifest": null })),
        ),
    }
}

fn note(entry: &Listed, limits: &Limits) -> String {
    match (entry.path(), entry.kind()) {
        (Err(why), _) => why,
        (Ok(_), None) if entry.name == MANIFEST_FILE => String::new(),
        (Ok(_), None) => "no file of a policy has this name".to_owned(),
        (Ok(_), Some(kind)) if kind.is_tensors() => summary(&entry.place, limits),
        (Ok(_), Some(_)) => String::new(),
    }
}

fn summary(path: &Path, limits: &Limits) -> String {
    match header(path, limits) {
        Ok(header) => count(header.tensors.len(), "tensor"),
        Err(Failure::Rejected(all)) => {
            let first = all.first();
            first.map_or_else(String::new, |finding| {
                format!("{}: {}", finding.rejection, finding.detail)
            })
        }
        Err(Failure::Error(trouble)) => trouble.detail,
    }
}

fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
