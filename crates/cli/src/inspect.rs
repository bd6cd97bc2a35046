//! `tensorgate inspect`: what is there, with no word on whether it may be trusted.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};
use tensorgate_verify::{
    Error, FilePath, Header, Kind, Limits, MANIFEST_FILE, RepoType, SignedManifest,
};

use crate::args::Inspect;
use crate::claims;
use crate::disk;
use crate::failure::Failure;
use crate::output::Report;
use crate::text::{count, table, thousands, total};

const SHOWS: &str = "`inspect` shows safetensors files, manifests and directories";
/// As many components as the path of a policy's file may have.
const DEPTH: usize = 16;
const UNTRUSTED: &str = "untrusted: nothing below was verified";

pub(crate) fn run(args: &Inspect) -> Result<Report, Failure> {
    let path = args.path.as_path();
    let limits = Limits::default();
    let found = fs::metadata(path).map_err(|error| Failure::io("read", path, &error))?;
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

/// Reads the table of a safetensors file and none of its data.
fn header(path: &Path, limits: &Limits) -> Result<Header, Failure> {
    let io = |error| Failure::io("read", path, &error);
    let mut file = disk::open_regular(path).map_err(io)?;
    let len = file.metadata().map_err(io)?.len();
    let mut bytes = Vec::new();
    file.by_ref().take(8).read_to_end(&mut bytes).map_err(io)?;
    let wanted = Header::prefix_len(&bytes, limits).map_err(|error| about(path, error))?;
    file.take(wanted.saturating_sub(8))
        .read_to_end(&mut bytes)
        .map_err(io)?;
    Header::parse(&bytes, len, limits).map_err(|error| about(path, error))
}

/// Puts the file's name in place of the word "header".
fn about(path: &Path, error: Error) -> Failure {
    let mut failure = Failure::from(error);
    if let Failure::Rejected(all) = &mut failure {
        for finding in all.iter_mut().filter(|finding| finding.subject == "header") {
            finding.subject = path.display().to_string();
        }
    }
    failure
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
        }
    });
    Ok((text, fields(object)))
}

/// One file, link or whatever else lies in a directory.
struct Entry {
    path: String,
    bytes: u64,
    kind: String,
    note: String,
}

fn directory(path: &Path, limits: &Limits) -> Result<Shown, Failure> {
    let mut entries = Vec::new();
    walk(path, "", DEPTH, limits, &mut entries)?;
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut rows = vec![["file", "kind", "bytes", ""].map(str::to_owned).to_vec()];
    let row = |entry: &Entry| {
        let Entry {
            path,
            kind,
            note,
            bytes,
        } = entry;
        vec![path.clone(), kind.clone(), thousands(*bytes), note.clone()]
    };
    rows.extend(entries.iter().map(row));
    let bytes = total(entries.iter().map(|entry| entry.bytes));
    let (claims, mut object) = manifest_of(path, limits);
    let text = format!(
        "{}\n{}, {} bytes\n{claims}",
        table(&rows, &[2]),
        count(entries.len(), "file"),
        thousands(bytes)
    );
    object.insert("bytes".into(), bytes.into());
    let files = entries.iter().map(|entry| {
        json!({ "path": entry.path, "kind": entry.kind, "bytes": entry.bytes, "note": entry.note })
    });
    object.insert("files".into(), files.collect());
    Ok((text, object))
}

/// The manifest's claims, or why there are none.
fn manifest_of(path: &Path, limits: &Limits) -> Shown {
    let read = disk::open_directory(path)
        .and_then(|directory| disk::manifest_in(&directory, limits))
        .and_then(|signed| manifest(&signed, limits));
    match read {
        Ok((text, object)) => (format!("\n{text}"), object),
        Err(_) => (
            "\nno manifest that can be read\n".to_owned(),
            fields(json!({ "manifest": null })),
        ),
    }
}

fn walk(
    directory: &Path,
    prefix: &str,
    depth: usize,
    limits: &Limits,
    entries: &mut Vec<Entry>,
) -> Result<(), Failure> {
    let io = |error| Failure::io("list", directory, &error);
    for found in fs::read_dir(directory).map_err(io)? {
        let found = found.map_err(io)?;
        if entries.len() >= limits.files {
            let detail = format!("more than {} files", limits.files);
            return Err(Failure::about(directory, detail));
        }
        let name = format!("{prefix}{}", found.file_name().to_string_lossy());
        let stat = fs::symlink_metadata(found.path()).map_err(io)?;
        if stat.is_dir() && depth > 1 {
            walk(
                &found.path(),
                &format!("{name}/"),
                depth - 1,
                limits,
                entries,
            )?;
        } else {
            entries.push(entry(&found.path(), name, &stat, limits));
        }
    }
    Ok(())
}

fn entry(path: &Path, name: String, stat: &fs::Metadata, limits: &Limits) -> Entry {
    let file_path = name.parse::<FilePath>();
    let kind = file_path
        .as_ref()
        .ok()
        .and_then(|path| Kind::of(path, RepoType::Model));
    let (kind_name, note) = match (&file_path, kind) {
        _ if !stat.is_file() => ("-".to_owned(), "not a regular file".to_owned()),
        (Err(error), _) => ("-".to_owned(), first_reason(error)),
        (Ok(_), None) if name == MANIFEST_FILE => ("manifest".to_owned(), String::new()),
        (Ok(_), None) => (
            "-".to_owned(),
            "no file of a policy has this name".to_owned(),
        ),
        (Ok(_), Some(kind)) if kind.is_tensors() => (kind.to_string(), summary(path, limits)),
        (Ok(_), Some(kind)) => (kind.to_string(), String::new()),
    };
    Entry {
        path: name,
        bytes: stat.len(),
        kind: kind_name,
        note,
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

fn first_reason(error: &Error) -> String {
    match error {
        Error::Rejected(all) => all.first().detail.to_string(),
        other => other.to_string(),
    }
}

fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
