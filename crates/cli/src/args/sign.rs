//! What may stand on the command line of `sign`: a release for a manifest, none for a bundle.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgGroup, ArgMatches, Args, Id, ValueEnum};
use jiff::Timestamp;
use tensorgate_verify::{RepoId, Revision};

use crate::args::{RepoTypeArg, instant, revision, sequence};

/// Check a policy's files and sign what they are
///
/// Writes DIR/policy.dsse.json. Where an equal manifest is there already, the signature is added
/// to it. Nothing is written if any file is rejected. Whether the code that --externals vouches for
/// may pass is for each robot's trust policy to say.
///
/// With --format oms it writes DIR/model.sig, by a key on P-256, which says less: that these are the
/// files, and nothing of repository, commit, order or end.
#[derive(Args, Debug)]
#[command(
    override_usage = "\
tensorgate sign [OPTIONS] <--key <FILE>|--agent <FILE>> --repo <ID> --revision <HEX> --sequence <N> --expires <INSTANT> <DIR>
       tensorgate sign --format oms --key <FILE> <DIR>",
    after_help = "Examples:
  tensorgate sign walk --key release-2026.key.pem --repo acme/walk \\
      --revision 0123456789abcdef0123456789abcdef01234567 \\
      --sequence 1 --expires 2027-11-01T00:00:00Z

  ssh-add ~/.ssh/id_ed25519
  tensorgate sign walk --agent ~/.ssh/id_ed25519.pub --repo acme/walk \\
      --revision 0123456789abcdef0123456789abcdef01234567 \\
      --sequence 1 --expires 2027-11-01T00:00:00Z

  openssl ecparam -name prime256v1 -genkey -noout -out ec.key.pem
  tensorgate sign walk --format oms --key ec.key.pem"
)]
pub(crate) struct Sign {
    /// The policy's directory
    pub(crate) dir: PathBuf,
    /// What is written: a manifest, or the weaker bundle of OpenSSF Model Signing
    #[arg(long, default_value = "tensorgate")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) signing: Signing,
    /// What kind of repository the files are of
    #[arg(long, value_name = "TYPE", default_value = "model")]
    pub(crate) repo_type: RepoTypeArg,
    #[command(flatten)]
    pub(crate) release: Option<Release>,
    /// Where it goes [default: DIR/policy.dsse.json, for OMS DIR/model.sig]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

// Who signs; a doc comment would become the command's.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("signer").args(["key", "agent"]).required(true))]
pub(crate) struct Signing {
    /// The private key, in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// The public key, in PEM or as OpenSSH has it, of an ed25519 key that the ssh-agent keeps
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub(crate) agent: Option<PathBuf>,
    /// The passphrase of an encrypted private key [default: it is asked for, on a terminal]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// What `sign` writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    Tensorgate,
    Oms,
}

// What a manifest says beside the files, and a bundle has no place for; a doc comment would become
// the command's. `required_if_eq` alone would not see the default of --format.
#[derive(Args, Debug)]
pub(crate) struct Release {
    /// The Hub repository that the files are from, OWNER/NAME
    #[arg(long, value_name = "ID")]
    #[arg(
        required = false,
        required_unless_present = "format",
        required_if_eq("format", "tensorgate")
    )]
    pub(crate) repo: RepoId,
    /// The commit that the files are at, 40 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = revision)]
    #[arg(
        required = false,
        required_unless_present = "format",
        required_if_eq("format", "tensorgate")
    )]
    pub(crate) revision: Revision,
    /// The release's number; robots refuse one that is lower than they have seen
    #[arg(long, value_name = "N", value_parser = sequence, allow_negative_numbers = true)]
    #[arg(
        required = false,
        required_unless_present = "format",
        required_if_eq("format", "tensorgate")
    )]
    pub(crate) sequence: u64,
    /// When the signature stops to count, in RFC 3339
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    #[arg(
        required = false,
        required_unless_present = "format",
        required_if_eq("format", "tensorgate")
    )]
    pub(crate) expires: Timestamp,
    /// The policy's type [default: `type` in config.json]
    #[arg(long, value_name = "TYPE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) policy_type: Option<String>,
    /// The robot that the policy is for
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) robot: Option<String>,
    /// What loading the policy would pull in, and what code was reviewed (see `audit --help`), in a file
    /// that nobody else may write to
    #[arg(long, value_name = "FILE")]
    pub(crate) externals: Option<PathBuf>,
    /// Put the new manifest in place of a different one, which must be a manifest
    #[arg(long)]
    pub(crate) replace: bool,
}

/// What clap cannot say: that options conflict with one value of another.
pub(crate) fn refuse_release_of_oms(
    command: &mut clap::Command,
    matches: &ArgMatches,
) -> Result<(), clap::Error> {
    const RELEASE: &str = "Release";
    let sign = command.find_subcommand_mut("sign");
    let (Some(sign), Some(typed)) = (sign, matches.subcommand_matches("sign")) else {
        return Ok(());
    };
    if typed.get_one("format") != Some(&Format::Oms) || !typed.contains_id(RELEASE) {
        return Ok(());
    }
    let ids: Vec<&Id> = typed.get_many(RELEASE).into_iter().flatten().collect();
    let options = sign
        .get_arguments()
        .filter(|option| ids.contains(&option.get_id()));
    let options = options.map(ToString::to_string).collect();
    let tip = "OpenSSF Model Signing has no place for what these say";
    let mut error = clap::Error::new(ErrorKind::ArgumentConflict).with_cmd(sign);
    error.insert(
        ContextKind::InvalidArg,
        ContextValue::String("--format oms".to_owned()),
    );
    error.insert(ContextKind::PriorArg, ContextValue::Strings(options));
    error.insert(
        ContextKind::Suggested,
        ContextValue::StyledStrs(vec![tip.into()]),
    );
    Err(error)
}
