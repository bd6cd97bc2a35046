//! What a reviewer looks at before a signature: what is in the files, in numbers and words. It
//! vouches for nothing, and all words are the policy's own.

mod card;
#[cfg(test)]
mod made;
pub(crate) mod numbers;
mod odd;
mod statistics;
mod tensors;

use std::path::Path;

use safetensors::Dtype;
use serde_json::{Value, json};
use tensorgate_verify::{
    Directory, FileEntry, FilePath, Header, Kind, Limits, Rejection, RepoType, Sha256,
};

use crate::failure::{Failure, Finding};
use crate::text::{count, shorten, thousands};
pub(crate) use card::{Card, Terms};
pub(crate) use numbers::{BINS, Numbers};
pub(crate) use odd::{Member, Odd};
pub(crate) use statistics::{Feature, State};
pub(crate) use tensors::Tensor;

/// Tensors of the network that a terminal shows, the largest first.
const LARGEST: usize = 5;
/// Characters of a policy's own words that a terminal shows at once.
const WORDS: usize = 200;

/// What is in the files of one policy.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Every file, in path order.
    pub(crate) files: Vec<Seen>,
    /// The network's tensors, the largest first.
    pub(crate) tensors: Vec<Tensor>,
    /// What scales observations and actions.
    pub(crate) statistics: Vec<State>,
    /// What the model card says.
    pub(crate) card: Card,
    /// Fields of config.json that no table knows.
    pub(crate) odd: Vec<Odd>,
}

/// A file that was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: FilePath,
    pub(crate) kind: Kind,
    pub(crate) bytes: u64,
    /// Of all its bytes, where it was computed.
    pub(crate) sha256: Option<Sha256>,
}

/// What the network's tensors of one element type amount to.
#[derive(Debug)]
pub(crate) struct TypeSum {
    pub(crate) dtype: Dtype,
    pub(crate) tensors: usize,
    pub(crate) elements: u64,
    pub(crate) bytes: u64,
}

impl Facts {
    /// Of the files that a survey let pass.
    ///
    /// # Errors
    /// A file cannot be read, or is no longer what the survey saw: `digest-mismatch`.
    pub(crate) fn of(
        directory: &Directory,
        files: &[FileEntry],
        limits: &Limits,
    ) -> Result<Self, Failure> {
        let mut facts = Self::default();
        for entry in files {
            facts.list(&entry.path, entry.kind, entry.size);
            if is_looked_into(entry) {
                let hold = directory.open(&entry.path)?.hold(entry.kind);
                let hold = hold.map_err(|error| unreadable(&entry.path, &error))?;
                refuse_changed(entry, &hold)?;
                facts.look_into(&entry.path, entry.kind, &hold, limits);
            }
        }
        facts.name_digests(files);
        Ok(facts)
    }

    /// Looks into one more file of a repository of this type, of which these bytes passed the check
    /// of its own format.
    pub(crate) fn see(
        &mut self,
        path: &FilePath,
        repo_type: RepoType,
        bytes: &[u8],
        limits: &Limits,
    ) {
        if let Some(kind) = Kind::of(path, repo_type) {
            self.list(path, kind, bytes.len() as u64);
            self.look_into(path, kind, bytes, limits);
        }
    }

    /// Of safetensors, the check made sure that there is a header.
    fn look_into(&mut self, path: &FilePath, kind: Kind, bytes: &[u8], limits: &Limits) {
        let header = || Header::parse(bytes, bytes.len() as u64, limits).ok();
        match kind {
            Kind::Weights => {
                let tensors = header().map(|header| tensors::of(path, &header, bytes));
                self.tensors.extend(tensors.into_iter().flatten());
                tensors::keep_largest(&mut self.tensors);
            }
            Kind::ProcessorState => {
                let state = header().map(|header| State::of(path, &header, bytes));
                self.statistics.extend(state);
            }
            Kind::Config if path.as_str() == odd::FILE => self.odd = Odd::all(bytes),
            Kind::Card if path.as_str() == card::FILE => self.card = Card::read(bytes),
            _ => {}
        }
    }

