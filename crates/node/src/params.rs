//! What the node can be told: its ROS parameters.

use std::path::PathBuf;

use r2r::indexmap::IndexMap;
use r2r::{Parameter, ParameterValue, RosParams};
use tensorgate_handoff::Peers;
use tensorgate_verify::{FragmentSize, LeaseSignal, RepoId, Revision};

use crate::load::Wanted;

/// The parameters as `ros2 param describe` shows them. They are read once, at start; relative
/// paths are those of the directory that the node was started in.
#[derive(Clone, Debug, RosParams)]
pub(crate) struct Params {
    /// Policy to publish: OWNER/NAME@COMMIT or a manifest's SHA-256, both from the store, or a directory that holds policy.dsse.json
    pub(crate) policy: String,
    /// Trust policy: path of trust.toml
    pub(crate) trust: String,
    /// Store directory, which may be read-only if `state` is not; empty = $TENSORGATE_STORE, else /var/lib/tensorgate (root) or the user's data directory
    pub(crate) store: String,
    /// Directory that remembers the newest release accepted, which must be writable; empty = the store's own
    pub(crate) state: String,
    /// Repository that the manifest must speak of; empty = any
    pub(crate) repo: String,
    /// Commit that the manifest must speak of (40 hex digits); empty = any
    pub(crate) revision: String,
    /// Payload of one fragment (KiB): a power of two from 64 to 8192
    pub(crate) fragment_size_kib: u32,
    /// How long controllers may rely on one status (ms): 200 to 5000; one is sent each 100 ms
    pub(crate) lease_ms: u32,
    /// How weights are held: guarded = as pages of their file, under a lease, moved into memory when somebody writes to it; sealed = always as a copy in memory
    pub(crate) hold: String,
    /// Real-time signal by which the kernel tells one thread that somebody wants to write to a guarded file; nothing else in the process may use it
    pub(crate) hold_signal: u32,
    /// Path of a Unix socket through which controllers on this machine get the policy's pages instead of copies; nobody else may write to its directory; empty = none
    pub(crate) handoff: String,
    /// Users who get it there: numbers separated by commas; empty = the node's own user and root
    pub(crate) handoff_uids: String,
}

/// The parameters as the ROS services know them: to be read, not to be set.
#[derive(Debug, Default)]
pub(crate) struct Fixed(pub(crate) Params);

/// The parameters, understood.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) trust: PathBuf,
    pub(crate) store: Option<PathBuf>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) repo: Option<RepoId>,
    pub(crate) revision: Option<Revision>,
    pub(crate) fragment_size: FragmentSize,
    /// The signal of leases, where weights are guarded.
    pub(crate) guard: Option<LeaseSignal>,
    pub(crate) handoff: Option<Handoff>,
}

/// Where the policy is handed over, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct Handoff {
    pub(crate) socket: PathBuf,
    pub(crate) peers: Peers,
}

/// Where a policy is taken from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Store { repo: RepoId, revision: Revision },
    Manifest(tensorgate_verify::Sha256),
    Directory(PathBuf),
}

impl Default for Params {
    fn default() -> Self {
        let empty = String::new;
        Self {
            policy: empty(),
            trust: empty(),
            store: empty(),
            state: empty(),
            repo: empty(),
            revision: empty(),
            fragment_size_kib: FragmentSize::DEFAULT.bytes() >> 10,
            lease_ms: 500,
            hold: "guarded".to_owned(),
            hold_signal: LeaseSignal::default().number().cast_unsigned(),
            handoff: empty(),
            handoff_uids: empty(),
        }
    }
}

impl Params {
    /// Every name, to tell one that is misspelt.
    pub(crate) const NAMES: [&str; 12] = [
        "policy",
        "trust",
        "store",
        "state",
        "repo",
        "revision",
        "fragment_size_kib",
        "lease_ms",
        "hold",
        "hold_signal",
        "handoff",
        "handoff_uids",
    ];

    /// Understands the parameters, or says which one is wrong and what it should be.
    pub(crate) fn settings(&self) -> Result<Settings, String> {
        let fragment_size = self
            .fragment_size_kib
            .checked_mul(1024)
            .and_then(FragmentSize::new);
        let fragment_size = fragment_size.ok_or_else(|| {
            let value = self.fragment_size_kib;
            format!("parameter `fragment_size_kib` is {value}: give a power of two from 64 to 8192")
        })?;
        if self.trust.is_empty() {
            return Err("parameter `trust` is empty: give the path of a trust.toml".into());
        }
        if !(200..=5000).contains(&self.lease_ms) {
            return Err(format!(
                "parameter `lease_ms` is {}: below 200 a single late status would stop the robot, \
                 above 5000 a robot would drive on for long without its gate",
                self.lease_ms
            ));
        }
        Ok(Settings {
            trust: PathBuf::from(&self.trust),
            store: path(&self.store),
            state: path(&self.state),
            repo: optional("repo", &self.repo)?,
            revision: optional("revision", &self.revision)?,
            fragment_size,
            guard: self.guard()?,
            handoff: self.handoff()?,
        })
    }

