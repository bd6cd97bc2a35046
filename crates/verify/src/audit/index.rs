//! Shards: each tensor is in exactly the file that the index says, and nothing is elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::place::{Place, Quoted};
use super::{Audit, Document, Parsed, directory};
use crate::content::is_shard;
use crate::error::Findings;
use crate::{Kind, Rejection};

/// Judges every index, and every shard that has none.
pub(super) fn judge(parsed: &[Parsed<'_>], audit: &Audit<'_>, findings: &mut Findings) {
    let is_index = |parsed: &&Parsed<'_>| parsed.document.kind == Kind::WeightsIndex;
    let indices: Vec<&Parsed<'_>> = parsed.iter().filter(is_index).collect();
    for index in &indices {
        Index::judge(index, audit, findings);
    }
    let indexed: BTreeSet<&str> = indices
        .iter()
        .map(|index| directory(index.document.path))
        .collect();
    for shard in audit.of_kind(Kind::Weights) {
        if is_shard(shard.path.file_name()) && !indexed.contains(directory(shard.path)) {
            let detail = "one shard of several, and no index says which tensors it holds";
            findings.reject(Rejection::WeightsIndexInvalid, shard.path, detail);
        }
    }
}

struct Index<'a, 'f> {
    root: String,
    /// The model's weights in the directory of the index, by their names there.
    files: BTreeMap<&'a str, &'a Document<'a>>,
    map: &'a Map<String, Value>,
    findings: &'f mut Findings,
}

impl<'a, 'f> Index<'a, 'f> {
    fn judge(parsed: &'a Parsed<'_>, audit: &'a Audit<'_>, findings: &'f mut Findings) {
        let (path, root) = (parsed.document.path, parsed.root());
        let known = |key: &String| matches!(key.as_str(), "metadata" | "weight_map");
        let fields = parsed.json.as_object();
        if !fields.is_some_and(|fields| fields.keys().all(known)) {
            let detail = "has other fields than `metadata` and `weight_map`";
            findings.reject(Rejection::WeightsIndexInvalid, &root, detail);
        }
        let Some(map) = parsed.json.get("weight_map").and_then(Value::as_object) else {
            let detail = "`weight_map` is no object";
            return findings.reject(Rejection::WeightsIndexInvalid, &root, detail);
        };
        // An adapter's weights are no part of the model's.
        let is_ours = |file: &&Document<'_>| {
            directory(file.path) == directory(path) && !file.path.file_name().starts_with("adapter")
        };
        let files = audit.of_kind(Kind::Weights).filter(is_ours);
        let mut index = Self {
            root,
            files: files.map(|file| (file.path.file_name(), file)).collect(),
            map,
            findings,
        };
        index.refuse_wrong_files();
        index.refuse_wrong_tensors();
        index.refuse_wrong_size(parsed.json.pointer("/metadata/total_size"));
    }

    fn refuse(&mut self, tensor: &str, detail: &str) {
        let root = Place::Root(&self.root);
        let map = Place::Key(&root, "weight_map");
        let place = Place::Key(&map, tensor);
        self.findings
            .reject(Rejection::WeightsIndexInvalid, place, detail);
    }

    /// What the map names are the files that lie beside it, and each of them.
    fn refuse_wrong_files(&mut self) {
        let mut named = BTreeSet::new();
        for (tensor, value) in self.map {
            let name = value.as_str().unwrap_or_default();
            if named.insert(name) && !self.files.contains_key(name) {
                let detail = format!("{} is no file of weights beside the index", Quoted(name));
                self.refuse(tensor, &detail);
            }
        }
        for name in self.files.keys().filter(|name| !named.contains(*name)) {
            let detail = format!("{name:?} lies beside it, and no tensor is mapped to it");
            self.findings
                .reject(Rejection::WeightsIndexInvalid, &self.root, detail);
        }
    }

    /// Every tensor of a shard is mapped to it, and every mapped tensor is there.
    fn refuse_wrong_tensors(&mut self) {
        let mut there = BTreeSet::new();
        for (name, file) in self.files.clone() {
            for tensor in file.header.iter().flat_map(|header| &header.tensors) {
                there.insert(tensor.name.as_str());
                let mapped = self.map.get(&tensor.name).and_then(Value::as_str);
                if mapped != Some(name) {
                    let mapped = Quoted(mapped.unwrap_or_default());
                    self.refuse(&tensor.name, &format!("{name:?} holds it, not {mapped}"));
                }
            }
        }
        let map = self.map;
        for name in map.keys().filter(|name| !there.contains(name.as_str())) {
            self.refuse(name, "no shard holds this tensor");
        }
    }

    fn refuse_wrong_size(&mut self, said: Option<&Value>) {
        let headers = self.files.values().filter_map(|file| file.header);
        let tensors = headers.flat_map(|header| &header.tensors);
        let bytes = tensors.fold(0_u64, |sum, tensor| sum.saturating_add(tensor.byte_len()));
        let said = said.and_then(Value::as_u64);
        if said != Some(bytes) {
            let said = said.map_or_else(|| "no size".to_owned(), |said| said.to_string());
            let place = format!("{}/metadata/total_size", self.root);
            let detail = format!("{said}, the tensors have {bytes} bytes");
            self.findings
                .reject(Rejection::WeightsIndexInvalid, place, detail);
        }
    }
}
