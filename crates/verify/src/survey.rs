//! What a signer vouches for: a directory's files, checked as a verifier would and described.

use rayon::prelude::*;

use crate::audit::{Declared, Document, is_interpreted, judge};
use crate::claim::range;
use crate::content::{MANIFEST_FILE, check_other, kind_of, name_refusal, refuse_kind};
use crate::error::{Error, Findings, Rejected, Result};
use crate::format::HEAD;
use crate::header::{Header, Tensor};
use crate::manifest::{FileEntry, TensorEntry};
use crate::manifest_rules::{refuse_collisions, refuse_large};
use crate::polyglot::refuse_polyglot;
use crate::scan::Scan;
use crate::{
    Blake3, Directory, External, FilePath, Hold, Rejection, RepoType, ReviewedCode, Rules, Sha256,
    Untrusted,
};

/// Checks a directory that nobody signed, with every rule that a verifier has for content.
///
/// Nothing is authenticated: this is the step before signing, and it refuses what a verifier
/// would refuse under any signature.
///
/// ```
/// use tensorgate_verify::{Directory, Rejection, Rules, Survey};
/// # let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("model.safetensors"), b"\x80\x04\x95 a pickle")?;
/// let directory = Directory::new(std::fs::File::open(folder.path())?.into());
///
/// let error = Survey::new(&Rules::default()).run(&directory).unwrap_err();
/// assert_eq!(error.rejection(), Some(Rejection::FormatPickle));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Survey<'a> {
    rules: &'a Rules,
    repo_type: RepoType,
    externals: &'a [External],
    reviewed_code: &'a [ReviewedCode],
    beside: &'a [&'a str],
}

/// What only a person can decide, and nobody has.
///
/// It is listed by [`Survey::asking`]; what answers it goes into the manifest, and into the survey that
/// counts.
///
/// ```
/// use tensorgate_verify::{External, ReviewedCode, Undecided};
///
/// /// What is signed of one question, once a person has read it.
/// fn answer(open: &Undecided, externals: &mut Vec<External>, reviews: &mut Vec<ReviewedCode>) {
///     match open {
///         Undecided::External { field, name } => {
///             let reason = "the policy has weights of its own".into();
///             externals.push(External::absent(field.clone(), name.clone(), reason));
///         }
///         Undecided::Code { path, sha256 } => {
///             let (reviewer, note) = ("Ada".into(), "arithmetic alone".into());
///             reviews.push(ReviewedCode::new(path.clone(), *sha256, reviewer, note));
///         }
///         other => panic!("a later version asks something else: {other:?}"),
///     }
/// }
/// # let (mut externals, mut reviews) = (Vec::new(), Vec::new());
/// # let (field, name) = ("config.json#/vlm".into(), "acme/vlm".into());
/// # answer(&Undecided::External { field, name }, &mut externals, &mut reviews);
/// # let (path, sha256) = ("step.py".parse()?, tensorgate_verify::Sha256::of(b"x = 1"));
/// # answer(&Undecided::Code { path, sha256 }, &mut externals, &mut reviews);
/// # assert_eq!((externals[0].name.as_str(), reviews[0].sha256), ("acme/vlm", sha256));
/// # Ok::<(), tensorgate_verify::Error>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Undecided {
    /// An artifact that loading the policy would pull in: pinned, or declared absent?
    External {
        /// File and JSON pointer of the field that names it.
        field: String,
        /// The value there, or what is loaded where there is none.
        name: String,
    },
    /// Code that nobody reviewed: may it pass, as it is?
    Code {
        /// The file.
        path: FilePath,
        /// What would be reviewed.
        sha256: Sha256,
    },
}

/// What a survey found: the files as a manifest lists them, and what deserves a word.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Surveyed {
    /// Every file, in path order.
    pub files: Vec<FileEntry>,
    /// What was found and let pass by the rules.
    pub notices: Vec<Rejected>,
}

/// What a first survey found: what [`Surveyed`] has, and what is left to decide. It says of no file that
/// it passes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Asked {
    /// Every file, in path order.
    pub files: Vec<FileEntry>,
    /// What was found and let pass by the rules.
    pub notices: Vec<Rejected>,
    /// What is left to decide, if anything is.
    pub undecided: Vec<Undecided>,
}

