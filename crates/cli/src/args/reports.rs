//! Files for other programs, beside a verdict: `--sarif` and `--vsa`.

use std::path::{Path, PathBuf};

use clap::Args;

// A doc comment would become the command's.
#[derive(Args, Clone, Debug)]
pub(crate) struct Sarif {
    /// Write the findings into this file, in SARIF 2.1.0, for code scanning, whatever the verdict.
    /// They replace earlier findings, and nothing else
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
}

// A doc comment would become the command's.
#[derive(Args, Clone, Debug)]
pub(crate) struct Summary {
    /// Write a signed summary of the verdict into this file, for servers that trust this machine to
    /// verify: an in-toto Verification Summary Attestation, PASSED or FAILED. An earlier one is removed
    /// before anything is judged; nothing else is replaced
    #[arg(long, value_name = "FILE", requires = "vsa_key", conflicts_with_all = ["oms", "now"])]
    vsa: Option<PathBuf>,
    /// The private key that signs the summary, in PEM: one that signs no policies
    #[arg(long, value_name = "FILE", requires = "vsa")]
    vsa_key: Option<PathBuf>,
}

impl Sarif {
    /// Where the findings go, if they are wanted.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.sarif.as_deref()
    }
}

impl Summary {
    /// Where the summary goes and what signs it, if one is wanted.
    pub(crate) fn wanted(&self) -> Option<(&Path, &Path)> {
        self.vsa.as_deref().zip(self.vsa_key.as_deref())
    }
}
