//! What may stand on the command line, and the help that teaches it.

pub(crate) mod admit;
pub(crate) mod help;
pub(crate) mod html;
pub(crate) mod operator;
pub(crate) mod reports;
pub(crate) mod sign;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use tensorgate_verify::{RepoId, RepoType, Revision};

use admit::Admit;
use help::{Completions, Doctor, Man};
use html::Html;
use operator::{Store, Trust};
use reports::{Sarif, Summary};
use sign::{Sign, refuse_release_of_oms};

/// Let only those policy weights reach a robot that somebody you trust signed
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_STATUS, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print one JSON object on standard output, for programs
    #[arg(long, global = true, display_order = 100)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Keygen(Keygen),
    Admit(Box<Admit>),
    Fetch(Fetch),
    Audit(Audit),
    Sign(Sign),
    Verify(Verify),
    Inspect(Inspect),
    Diff(Diff),
    #[command(subcommand)]
    Trust(Trust),
    #[command(subcommand)]
    Store(Store),
    Doctor(Doctor),
    Completions(Completions),
    Man(Man),
}

impl Command {
    /// As it is typed, without what follows: `"command"` of the JSON object.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Keygen(_) => "keygen",
            Self::Admit(_) => "admit",
            Self::Fetch(_) => "fetch",
            Self::Audit(_) => "audit",
            Self::Sign(_) => "sign",
            Self::Verify(_) => "verify",
            Self::Inspect(_) => "inspect",
            Self::Diff(_) => "diff",
            Self::Trust(trust) => trust.name(),
            Self::Store(store) => store.name(),
            Self::Doctor(_) => "doctor",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }
}

const EXIT_STATUS: &str = "\
Exit status: 0 verified, passed, fetched or done; 1 rejected; 2 could not check, or wrong usage

From a key to a verified policy:
  tensorgate keygen --out release-2026
  tensorgate sign walk --key release-2026.key.pem --repo acme/walk \\
      --revision 0123456789abcdef0123456789abcdef01234567 \\
      --sequence 1 --expires 2027-11-01T00:00:00Z
  tensorgate verify walk --trust trust.toml";

/// Make a signing key: NAME.key.pem, which stays secret, and NAME.pub.pem
///
/// ed25519 keys in PEM (RFC 8410), as openssl reads and writes them. A file that exists is never
/// overwritten. Standard output gets the lines that make the key count in a trust.toml.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tensorgate keygen --out release-2026 --passphrase-file passphrase.txt")]
pub(crate) struct Keygen {
    /// Where the two files go, without their endings
    #[arg(long, value_name = "NAME")]
    pub(crate) out: String,
    /// Encrypt the private key with the first line of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// Fetch a policy's files from a Hub, at one commit
///
/// Without a manifest they stay in quarantine, complete and untrusted. With one and a trust policy,
/// exactly what was signed is fetched, proven and kept. Standard output gets the path.
///
/// The manifest may lie at a branch, which is a channel for updates: only the manifest and the list of
/// revocations beside it are taken from there. It names the commit of everything else, so that none
/// need be given.
///
/// What is interrupted (Ctrl-C) ends with status 2; the same command goes on from what is there.
///
/// HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HOME and HF_HUB_OFFLINE mean what they mean to
/// huggingface_hub; HTTPS_PROXY, HTTP_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR hold for every
/// request. A token that is found there goes to no other --endpoint; that takes --token-file.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  tensorgate fetch acme/walk@main --dry-run
  tensorgate fetch acme/walk@0123456789abcdef0123456789abcdef01234567 \\
      --manifest policy.dsse.json --trust trust.toml
  tensorgate fetch acme/walk --manifest acme/walk@main --trust trust.toml --watch 5m")]
pub(crate) struct Fetch {
    /// OWNER/NAME and a commit; a branch or tag is looked up once, shown and pinned. With --manifest,
    /// OWNER/NAME alone means the commit that was signed
    #[arg(value_name = "REPO[@REVISION]")]
    pub(crate) target: String,
    /// What kind of repository it is [default: model, or dataset for datasets/OWNER/NAME]
    #[arg(long, value_name = "TYPE")]
    pub(crate) repo_type: Option<RepoTypeArg>,
    #[command(flatten)]
    pub(crate) source: Source,
    /// The manifest: a file, or policy.dsse.json at a commit or branch of a repository
    #[arg(long, value_name = "FILE|REPO@REV", requires = "trust")]
    pub(crate) manifest: Option<String>,
    /// The trust policy: whose signatures count
    #[arg(long, value_name = "FILE", requires = "manifest")]
    pub(crate) trust: Option<PathBuf>,
    /// Show what would be fetched and what is there, and fetch nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Ask the branch of --manifest for something newer about this often (30s, 5m, 1h), until stopped:
    /// a tenth sooner or later, and more rarely while that fails.
    /// What does not pass is told, and changes nothing. The path of each release that passes goes to
    /// standard output; being stopped (Ctrl-C, SIGTERM) is status 0
    #[arg(long, value_name = "INTERVAL", value_parser = interval, requires = "manifest", conflicts_with_all = ["dry_run", "offline"])]
    pub(crate) watch: Option<Duration>,
}

/// A manifest, and who may have signed it.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) manifest: &'a str,
    pub(crate) trust: &'a Path,
}