impl<'a> Survey<'a> {
    /// Of a model repository without externals and code.
    pub const fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            repo_type: RepoType::Model,
            externals: &[],
            reviewed_code: &[],
            beside: &[MANIFEST_FILE],
        }
    }

    /// Of a repository of this type.
    #[must_use]
    pub const fn of(self, repo_type: RepoType) -> Self {
        Self { repo_type, ..self }
    }

    /// With what its signer decided about artifacts that loading it would pull in.
    #[must_use]
    pub const fn with_externals(self, externals: &'a [External]) -> Self {
        Self { externals, ..self }
    }

    /// With the code that a person reviewed.
    #[must_use]
    pub const fn with_reviewed_code(self, reviewed_code: &'a [ReviewedCode]) -> Self {
        Self {
            reviewed_code,
            ..self
        }
    }

    /// Names, at the top of the directory, of files that vouch for the others and so are none of
    /// them, in place of the manifest alone.
    #[must_use]
    pub const fn beside(self, names: &'a [&'a str]) -> Self {
        Self {
            beside: names,
            ..self
        }
    }

    /// Checks every file and computes what a manifest says of it.
    ///
    /// # Errors
    /// Every rejection that was found: `file-*`, `format-*`, `header-*`, `tensor-*`, `json-*`,
    /// `trailing-bytes`, `weights-non-finite`, `polyglot-*`, and what the audit refuses of the files
    /// that passed alone.
    pub fn run(self, directory: &Directory) -> Result<Surveyed> {
        self.run_with(directory, |_, _| {})
    }

    /// The same; `each` is shown the very bytes that were checked, file by file in path order.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with(
        self,
        directory: &Directory,
        each: impl FnMut(&FilePath, &[u8]),
    ) -> Result<Surveyed> {
        let mut findings = Findings::default();
        let files = self.look(directory, each, &mut findings)?;
        let notices = findings.into_result()?;
        Ok(Surveyed { files, notices })
    }

    /// A first survey, which lists what its signer has yet to decide and does not refuse it; what is no
    /// decision, it does. Only [`run`](Self::run), with the answers, says that the files pass.
    ///
    /// ```
    /// use tensorgate_verify::{Directory, External, Rules, Survey, Undecided};
    /// # let folder = tempfile::tempdir()?;
    /// let config = r#"{"type": "act", "pretrained_backbone_weights": "ResNet18_Weights.IMAGENET1K_V1"}"#;
    /// std::fs::write(folder.path().join("config.json"), config)?;
    /// let directory = Directory::new(std::fs::File::open(folder.path())?.into());
    /// let rules = Rules::default();
    ///
    /// let asked = Survey::new(&rules).asking(&directory, |_, _| {})?;
    /// let [Undecided::External { field, name }] = &asked.undecided[..] else {
    ///     panic!("{asked:?}");
    /// };
    /// assert_eq!(field, "config.json#/pretrained_backbone_weights");
    ///
    /// let reason = "the policy has weights of its own".into();
    /// let externals = [External::absent(field.clone(), name.clone(), reason)];
    /// let surveyed = Survey::new(&rules).with_externals(&externals).run(&directory)?;
    /// assert_eq!(surveyed.files, asked.files); // the bytes that the questions were about
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// What is to be signed is what passed, and the compiler knows which that is:
    ///
    /// ```compile_fail,E0308
    /// # use tensorgate_verify::*;
    /// fn sign(passed: Surveyed) {}
    /// # fn unasked(survey: Survey<'_>, directory: &Directory) -> Result<()> {
    /// sign(survey.asking(directory, |_, _| {})?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`run`](Self::run), but for what is undecided.
    pub fn asking(
        self,
        directory: &Directory,
        each: impl FnMut(&FilePath, &[u8]),
    ) -> Result<Asked> {
        let mut findings = Findings::asking();
        let files = self.look(directory, each, &mut findings)?;
        Ok(Asked {
            files,
            undecided: findings.take_undecided(),
            notices: findings.into_result()?,
        })
    }

    fn look(
        self,
        directory: &Directory,
        mut each: impl FnMut(&FilePath, &[u8]),
        findings: &mut Findings,
    ) -> Result<Vec<FileEntry>> {
        let mut paths = directory.list(&self.rules.limits, findings)?;
        paths.retain(|path| !self.beside.contains(&path.as_str()));
        findings.note(refuse_collisions(paths.iter()))?;
        if paths.is_empty() {
            let detail = "an empty directory is no policy";
            findings.reject(Rejection::FileMissing, ".", detail);
        }
        // One after another: each file uses all cores by itself, and only one is held in memory.
        let mut seen = Vec::new();
        for path in &paths {
            let described = self.describe(directory, path, findings);
            if let Some((described, hold)) = findings.note(described)? {
                each(path, &hold);
                seen.push(described.keeping(hold));
            }
        }
        self.audit(&seen, findings);
        Ok(seen.into_iter().map(|described| described.entry).collect())
    }

    fn describe(
        &self,
        directory: &Directory,
        path: &FilePath,
        findings: &mut Findings,
    ) -> Result<(Described, Hold)> {
        let untrusted = directory.open(path)?;
        let io = |error| Error::io(path, error);
        let kind = kind_of(
            path,
            self.repo_type,
            &untrusted.first_bytes(HEAD).map_err(io)?,
        )?;
        refuse_kind(path, kind, self.rules)?;
        refuse_large(path, kind, untrusted.len(), &self.rules.limits)?;
        if kind.is_tensors() {
            self.refuse_bad_header(path, &untrusted)?;
        }
        let hold = untrusted.hold(kind).map_err(io)?;
        // SHA-256 knows one core only; the others have BLAKE3 meanwhile.
        let (sha256, blake3) = rayon::join(|| Sha256::of(&hold), || Blake3::of(&hold));
        let mut entry = FileEntry {
            path: path.clone(),
            size: u64::try_from(hold.len()).unwrap_or(u64::MAX),
            sha256,
            blake3,
            kind,
            header_blake3: None,
            tensors: None,
        };
        let header = if kind.is_tensors() {
            Some(self.describe_tensors(&mut entry, &hold, findings)?)
        } else {
            check_other(path, kind, &hold)?;
            None
        };
        let described = Described {
            entry,
            header,
            bytes: None,
        };
        Ok((described, hold))
    }

    /// Judges the header before gigabytes are copied for its sake.
    fn refuse_bad_header(&self, path: &FilePath, untrusted: &Untrusted) -> Result<()> {
        let limits = &self.rules.limits;
        let read = |len| {
            let bytes = untrusted.first_bytes(len);
            bytes.map_err(|error| Error::io(path, error))
        };
        let name = |bytes: &[u8], error| name_refusal(path, bytes, error);
        let first_bytes = read(HEAD)?;
        let len =
            Header::prefix_len(&first_bytes, limits).map_err(|error| name(&first_bytes, error))?;
        let prefix = read(usize::try_from(len).unwrap_or(usize::MAX))?;
        Header::parse(&prefix, untrusted.len(), limits)
            .map(drop)
            .map_err(|error| name(&prefix, error))
    }

    fn describe_tensors(
        &self,
        entry: &mut FileEntry,
        hold: &Hold,
        findings: &mut Findings,
    ) -> Result<Header> {
        let header = Header::parse(hold, entry.size, &self.rules.limits)
            .map_err(|error| name_refusal(&entry.path, hold, error))?;
        let scan = |tensor: &Tensor| {
            let begin = header.len.saturating_add(tensor.begin);
            let bytes = range(hold, begin, tensor.byte_len()).unwrap_or_default();
            Scan::of(tensor.dtype, bytes)
        };
        let scans: Vec<Scan> = header.tensors.par_iter().map(scan).collect();
        for (tensor, scan) in header.tensors.iter().zip(&scans) {
            scan.judge(
                format_args!("{}#{}", entry.path, tensor.name),
                tensor.dtype,
                &self.rules.content,
                findings,
            );
        }
        refuse_polyglot(&entry.path, hold, findings);
        entry.header_blake3 = Some(Blake3::of(range(hold, 0, header.len).unwrap_or_default()));
        let rows = header.tensors.iter().zip(scans);
        entry.tensors = Some(
            rows.map(|(tensor, scan)| TensorEntry::new(tensor, scan.blake3))
                .collect(),
        );
        Ok(header)
    }

    fn audit(&self, seen: &[Described], findings: &mut Findings) {
        let documents: Vec<Document<'_>> = seen.iter().map(Described::document).collect();
        let declared = Declared {
            repo_type: self.repo_type,
            externals: self.externals,
            reviewed_code: self.reviewed_code,
        };
        judge(&documents, declared, &self.rules.content, findings);
    }
}

/// One file after its own check; its bytes only where the audit reads them.
struct Described {
    entry: FileEntry,
    header: Option<Header>,
    bytes: Option<Hold>,
}

impl Described {
    fn keeping(self, hold: Hold) -> Self {
        let bytes = is_interpreted(self.entry.kind).then_some(hold);
        Self { bytes, ..self }
    }

    fn document(&self) -> Document<'_> {
        Document {
            path: &self.entry.path,
            kind: self.entry.kind,
            sha256: self.entry.sha256,
            bytes: self.bytes.as_deref().unwrap_or_default(),
            header: self.header.as_ref(),
        }
    }
}
