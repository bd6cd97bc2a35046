//! Commands for whoever decides what a robot trusts: `trust …` and `store …`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand};
use jiff::Timestamp;
use tensorgate_verify::{Blake3, KeyId, RepoId, Revision, Sha256};

use crate::args::sign::Signing;
use crate::args::{RepoTypeArg, instant, revision};

/// Explain a trust policy; show and add keys; call back what must not count any more
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:
  tensorgate trust check /etc/tensorgate/trust.toml")]
pub(crate) enum Trust {
    Check(Check),
    Show(Show),
    AddKey(AddKey),
    Revoke(Revoke),
}

/// The robot's disk: make it ready, look, check it, make room, reset its memory
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  tensorgate store init --store /var/lib/tensorgate
  tensorgate store ls")]
pub(crate) enum Store {
    ImportHfCache(ImportHfCache),
    Init(Init),
    Ls(Ls),
    Check(CheckStore),
    Gc(Gc),
    Unrevoke(Unrevoke),
    ResetState(ResetState),
}

impl Trust {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Check(_) => "trust check",
            Self::Show(_) => "trust show",
            Self::AddKey(_) => "trust add-key",
            Self::Revoke(_) => "trust revoke",
        }
    }
}

impl Store {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::ImportHfCache(_) => "store import-hf-cache",
            Self::Init(_) => "store init",
            Self::Ls(_) => "store ls",
            Self::Check(_) => "store check",
            Self::Gc(_) => "store gc",
            Self::Unrevoke(_) => "store unrevoke",
            Self::ResetState(_) => "store reset-state",
        }
    }
}

/// Say what a trust policy would and would not accept
///
/// Whatever would surprise later is an error with its line: unknown keys, a threshold that cannot be
/// met, a file that others can write. A policy under which nothing can be accepted now, because keys
/// expired or were revoked, is an error as well.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tensorgate trust check /etc/tensorgate/trust.toml --repo acme/walk")]
pub(crate) struct Check {
    /// The trust policy
    #[arg(value_name = "FILE")]
    pub(crate) trust: PathBuf,
    /// Say who speaks for this repository
    #[arg(long, value_name = "ID")]
    pub(crate) repo: Option<RepoId>,
    /// Judge as of this instant, in RFC 3339
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub(crate) now: Option<Timestamp>,
}

/// Show a public key: its id, its fingerprint in OpenSSH, and its PEM
///
/// The id is what signatures, trust policies and revocations name; the fingerprint is what
/// `ssh-add -l` says. Standard output gets the PEM, whatever the form of the file. What a trust
/// policy's keys may do, `trust check` says.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  tensorgate trust show release-2026.pub.pem
  tensorgate trust show ~/.ssh/id_ed25519.pub > ops.pub.pem")]
pub(crate) struct Show {
    /// The public key, in PEM or as OpenSSH has it
    #[arg(value_name = "PUBLIC_KEY")]
    pub(crate) key: PathBuf,
}

/// Add a key to a trust policy, which stays as it is otherwise
///
/// Comments and order are kept. The key itself goes into the file, so that there is no second one to
/// look after. The result is judged as `trust check` does before it takes the place of the file.
///
/// To rotate a key: add the new one, sign with it (`tensorgate admit`), then give the old one a
/// `not_after`, or take it out. Name a stolen one under `[[revoked]]`, and by `trust revoke`.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tensorgate trust add-key trust.toml release-2027.pub.pem --name release-2027 \\
      --not-after 2028-06-30T00:00:00Z --repos 'acme/*'")]
pub(crate) struct AddKey {
    /// The trust policy
    #[arg(value_name = "FILE")]
    pub(crate) trust: PathBuf,
    /// The public key, in PEM or as OpenSSH has it
    #[arg(value_name = "PUBLIC_KEY")]
    pub(crate) key: PathBuf,
    /// What it is called in verdicts
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,
    /// When its signatures stop to count, in RFC 3339
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub(crate) not_after: Option<Timestamp>,
    /// The repositories that it speaks for, as acme/walk or acme/* [default: all]
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    pub(crate) repos: Vec<String>,
}