impl Fetch {
    /// What was given to prove the files by.
    pub(crate) fn signed(&self) -> Option<Signed<'_>> {
        let (manifest, trust) = (self.manifest.as_deref()?, self.trust.as_deref()?);
        Some(Signed { manifest, trust })
    }
}

// Which Hub, and where what comes from it is kept; a doc comment would become the command's.
#[derive(Args, Clone, Debug)]
pub(crate) struct Source {
    /// The Hub or a mirror [default: HF_ENDPOINT, else the public Hub]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// A file with the token for the endpoint, 0600 [default: as huggingface_hub finds it]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Where files are kept [default: TENSORGATE_STORE, else the user's data directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Use what the store has, and no network
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Judge the content of a policy that nobody need have signed
///
/// Names, formats, tensors, numbers, configuration, processors and code, by the rules that `sign`,
/// `verify` and the robot have. Every finding is listed. What passes is not authentic by that.
///
/// Without --externals the declarations of a policy.dsse.json in the directory are taken, unproven.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tensorgate audit walk --externals walk-externals.toml

What --externals may declare, in TOML:
  [[externals]]
  field = \"config.json#/pretrained_backbone_weights\"
  name = \"ResNet18_Weights.IMAGENET1K_V1\"
  decision = \"absent\"
  reason = \"the policy's own weights replace the backbone\"

  [[externals]]
  field = \"config.json#/vlm_model_name\"
  name = \"acme/backbone\"
  decision = \"pinned\"
  repo = \"acme/backbone\"
  revision = \"0123456789abcdef0123456789abcdef01234567\"
  files = [{ path = \"config.json\", size = 4817, sha256 = \"64 hexadecimal digits\" }]

  [[reviewed_code]]
  path = \"step.py\"
  sha256 = \"64 hexadecimal digits\"
  reviewer = \"R. Viewer\"
  note = \"arithmetic only\"")]
pub(crate) struct Audit {
    /// A directory, or a repository at a commit, which is fetched into quarantine first
    #[arg(value_name = "DIR|REPO@REVISION")]
    pub(crate) target: String,
    /// The trust policy whose rules for content hold [default: the rules of one that sets none]
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// What loading the policy would pull in, and what code was reviewed
    #[arg(long, value_name = "FILE")]
    pub(crate) externals: Option<PathBuf>,
    /// What kind of repository the files are of [default: model, or as REPO says]
    #[arg(long, value_name = "TYPE")]
    pub(crate) repo_type: Option<RepoTypeArg>,
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) html: Html,
    #[command(flatten)]
    pub(crate) sarif: Sarif,
}

/// Prove that a directory is, byte for byte, what somebody you trust signed
///
/// Checks signatures, expiry, rollback, the set of files, every byte of them, and their content.
/// What was accepted is remembered, so that an older release is refused from then on.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tensorgate verify walk --trust trust.toml --repo acme/walk

The smallest trust.toml:
  threshold = 1
  [[keys]]
  name = \"release-2026\"
  public_key_file = \"release-2026.pub.pem\"")]