    /// Says of each file what a survey computed of it.
    pub(crate) fn name_digests(&mut self, files: &[FileEntry]) {
        for file in &mut self.files {
            let at = files.binary_search_by(|entry| entry.path.cmp(&file.path));
            let entry = at.ok().and_then(|at| files.get(at));
            file.sha256 = entry.map(|entry| entry.sha256);
        }
    }

    fn list(&mut self, path: &FilePath, kind: Kind, bytes: u64) {
        self.files.push(Seen {
            path: path.clone(),
            kind,
            bytes,
            sha256: None,
        });
    }

    /// Forgets the files that were refused: of those, the refusal is all there is to say.
    pub(crate) fn forget(&mut self, refused: &[Finding]) {
        let is_refused = |path: &FilePath| refused.iter().any(|found| is_about(found, path));
        self.files.retain(|file| !is_refused(&file.path));
        self.tensors.retain(|tensor| !is_refused(&tensor.file));
        self.statistics.retain(|state| !is_refused(&state.file));
        let is_refused = |name: &str| name.parse().is_ok_and(|path| is_refused(&path));
        if is_refused(odd::FILE) {
            self.odd.clear();
        }
        if is_refused(card::FILE) {
            self.card = Card::default();
        }
    }

    /// The element types of the network, the one with the most bytes first.
    pub(crate) fn dtypes(&self) -> Vec<TypeSum> {
        let mut sums: Vec<TypeSum> = Vec::new();
        for tensor in &self.tensors {
            match sums.iter_mut().find(|sum| sum.dtype == tensor.dtype) {
                Some(sum) => sum.add(tensor),
                None => sums.push(TypeSum::of(tensor)),
            }
        }
        sums.sort_by_key(|sum| std::cmp::Reverse(sum.bytes));
        sums
    }

    /// For people at a terminal, a line for each thing that somebody has to answer for.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.dtypes().iter().map(TypeSum::line).collect();
        lines.extend(self.tensors.iter().take(LARGEST).map(Tensor::line));
        if self.tensors.len() > LARGEST {
            let rest = count(self.tensors.len() - LARGEST, "smaller tensor");
            lines.push(format!("  tensor     and {rest}"));
        }
        lines.extend(self.statistics.iter().flat_map(State::lines));
        let card = self.card.rows();
        lines.extend(
            card.iter()
                .map(|(name, words)| format!("  card       {name}: {:?}", shorten(words, WORDS))),
        );
        lines.extend(self.odd.iter().map(Odd::line));
        lines
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "files": self.files.iter().map(Seen::json).collect::<Vec<_>>(),
            "dtypes": self.dtypes().iter().map(TypeSum::json).collect::<Vec<_>>(),
            "tensors": self.tensors.iter().map(Tensor::json).collect::<Vec<_>>(),
            "statistics": self.statistics.iter().map(State::json).collect::<Vec<_>>(),
            "card": self.card.json(),
            "odd": self.odd.iter().map(Odd::json).collect::<Vec<_>>(),
        })
    }
}

/// Of other files, name, kind and size are all there is to say.
fn is_looked_into(entry: &FileEntry) -> bool {
    let name = entry.path.as_str();
    entry.kind.is_tensors() || name == odd::FILE || name == card::FILE
}

fn unreadable(path: &FilePath, error: &std::io::Error) -> Failure {
    Failure::io("read", Path::new(path.as_str()), error)
}

/// What is shown is what was surveyed, byte for byte.
fn refuse_changed(entry: &FileEntry, bytes: &[u8]) -> Result<(), Failure> {
    if Sha256::of(bytes) == entry.sha256 {
        return Ok(());
    }
    let detail = "it changed while it was looked at";
    let rejection = Rejection::DigestMismatch;
    Err(Failure::rejected(rejection, entry.path.as_str(), detail))
}

