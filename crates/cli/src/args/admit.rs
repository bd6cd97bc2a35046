//! What may stand on the command line of `admit`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;

use crate::args::html::Html;
use crate::args::sign::Signing;
use crate::args::{RepoTypeArg, Source, instant, sequence};

/// Take a policy from a Hub to the robot's store: fetch, judge, decide, sign, prove
///
/// The files are fetched into quarantine and judged by the rules of the trust policy. What only a
/// person can decide is shown and asked for: artifacts that loading the policy would pull in, code,
/// findings that the rules let pass, the licence, and in the end whether to sign. Nothing is assumed:
/// where there is no terminal, --yes takes the answers from --decisions, and what they leave open is an
/// error that names it. What is no decision, such as a pickle, is refused.
///
/// Then the files are signed with the operator's key, proven by the trust policy as `fetch --manifest`
/// does, and kept. Standard output gets the path, which a robot's launch file takes.
///
/// Where the trust policy wants more signers, the manifest is written to a file. The next one gives it
/// as --manifest: the files are fetched and judged once more, the same questions are asked, and a
/// signature is added only if this review says, byte for byte, what the manifest does.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  tensorgate admit acme/walk@main --key ops.key.pem --trust trust.toml \\
      --expires 2027-11-01T00:00:00Z --save-decisions walk.toml
  tensorgate admit acme/walk@0123456789abcdef0123456789abcdef01234567 \\
      --agent ~/.ssh/id_ed25519.pub --trust trust.toml --yes --decisions walk.toml

A second signer, on another machine:
  tensorgate admit acme/walk@0123456789abcdef0123456789abcdef01234567 \\
      --key second.key.pem --trust trust.toml --manifest policy.dsse.json

What --decisions may answer: [[externals]] and [[reviewed_code]] as `audit --help` shows them, and
  [accept]
  licenses = [\"apache-2.0\"]                # \"none stated\" where the card states none
  policy_types = [\"act\"]
  dtypes = [\"F32\", \"I64\"]
  max_bytes = 300000000
  fields = ['\"config.json#/my_field\": 3']  # that no known type has: with its value, as shown
  findings = ['CODE: \"SUBJECT\": DETAIL']   # that the trust policy lets pass: whole, as told
  valid_days = 90                          # in place of --expires
It names no repository: an answer holds wherever the file is given. Nobody can agree to what cannot
be shown whole, such as more than 256 fields, or a value of more than 4,096 characters.")]
pub(crate) struct Admit {
    /// OWNER/NAME and a commit; a branch or tag is looked up once, shown and pinned
    #[arg(value_name = "REPO@REVISION")]
    pub(crate) target: String,
    /// What kind of repository it is [default: model, or dataset for datasets/OWNER/NAME]
    #[arg(long, value_name = "TYPE")]
    pub(crate) repo_type: Option<RepoTypeArg>,
    #[command(flatten)]
    pub(crate) signing: Signing,
    /// The trust policy: its rules hold, and the key must count in it
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: PathBuf,
    /// What was decided before, in TOML, in a file that nobody else may write to: it is not
    /// asked again
    #[arg(long, value_name = "FILE")]
    pub(crate) decisions: Option<PathBuf>,
    /// Write what was decided, for --decisions of the next time. It replaces what was saved before, and
    /// nothing else
    #[arg(long, value_name = "FILE")]
    pub(crate) save_decisions: Option<PathBuf>,
    /// Ask nothing: sign if --decisions answers every question
    #[arg(long, requires = "decisions")]
    pub(crate) yes: bool,
    /// The release's number [default: the one after the release that the store accepted last]
    #[arg(long, value_name = "N", value_parser = sequence)]
    pub(crate) sequence: Option<u64>,
    /// When the signature stops to count, in RFC 3339 [default: `valid_days` of --decisions from now]
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub(crate) expires: Option<Timestamp>,
    /// The policy's type [default: `type` in config.json]
    #[arg(long, value_name = "TYPE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) policy_type: Option<String>,
    /// The robot that the policy is for
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) robot: Option<String>,
    /// Add a signature to this manifest, if this review says the same: release, end and robot are its
    /// own unless they are given, and with --yes they have to be, but for the next release
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Where the manifest goes, too [default: nowhere where one signer is enough, else --manifest, or
    /// policy.dsse.json here]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) html: Html,
}
