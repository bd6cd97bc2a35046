//! What the parameters mean.

use std::path::PathBuf;
use std::time::Duration;

use tensorgate_handoff::Peers;
use tensorgate_verify::{FragmentSize, LeaseSignal, RepoId, Revision};

use super::params::Params;
use crate::load::Wanted;

/// The parameters, understood.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) trust: PathBuf,
    pub(crate) store: Option<PathBuf>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) repo: Option<RepoId>,
    pub(crate) revision: Option<Revision>,
    /// OWNER/NAME@BRANCH on a Hub, where that is used.
    pub(crate) channel: Option<String>,
    /// How often the channel is asked, if not at loads alone.
    pub(crate) update_interval: Option<Duration>,
    pub(crate) fragment_size: FragmentSize,
    /// Weights of more bytes are pulled.
    pub(crate) latch_limit: u64,
    /// The signal of leases, where weights are guarded.
    pub(crate) guard: Option<LeaseSignal>,
    pub(crate) handoff: Option<Handoff>,
}

/// Where the policy is handed over, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct Handoff {
    pub(crate) socket: PathBuf,
    /// Its directory is made where it is missing.
    pub(crate) is_well_known: bool,
    pub(crate) peers: Peers,
}

/// Where a policy is taken from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Store {
        repo: RepoId,
        revision: Revision,
    },
    Manifest(tensorgate_verify::Sha256),
    Directory(PathBuf),
    /// What the channel names.
    Channel,
}

impl Params {
    /// Understands the parameters of the node with this full name, or says which one is wrong and
    /// what it should be.
    pub(super) fn settings(&self, gate: &str) -> Result<Settings, String> {
        if self.trust.is_empty() {
            return Err("parameter `trust` is empty: give the path of a trust.toml".into());
        }
        Ok(Settings {
            trust: PathBuf::from(&self.trust),
            store: path(&self.store),
            state: path(&self.state),
            repo: optional("repo", &self.repo)?,
            revision: optional("revision", &self.revision)?,
            channel: (!self.channel.is_empty()).then(|| self.channel.clone()),
            update_interval: self.update_interval()?,
            fragment_size: self.fragment_size()?,
            latch_limit: u64::from(self.latch_limit_mib) << 20,
            guard: self.guard()?,
            handoff: self.handoff(gate)?,
        })
    }

    /// What the parameters say is to be loaded.
    pub(crate) fn wanted(&self) -> Result<Wanted, String> {
        Ok(Wanted {
            source: self.source()?,
            repo: None,
            revision: None,
        })
    }

    /// Whether the parameter `name`, which can be set while the node runs, means something.
    pub(super) fn refuse_wrong(&self, name: &str) -> Result<(), String> {
        match name {
            "policy" => self.source().map(drop),
            "fragment_size_kib" => self.fragment_size().map(drop),
            "update_interval_s" => self.update_interval().map(drop),
            _ => Ok(()),
        }
    }

    fn source(&self) -> Result<Source, String> {
        match (self.policy.is_empty(), self.channel.is_empty()) {
            (true, false) => Ok(Source::Channel),
            _ => Source::parse(&self.policy),
        }
    }

    fn fragment_size(&self) -> Result<FragmentSize, String> {
        let bytes = self.fragment_size_kib.checked_mul(1024);
        bytes.and_then(FragmentSize::new).ok_or_else(|| {
            let value = self.fragment_size_kib;
            format!("parameter `fragment_size_kib` is {value}: give a power of two from 64 to 8192")
        })
    }

    /// How often the channel is asked, if not at loads alone.
    pub(crate) fn update_interval(&self) -> Result<Option<Duration>, String> {
        match self.update_interval_s {
            0 => Ok(None),
            seconds @ 5.. => Ok(Some(Duration::from_secs(seconds.into()))),
            few => Err(format!(
                "parameter `update_interval_s` is {few}: give 0 for never, or at least 5, for the \
                 Hub's sake"
            )),
        }
    }

    /// How long one status may be relied on.
    pub(crate) const fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms as u64)
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

    fn handoff(&self, gate: &str) -> Result<Option<Handoff>, String> {
        let peers = self.handoff_uids.parse();
        let peers = peers.map_err(|error| format!("parameter `handoff_uids`: {error}"))?;
        let is_well_known = self.handoff == "auto";
        let socket = match is_well_known {
            true => Some(tensorgate_handoff::well_known(gate).ok_or_else(no_place)?),
            false => path(&self.handoff),
        };
        Ok(socket.map(|socket| Handoff {
            socket,
            is_well_known,
            peers,
        }))
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
             or a directory that begins with `/` or `.`; hint: it may be empty where `channel` is given"
        ))
    }
}

fn no_place() -> String {
    "parameter `handoff` is \"auto\", and there is no such place: neither is this root, nor is there \
     an XDG_RUNTIME_DIR, or the node's name is too long; hint: give a path"
        .to_owned()
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
    use std::path::Path;

    use super::*;

    fn with(change: impl FnOnce(&mut Params)) -> Result<Wanted, String> {
        let mut params = Params {
            policy: "/policy".into(),
            trust: "/trust.toml".into(),
            ..Params::default()
        };
        change(&mut params);
        params.settings("/tensorgate")?;
        params.wanted()
    }

    #[test]
    fn a_policy_is_named_in_four_ways() {
        let source = |policy: &str| with(|p| p.policy = policy.into()).unwrap().source;
        assert!(matches!(source("/srv/policy"), Source::Directory(_)));
        assert!(matches!(source("./policy@home"), Source::Directory(_)));
        assert!(matches!(source(&"a".repeat(64)), Source::Manifest(_)));
        let pinned = format!("acme/walk@{}", "0".repeat(40));
        assert!(matches!(source(&pinned), Source::Store { .. }));
        let channel = |p: &mut Params| {
            p.policy.clear();
            p.channel = "acme/walk@main".into();
        };
        assert!(matches!(with(channel).unwrap().source, Source::Channel));
    }

    #[test]
    fn the_hand_off_is_nowhere_at_a_path_or_at_the_well_known_place() {
        let at = |handoff: &str| {
            let params = Params {
                trust: "/trust.toml".into(),
                handoff: handoff.into(),
                ..Params::default()
            };
            params.settings("/robot1/tensorgate").map(|it| it.handoff)
        };
        assert!(at("").unwrap().is_none());
        let given = at("/run/auto").unwrap().unwrap();
        assert!(given.socket == Path::new("/run/auto") && !given.is_well_known);
        match tensorgate_handoff::well_known("/robot1/tensorgate") {
            None => assert!(at("auto").unwrap_err().contains("XDG_RUNTIME_DIR")),
            Some(place) => {
                let found = at("auto").unwrap().unwrap();
                assert!(found.socket == place && found.is_well_known);
            }
        }
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
            (|p| p.update_interval_s = 4, "`update_interval_s` is 4"),
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
