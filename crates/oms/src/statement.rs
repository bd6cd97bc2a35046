//! What was signed: an in-toto statement whose predicate lists the model's files or shards.
//!
//! It is read after its signature was found good, and still read strictly: a signature excuses
//! nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use sha2::Digest;
use tensorgate_verify::json;
use tensorgate_verify::{Error, FilePath, Limits, Rejection, Result, Sha256};

use crate::Signer;
use crate::bundle::{malformed, read, refused, unsupported};
use crate::resources::{Hash, Layout, Resource};

/// `_type` of an in-toto Statement v1.
pub(crate) const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// `predicateType` of OMS v1.0.
pub(crate) const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";
/// The one before, of which the format gives up what is checked here.
const LEGACY_PREDICATE_TYPE: &str = "https://model_signing/Digests/v0.1";
/// Resources that are read at the most: 65,536, of 10,000 files or of shards.
const RESOURCES: usize = 65_536;
/// How releases up to 1.1.1 name the one file that a model consists of.
pub(crate) const SINGLE_FILE: &str = ".";

/// A statement that somebody trusted signed. It is about files that were not looked at yet.
#[derive(Clone, Debug)]
pub struct Statement {
    pub(crate) signers: Vec<Signer>,
    pub(crate) name: String,
    pub(crate) digest: Sha256,
    pub(crate) layout: Layout,
    /// By path; alone under `SINGLE_FILE` where no name was signed.
    pub(crate) files: BTreeMap<String, Resource>,
    pub(crate) remarks: Vec<&'static str>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireStatement {
    #[serde(rename = "_type")]
    pub(crate) statement_type: String,
    #[serde(deserialize_with = "json::at_most::<1, _, _>")]
    pub(crate) subject: Vec<WireSubject>,
    pub(crate) predicate_type: String,
    pub(crate) predicate: WirePredicate,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct WireSubject {
    pub(crate) name: String,
    pub(crate) digest: WireDigests,
    #[serde(flatten)]
    pub(crate) ignored: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct WireDigests {
    pub(crate) sha256: Sha256,
    #[serde(flatten)]
    pub(crate) ignored: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct WirePredicate {
    pub(crate) serialization: WireSerialization,
    #[serde(deserialize_with = "json::at_most::<RESOURCES, _, _>")]
    pub(crate) resources: Vec<WireResource>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct WireSerialization {
    pub(crate) method: String,
    pub(crate) hash_type: String,
    /// Of no consequence here: a directory that is verified has no links.
    pub(crate) allow_symlinks: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shard_size: Option<Number>,
    /// Of no consequence here: what was not signed does not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ignore_paths: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct WireResource {
    pub(crate) name: String,
    pub(crate) algorithm: String,
    pub(crate) digest: String,
    #[serde(flatten)]
    pub(crate) ignored: Map<String, Value>,
}

/// Just enough of a statement to see whether it is one of OMS.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatementKind {
    #[serde(rename = "_type")]
    statement_type: String,
    predicate_type: String,
}

/// One range of a file.
struct Shard {
    start: u64,
    end: u64,
    digest: Vec<u8>,
}

impl Statement {
    /// Who signed it; at least one.
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// What the signer called the model. Nothing is bound to it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the statement: what a revocation would name.
    pub const fn digest(&self) -> Sha256 {
        self.digest
    }

    /// Reads a payload whose signature was checked.
    pub(crate) fn parse(payload: &[u8], signers: Vec<Signer>, limits: &Limits) -> Result<Self> {
        refuse_other_statements(payload)?;
        let wire: WireStatement = read(payload, "statement")?;
        let [subject] = &wire.subject[..] else {
            return Err(malformed("subject", "not exactly one"));
        };
        if subject.name.is_empty() {
            return Err(malformed("subject", "an empty name"));
        }
        let mut remarks = Vec::new();
        let layout = wire.predicate.serialization.layout(&mut remarks)?;
        let resources = wire.predicate.resources;
        let digests = digests(&resources, layout, &mut remarks)?;
        refuse_other_root(&digests, subject.digest.sha256)?;
        let sorted = resources.is_sorted_by(|a, b| a.name.as_bytes() <= b.name.as_bytes());
        if !sorted {
            remarks.push("the resources are not in the order that the specification asks for");
        }
        let names = resources.iter().map(|resource| resource.name.as_str());
        let files = match layout.shard {
            None => whole_files(names.zip(digests))?,
            Some(size) => sharded_files(names.zip(digests), size)?,
        };
        refuse_odd_sets(&files, limits, &mut remarks)?;
        Ok(Self {
            signers,
            name: subject.name.clone(),
            digest: Sha256::of(payload),
            layout,
            files,
            remarks,
        })
    }
}

impl WireSerialization {
    fn layout(&self, remarks: &mut Vec<&'static str>) -> Result<Layout> {
        let Some(hash) = Hash::named(&self.hash_type) else {
            let detail = format!("{:?} is no hash of OMS v1.0", self.hash_type);
            return Err(unsupported("hash_type", detail));
        };
        let shard = match (self.method.as_str(), &self.shard_size) {
            ("files", None) => None,
            ("shards", Some(size)) => {
                if size.is_f64() {
                    remarks.push("`shard_size` is not written as an integer");
                }
                let size = integer(size).filter(|size| *size > 0);
                Some(size.ok_or_else(|| malformed("shard_size", "not a positive integer"))?)
            }
            ("files" | "shards", _) => {
                let detail = "with the method `shards` it must be there, with `files` it must not";
                return Err(malformed("shard_size", detail));
            }
            (other, _) => {
                let detail = format!("{other:?} is no method of OMS v1.0");
                return Err(unsupported("method", detail));
            }
        };
        Ok(Layout { hash, shard })
    }
}

/// Releases up to 1.1.1 write the size as a float, `134217728.0`.
fn integer(number: &Number) -> Option<u64> {
    let float = || number.as_f64().filter(|float| float.fract() == 0.0);
    number
        .as_u64()
        .or_else(|| format!("{:.0}", float()?).parse().ok())
}

/// The digests, each by the hash of the whole serialization.
fn digests(
    resources: &[WireResource],
    layout: Layout,
    remarks: &mut Vec<&'static str>,
) -> Result<Vec<Vec<u8>>> {
    let mut compat = false;
    let digest = |resource: &WireResource| {
        let (name, size) = match resource.algorithm.split_once("-sharded-") {
            // Releases up to 1.1.1 put the shards' size into the algorithm's name.
            Some((name, size)) if layout.shard.is_some_and(|s| s.to_string() == size) => {
                compat = true;
                (name, "")
            }
            Some((name, size)) => (name, size),
            None => (resource.algorithm.as_str(), ""),
        };
        if Hash::named(name) != Some(layout.hash) || !size.is_empty() {
            let detail = format!("{:?} is not the `hash_type`", resource.algorithm);
            return Err(malformed(&resource.name, detail));
        }
        match base16ct::lower::decode_vec(&resource.digest) {
            Ok(digest) if digest.len() == layout.hash.len() => Ok(digest),
            _ => Err(malformed(
                &resource.name,
                "not a digest in lower-case hexadecimal",
            )),
        }
    };
    let digests = resources.iter().map(digest).collect::<Result<_>>()?;
    if compat {
        remarks.push("`algorithm` names the size of the shards, too");
    }
    Ok(digests)
}

/// The subject's digest is that of all others, in the order of the list.
fn refuse_other_root(digests: &[Vec<u8>], root: Sha256) -> Result<()> {
    let mut hasher = sha2::Sha256::new();
    for digest in digests {
        hasher.update(digest);
    }
    let found = Sha256::from_bytes(hasher.finalize().into());
    if found == root {
        return Ok(());
    }
    let detail = format!("the root digest is {root}, that of the resources {found}");
    Err(malformed("subject", detail))
}

fn whole_files<'a>(
    resources: impl Iterator<Item = (&'a str, Vec<u8>)>,
) -> Result<BTreeMap<String, Resource>> {
    let mut files = BTreeMap::new();
    for (name, digest) in resources {
        let resource = Resource {
            len: None,
            digests: vec![digest],
        };
        if files.insert(file_name(name)?, resource).is_some() {
            return Err(malformed(name, "it is listed twice"));
        }
    }
    Ok(files)
}

fn sharded_files<'a>(
    resources: impl Iterator<Item = (&'a str, Vec<u8>)>,
    size: u64,
) -> Result<BTreeMap<String, Resource>> {
    let mut files: BTreeMap<String, Vec<Shard>> = BTreeMap::new();
    for (name, digest) in resources {
        let mut fields = name.rsplitn(3, ':');
        let (end, start) = (fields.next(), fields.next());
        let (Some(end), Some(start)) = (end.and_then(decimal), start.and_then(decimal)) else {
            return Err(malformed(name, "not `path:start:end`"));
        };
        let path = fields.next().unwrap_or_default();
        let shard = Shard { start, end, digest };
        files.entry(file_name(path)?).or_default().push(shard);
    }
    let joined = files.into_iter();
    let joined = joined.map(|(path, shards)| join(&path, shards, size).map(|file| (path, file)));
    joined.collect()
}

/// The shards as one file: each as long as the size, the last one not longer, none missing.
fn join(path: &str, mut shards: Vec<Shard>, size: u64) -> Result<Resource> {
    shards.sort_unstable_by_key(|shard| shard.start);
    let mut reached = 0;
    let mut digests = Vec::new();
    let last = shards.len().saturating_sub(1);
    for (number, shard) in shards.into_iter().enumerate() {
        let len = shard.end.saturating_sub(reached);
        let whole = if number == last {
            len <= size
        } else {
            len == size
        };
        if shard.start != reached || len == 0 || !whole {
            let detail = format!("its shards leave a hole, overlap, or are not of {size} bytes");
            return Err(malformed(path, detail));
        }
        reached = shard.end;
        digests.push(shard.digest);
    }
    Ok(Resource {
        len: Some(reached),
        digests,
    })
}

/// One spelling for one number.
fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn file_name(text: &str) -> Result<String> {
    if text == SINGLE_FILE {
        return Ok(text.to_owned());
    }
    text.parse::<FilePath>().map(String::from)
}

fn refuse_odd_sets(
    files: &BTreeMap<String, Resource>,
    limits: &Limits,
    remarks: &mut Vec<&'static str>,
) -> Result<()> {
    if files.is_empty() || files.len() > limits.files {
        let detail = format!("no files, or more than {}", limits.files);
        return Err(malformed("resources", detail));
    }
    if files.contains_key(SINGLE_FILE) {
        if files.len() > 1 {
            let detail = "the model is this one file, and others are listed";
            return Err(malformed(SINGLE_FILE, detail));
        }
        remarks.push("the name of the one file was not signed");
    }
    Ok(())
}

/// Says in clear words what is a statement, and none of OMS v1.0.
fn refuse_other_statements(payload: &[u8]) -> Result<()> {
    json::refuse_ambiguity(payload).map_err(|error| refused(&error, "statement"))?;
    let Ok(kind) = serde_json::from_slice::<StatementKind>(payload) else {
        return Err(malformed("statement", "no `_type` and `predicateType`"));
    };
    let found = format!("{:?} of {:?}", kind.predicate_type, kind.statement_type);
    match (&*kind.statement_type, &*kind.predicate_type) {
        (STATEMENT_TYPE, PREDICATE_TYPE) => Ok(()),
        (STATEMENT_TYPE, LEGACY_PREDICATE_TYPE) => {
            let detail = format!("{found} is older than OMS v1.0: sign it again");
            Err(unsupported("predicateType", detail))
        }
        _ => Err(Error::rejected(
            Rejection::PredicateTypeUnsupported,
            "predicateType",
            format!("{found}, expected {PREDICATE_TYPE:?}"),
        )),
    }
}