/// Sign a list of what counts no more, or add to the one that is there
///
/// The list names every revocation in force; each new one has the next sequence number and takes the
/// place of the one before. Robots learn of it by `verify --revocations` and remember it. Lists
/// need as many signers as policies, and keys that speak for some repositories only do not count.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("what").args(["revoked_key", "manifest", "blake3", "revision"]).multiple(true).requires("reason"),
    after_help = "Example:
  tensorgate trust revoke revocations.dsse.json --key ops.key.pem \\
      --expires 2027-02-01T00:00:00Z --manifest DIGEST --reason \"falls on stairs\""
)]
pub(crate) struct Revoke {
    /// The list, which is made if it is not there
    #[arg(value_name = "FILE")]
    pub(crate) list: PathBuf,
    #[command(flatten)]
    pub(crate) signing: Signing,
    /// When a newer list should have come, in RFC 3339: from then on robots refuse everything
    #[arg(long, value_name = "INSTANT", value_parser = instant, required_unless_present = "add_signature")]
    pub(crate) expires: Option<Timestamp>,
    /// Add a signature to the list as it is: it is shown, and you are asked. Where nobody can be asked,
    /// the SHA-256 that was shown with it says which list is meant
    #[arg(long, value_name = "DIGEST", require_equals = true, conflicts_with_all = ["what", "expires"])]
    pub(crate) add_signature: Option<Option<Sha256>>,
    /// A signing key, by its id
    #[arg(long, value_name = "HEX")]
    pub(crate) revoked_key: Vec<KeyId>,
    /// A release, by the SHA-256 of its manifest
    #[arg(long, value_name = "HEX")]
    pub(crate) manifest: Vec<Sha256>,
    /// A file or tensor, by its BLAKE3
    #[arg(long, value_name = "HEX")]
    pub(crate) blake3: Vec<Blake3>,
    /// A commit
    #[arg(long, value_name = "HEX", value_parser = revision)]
    pub(crate) revision: Vec<Revision>,
    /// Why, for whoever reads the refusal
    #[arg(long, value_name = "TEXT", requires = "what")]
    pub(crate) reason: Option<String>,
}

/// Where the memory is.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// The store [default: TENSORGATE_STORE, else the user's data directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// A memory without a store, as `verify --state` has it
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    pub(crate) state: Option<PathBuf>,
}

/// Take a policy's files from a Hugging Face cache, at one commit, without any network
///
/// For what `hf download`, `lerobot` and other tools have brought already. Links are followed inside
/// the cache alone, and bytes are copied while they are checked. Without a manifest the files must be
/// what the cache itself says they are, and stay in quarantine, untrusted; with one and a trust
/// policy, exactly what was signed is taken, proven and kept.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  tensorgate store import-hf-cache acme/walk@main")]
pub(crate) struct ImportHfCache {
    /// OWNER/NAME and a commit; of a branch or tag, the one that the cache knows is taken
    #[arg(value_name = "REPO@REVISION")]
    pub(crate) target: String,
    /// What kind of repository it is [default: model, or dataset for datasets/OWNER/NAME]
    #[arg(long, value_name = "TYPE")]
    pub(crate) repo_type: Option<RepoTypeArg>,
    /// The cache [default: HF_HUB_CACHE, else where huggingface_hub keeps it]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// The manifest
    #[arg(long, value_name = "FILE", requires = "trust")]
    pub(crate) manifest: Option<PathBuf>,
    /// The trust policy: whose signatures count
    #[arg(long, value_name = "FILE", requires = "manifest")]
    pub(crate) trust: Option<PathBuf>,
    /// Where files are kept [default: TENSORGATE_STORE, else the user's data directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
}

/// Make a store ready, so that a robot which requires one can tell a new store from a lost one
///
/// For trust policies with `require_state = true` under `[rollback]`. A store in use stays as it is,
/// but for its quota. While a policy is fetched, it lies on the disk twice.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tensorgate store init --store /var/lib/tensorgate --quota 20GiB")]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The most that the store may take of the disk, in bytes, KiB, MiB, GiB or TiB; `off` for no
    /// limit
    #[arg(long, value_name = "SIZE", conflicts_with = "state")]
    pub(crate) quota: Option<Quota>,
}

/// A limit, or none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Quota {
    Off,
    Bytes(u64),
}

