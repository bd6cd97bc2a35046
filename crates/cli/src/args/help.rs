//! Commands that help with the command itself: `doctor`, `completions` and `man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Look over this machine and say what to fix: ROS, store, trust, clock, memory and Hub
///
/// Each line is ok, warn, fail or skipped: what was seen and, beneath, what to do. Nothing is changed:
/// in a store that is there and yours, one small file is made and removed, to try whether its file
/// system can guard weights. The endpoint is asked once. Tokens are never shown.
///
/// Exit status 2 where anything fails, else 0.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  tensorgate doctor --trust /etc/tensorgate/trust.toml
  tensorgate doctor --offline --json")]
pub(crate) struct Doctor {
    /// The trust policy: whose signatures count
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// The store [default: TENSORGATE_STORE, else the user's data directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// The Hub or a mirror [default: HF_ENDPOINT, else the public Hub]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Ask no network
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Print what makes a shell complete this command at the Tab key
///
/// The script goes to standard output. Where a shell looks for it is in the examples.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  tensorgate completions bash > ~/.local/share/bash-completion/completions/tensorgate
  tensorgate completions zsh > ~/.zfunc/_tensorgate
  tensorgate completions fish > ~/.config/fish/completions/tensorgate.fish")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// Print the manual page, or write one for each subcommand into a directory
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  tensorgate man | man -l -
  tensorgate man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Where the pages go, tensorgate.1 and one for each subcommand; the directory is made if it is
    /// not there [default: tensorgate.1 to standard output]
    pub(crate) dir: Option<PathBuf>,
}