/// Whether a finding is about the file, a tensor or a field in it.
fn is_about(found: &Finding, path: &FilePath) -> bool {
    let rest = found.subject.strip_prefix(path.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
}

impl Seen {
    fn json(&self) -> Value {
        json!({
            "path": self.path,
            "kind": self.kind,
            "bytes": self.bytes,
            "sha256": self.sha256,
        })
    }
}

impl TypeSum {
    fn of(tensor: &Tensor) -> Self {
        let mut sum = Self {
            dtype: tensor.dtype,
            tensors: 0,
            elements: 0,
            bytes: 0,
        };
        sum.add(tensor);
        sum
    }

    fn add(&mut self, tensor: &Tensor) {
        self.tensors += 1;
        self.elements = self.elements.saturating_add(tensor.elements());
        self.bytes = self.bytes.saturating_add(tensor.bytes);
    }

    fn line(&self) -> String {
        format!(
            "  dtype      {}: {}, {} elements, {} bytes",
            self.dtype,
            count(self.tensors, "tensor"),
            thousands(self.elements),
            thousands(self.bytes)
        )
    }

    fn json(&self) -> Value {
        json!({
            "dtype": self.dtype,
            "tensors": self.tensors,
            "elements": self.elements,
            "bytes": self.bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tensorgate_verify::{Rules, Survey};

    use super::*;

    /// One weight, its statistics, a configuration and a card.
    fn folder() -> (tempfile::TempDir, Directory) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        let tensor = |name: &str, values: [f32; 2]| {
            let data: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![2], &data).unwrap();
            safetensors::serialize([(name, view)], None).unwrap()
        };
        write("model.safetensors", &tensor("gain", [3.0, -4.0]));
        write(
            "config.json",
            br#"{"type": "act", "pretrained_backbone_weights": null, "hook": 1}"#,
        );
        write("README.md", b"---\nlicense: mit\n---\n");
        let directory = crate::disk::open_directory(folder.path()).unwrap();
        (folder, directory)
    }

    #[test]
    fn facts_are_of_what_was_surveyed() {
        let (folder, directory) = folder();
        let rules = Rules::default();
        let surveyed = Survey::new(&rules).run(&directory).unwrap();
        let facts = Facts::of(&directory, &surveyed.files, &rules.limits).unwrap();
        let json = facts.json();
        assert_eq!(json["tensors"][0]["numbers"]["l2"], 5.0);
        assert_eq!(json["odd"][0]["field"], "config.json#/hook");
        assert_eq!(json["card"]["license"][0], "mit");
        assert_eq!(
            json["files"][1]["sha256"],
            surveyed.files[1].sha256.to_string()
        );
        let lines = facts.lines().join("\n");
        assert!(
            lines.contains("\"gain\" F32 [2], 8 bytes: -4 to 3, L2 5"),
            "{lines}"
        );

        // As if it were seen while it was surveyed.
        let mut seen = Facts::default();
        let survey = Survey::new(&rules).run_with(&directory, |path, bytes| {
            seen.see(path, RepoType::Model, bytes, &rules.limits);
        });
        seen.name_digests(&survey.unwrap().files);
        assert_eq!(seen.json(), json);

        // Whoever changes a file afterwards is found out.
        let weights = folder.path().join("model.safetensors");
        let mut bytes = fs::read(&weights).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&weights, bytes).unwrap();
        let failure = Facts::of(&directory, &surveyed.files, &rules.limits).unwrap_err();
        let Failure::Rejected(found) = failure else {
            unreachable!("{failure:?}");
        };
        assert_eq!(found[0].rejection, Rejection::DigestMismatch);
    }

    #[test]
    fn of_what_was_refused_there_are_no_facts() {
        let (_folder, directory) = folder();
        let rules = Rules::default();
        let files = Survey::new(&rules).run(&directory).unwrap().files;
        let mut facts = Facts::of(&directory, &files, &rules.limits).unwrap();
        let finding = |subject: &str| {
            Finding::new(
                Rejection::WeightsNonFinite,
                subject.to_owned(),
                String::new(),
            )
        };
        facts.forget(&[
            finding("model.safetensorsx"),
            finding("sub/model.safetensors"),
        ]);
        assert_eq!(facts.tensors.len(), 1);
        facts.forget(&[
            finding("model.safetensors#gain"),
            finding("config.json#/hook"),
        ]);
        assert_eq!(
            (facts.tensors.len(), facts.odd.len(), facts.files.len()),
            (0, 0, 1)
        );
        assert_eq!(facts.card.license, ["mit"]);
        facts.forget(&[finding("README.md")]);
        assert_eq!(facts.card, Card::default());
    }
}