/// List the releases that were accepted, which older ones cannot replace, and what was revoked here
///
/// What was revoked is what the node's service `~/revoke` took out of force on this machine, with the
/// reason. Signed revocations are told by `verify`.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tensorgate store ls --json")]
pub(crate) struct Ls {
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Read the whole store again, and say what is damaged
///
/// Objects against their names, policies against their manifests, the memory and the records of
/// downloads. Nothing is changed: a damaged policy is refused wherever it is loaded, and fetching it
/// again puts it right. Standard error gets the command for each.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tensorgate store check --store /var/lib/tensorgate")]
pub(crate) struct CheckStore {
    /// The store [default: TENSORGATE_STORE, else the user's data directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
}

/// Remove what nobody wants any more
///
/// Of each repository, the accepted release and the newest ones stay. What a process has loaded or
/// is downloading stays, too, and is said. Downloads that nobody uses go, signed or not, and what
/// crashes left. What a memory elsewhere accepted, as `verify --state` has one, is not known here.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tensorgate store gc --dry-run")]
pub(crate) struct Gc {
    /// How many of the newest releases of each repository stay
    #[arg(long, value_name = "N", default_value_t = tensorgate_store::Gc::default().keep)]
    pub(crate) keep: usize,
    /// Only say what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The store [default: TENSORGATE_STORE, else the user's data directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
}

/// Take back a revocation that was made on this machine: the release can be loaded again
///
/// What the node's service `~/revoke` took out of force stays so until somebody says otherwise, here.
/// Nothing else changes: the release still has to be signed, unexpired and no rollback, and what a
/// signed list or a trust policy revoked stays revoked. `tensorgate store ls` lists what can be named.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tensorgate store unrevoke 52df14fe0d68b2e10e2b9a5f04cbd8ae1a2d3ff3a21e8b1a4c95f4d4f6cb2f67")]
pub(crate) struct Unrevoke {
    /// The release, by the SHA-256 of its manifest
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: Sha256,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Forget which releases were accepted: then older ones are accepted again
///
/// The only way back from a memory that is damaged or lost, or from a sequence that was driven too
/// high. Find out first how that came about. Revocations stay in force; with --all, those that cannot
/// be read are removed, and the floor of the clock is forgotten.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("which").args(["repo", "all"]).required(true),
    after_help = "Example:
  tensorgate store reset-state --repo acme/walk"
)]
pub(crate) struct ResetState {
    /// Of this repository
    #[arg(long, value_name = "ID")]
    pub(crate) repo: Option<RepoId>,
    /// What kind of repository that is
    #[arg(long, value_name = "TYPE", default_value = "model", requires = "repo")]
    pub(crate) repo_type: RepoTypeArg,
    /// Of all repositories
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl FromStr for Quota {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match text.strip_prefix(digits) {
            Some("") => 0,
            Some("KiB") => 10,
            Some("MiB") => 20,
            Some("GiB") => 30,
            Some("TiB") => 40,
            _ => return Err(SIZE),
        };
        let number: u64 = digits.parse().map_err(|_| SIZE)?;
        let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes > 0);
        bytes.map(Self::Bytes).ok_or(SIZE)
    }
}

const SIZE: &str =
    "a size is a whole number with nothing, KiB, MiB, GiB or TiB behind it, as in 20GiB, or `off`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_exactly_or_not_at_all() {
        let good = [
            ("off", Quota::Off),
            ("1", Quota::Bytes(1)),
            ("3KiB", Quota::Bytes(3 << 10)),
            ("5MiB", Quota::Bytes(5 << 20)),
            ("20GiB", Quota::Bytes(20 << 30)),
            ("7TiB", Quota::Bytes(7 << 40)),
        ];
        for (text, quota) in good {
            assert_eq!(text.parse(), Ok(quota), "{text}");
        }
        let bad = [
            "",
            "0",
            "0GiB",
            "-1",
            "1.5GiB",
            "20 GiB",
            "20gib",
            "20GB",
            "GiB",
            "20GiBs",
            "16777216TiB",
            "18446744073709551616",
            "\u{661}GiB",
            "on",
        ];
        for text in bad {
            assert_eq!(text.parse::<Quota>(), Err(SIZE), "{text}");
        }
    }
}