pub(crate) struct Verify {
    /// The policy's directory
    pub(crate) dir: PathBuf,
    /// The trust policy: whose signatures count
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: PathBuf,
    /// The manifest [default: DIR/policy.dsse.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// An OpenSSF Model Signing bundle in place of a manifest: weaker, and for repositories that the
    /// trust policy names under `[[oms]]` [default: DIR/model.sig, where there is no manifest]
    #[arg(long, value_name = "FILE", requires = "repo", conflicts_with_all = ["manifest", "revision", "full"])]
    pub(crate) oms: Option<PathBuf>,
    /// Refuse a policy of any other repository
    #[arg(long, value_name = "ID")]
    pub(crate) repo: Option<RepoId>,
    /// What kind of repository --repo is
    #[arg(long, value_name = "TYPE", requires = "repo", default_value = "model")]
    pub(crate) repo_type: RepoTypeArg,
    /// Refuse a policy of any other commit
    #[arg(long, value_name = "HEX", value_parser = revision)]
    pub(crate) revision: Option<Revision>,
    /// A signed list of what was called back; remembered from then on
    #[arg(long, value_name = "FILE")]
    pub(crate) revocations: Option<PathBuf>,
    /// Compute the digests of whole weights files as well as those of each tensor
    #[arg(long)]
    pub(crate) full: bool,
    /// Where accepted releases are remembered [default: the store's]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Judge as of this instant, in RFC 3339, to reproduce a verdict
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub(crate) now: Option<Timestamp>,
    #[command(flatten)]
    pub(crate) html: Html,
    #[command(flatten)]
    pub(crate) sarif: Sarif,
    #[command(flatten)]
    pub(crate) summary: Summary,
}

/// Show tensors, metadata and sizes; nothing is verified, nothing may be trusted
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tensorgate inspect walk/model.safetensors")]
pub(crate) struct Inspect {
    /// A safetensors file, a manifest, or a policy's directory
    #[arg(value_name = "FILE|DIR")]
    pub(crate) path: PathBuf,
}

/// Show what changed from one policy to another: files, code, fields, tensors and statistics
///
/// A and B are directories, or else: OWNER/NAME, the release of it that the store accepted last, so
/// what runs now; OWNER/NAME@COMMIT, out of the store or fetched into quarantine; or the SHA-256 of a
/// manifest in the store. A directory of that name goes first.
///
/// Nothing is verified, nothing may be trusted. Of tensors that kept shape and type, the largest
/// change of an element is shown, and the L2 norms in A, in B and of the change. Statistics that scale
/// what the motors get are compared by dimension, against the spread that they have in A.
/// Where a manifest in A or B names reviewed code, what is not byte for byte that is marked.
/// The exit status does not say whether they differ; with --json, `different` does.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  tensorgate diff walk-1 walk-2
  tensorgate diff acme/walk acme/walk@0123456789abcdef0123456789abcdef01234567")]
pub(crate) struct Diff {
    /// The earlier policy
    #[arg(value_name = "A")]
    pub(crate) a: String,
    /// The later policy
    #[arg(value_name = "B")]
    pub(crate) b: String,
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) html: Html,
}

/// A repository's type as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RepoTypeArg {
    Model,
    Dataset,
}

impl From<RepoTypeArg> for RepoType {
    fn from(typed: RepoTypeArg) -> Self {
        match typed {
            RepoTypeArg::Model => Self::Model,
            RepoTypeArg::Dataset => Self::Dataset,
        }
    }
}

/// What was typed, and whether it asked for JSON: an error must know that too.
pub(crate) struct Usage {
    pub(crate) error: clap::Error,
    pub(crate) json: bool,
}

pub(crate) fn parse() -> Result<Cli, Usage> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(std::env::args_os());
    let parsed = matches.and_then(|matches| {
        refuse_release_of_oms(&mut command, &matches)?;
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    });
    parsed.map_err(|error| Usage {
        error,
        json: std::env::args_os().any(|arg| arg == "--json"),
    })
}

pub(crate) fn instant(text: &str) -> Result<Timestamp, &'static str> {
    text.parse()
        .map_err(|_| "an instant has date, time and zone, as in 2027-11-01T00:00:00Z")
}

pub(crate) fn sequence(text: &str) -> Result<u64, &'static str> {
    text.parse()
        .map_err(|_| "a sequence is a whole number, which grows with each release")
}

/// The public Hub answers an address about 500 times in five minutes.
const SHORTEST: Duration = Duration::from_secs(1);

fn interval(text: &str) -> Result<Duration, &'static str> {
    let interval: SignedDuration = text
        .parse()
        .map_err(|_| "an interval is a number with a unit, as in 30s, 5m or 1h 30m")?;
    match Duration::try_from(interval) {
        Ok(interval) if interval >= SHORTEST => Ok(interval),
        _ => Err(
            "a Hub is asked once a second at most: it limits how often, for a whole site together",
        ),
    }
}

pub(crate) fn revision(text: &str) -> Result<Revision, &'static str> {
    text.parse()
        .map_err(|_| "a revision is a full commit id, 40 lower-case hexadecimal digits")
}