    /// What the parameters say is to be loaded.
    pub(crate) fn wanted(&self) -> Result<Wanted, String> {
        Ok(Wanted {
            source: Source::parse(&self.policy)?,
            repo: None,
            revision: None,
        })
    }

    fn guard(&self) -> Result<Option<LeaseSignal>, String> {
        match self.hold.as_str() {
            "sealed" => Ok(None),
            "guarded" => {
                let signal = i32::try_from(self.hold_signal).ok();
                let signal = signal.and_then(LeaseSignal::new);
                let wrong = || {
                    format!(
                        "parameter `hold_signal` is {}: give a real-time signal's number, such as {}",
                        self.hold_signal,
                        LeaseSignal::default().number()
                    )
                };
                signal.map(Some).ok_or_else(wrong)
            }
            other => Err(format!(
                "parameter `hold` is {other:?}: give `guarded` or `sealed`"
            )),
        }
    }

    fn handoff(&self) -> Result<Option<Handoff>, String> {
        let peers = self.handoff_uids.parse();
        let peers = peers.map_err(|error| format!("parameter `handoff_uids`: {error}"))?;
        let socket = path(&self.handoff);
        Ok(socket.map(|socket| Handoff { socket, peers }))
    }
}

impl RosParams for Fixed {
    fn register_parameters(
        &mut self,
        prefix: &str,
        parameter: Option<Parameter>,
        all: &mut IndexMap<String, Parameter>,
    ) -> r2r::Result<()> {
        self.0.register_parameters(prefix, parameter, all)
    }

    fn get_parameter(&mut self, name: &str) -> r2r::Result<ParameterValue> {
        self.0.get_parameter(name)
    }

    fn set_parameter(&mut self, name: &str, value: &ParameterValue) -> r2r::Result<()> {
        self.check_parameter(name, value)
    }

    fn check_parameter(&self, name: &str, value: &ParameterValue) -> r2r::Result<()> {
        self.0.check_parameter(name, value)?;
        Err(r2r::Error::ParameterValueConv {
            name: name.to_owned(),
            msg: "it is read once, at start; hint: start the node again with the new value".into(),
        })
    }
}

impl Source {
    /// Understands the parameter `policy`, or the field of that name of a request.
    pub(crate) fn parse(policy: &str) -> Result<Self, String> {
        if let Ok(digest) = policy.parse() {
            return Ok(Self::Manifest(digest));
        }
        if let Some((repo, revision)) = policy.split_once('@')
            && let Ok(repo) = repo.parse()
        {
            let revision = revision
                .parse::<Revision>()
                .map_err(|error| format!("parameter `policy`: {error}"))?;
            return Ok(Self::Store { repo, revision });
        }
        if policy.starts_with(['/', '.']) {
            return Ok(Self::Directory(PathBuf::from(policy)));
        }
        Err(format!(
            "parameter `policy` is {policy:?}: give OWNER/NAME@COMMIT, a manifest's SHA-256, \
             or a directory that begins with `/` or `.`"
        ))
    }
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

fn optional<T: std::str::FromStr>(name: &str, text: &str) -> Result<Option<T>, String>
where
    T::Err: std::fmt::Display,
{
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|error| format!("parameter `{name}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Params)) -> Result<Wanted, String> {
        let mut params = Params {
            policy: "/policy".into(),
            trust: "/trust.toml".into(),
            ..Params::default()
        };
        change(&mut params);
        params.settings()?;
        params.wanted()
    }

    #[test]
    fn a_policy_is_named_in_three_ways() {
        let source = |policy: &str| with(|p| p.policy = policy.into()).unwrap().source;
        assert!(matches!(source("/srv/policy"), Source::Directory(_)));
        assert!(matches!(source("./policy@home"), Source::Directory(_)));
        assert!(matches!(source(&"a".repeat(64)), Source::Manifest(_)));
        let pinned = format!("acme/walk@{}", "0".repeat(40));
        assert!(matches!(source(&pinned), Source::Store { .. }));
    }

    #[test]
    fn wrong_parameters_are_named() {
        type Change = fn(&mut Params);
        let cases: [(Change, &str); 10] = [
            (|p| p.policy.clear(), "`policy` is \"\""),
            (
                |p| p.policy = "acme/walk@main".into(),
                "revision-not-pinned",
            ),
            (|p| p.trust.clear(), "`trust` is empty"),
            (|p| p.repo = "walk".into(), "`repo`"),
            (|p| p.revision = "main".into(), "`revision`"),
            (|p| p.fragment_size_kib = 100, "`fragment_size_kib` is 100"),
            (|p| p.lease_ms = 0, "`lease_ms` is 0"),
            (|p| p.hold = "mapped".into(), "`hold` is \"mapped\""),
            (|p| p.hold_signal = 9, "`hold_signal` is 9"),
            (
                |p| p.handoff_uids = "robot".into(),
                "`handoff_uids`: \"robot\"",
            ),
        ];
        for (change, expected) in cases {
            let message = with(change).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
