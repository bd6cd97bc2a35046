//! `tensorgate trust check`: what a trust policy would and would not accept, in words.

use jiff::Timestamp;
use serde_json::{Value, json};
use tensorgate_verify::{Code, RepoId, Revoked, Rules, Severity, TrustPolicy, TrustedKey};

use crate::args_operator::Check;
use crate::failure::Failure;
use crate::oms;
use crate::output::Report;
use crate::trust;

pub(crate) fn run(args: &Check) -> Result<Report, Failure> {
    let trust = trust::load(&args.trust)?;
    for oms in trust.oms() {
        oms::anchor(oms, &args.trust)?;
    }
    let now = args.now.unwrap_or_else(Timestamp::now);
    let repo = args.repo.as_ref();
    let standing: Vec<Standing<'_>> = trust
        .keys()
        .iter()
        .map(|key| Standing::of(key, &trust, repo, now))
        .collect();
    let usable = standing.iter().filter(|standing| standing.counts()).count();
    if usable < trust.threshold() {
        return Err(unusable(args, &standing, usable, trust.threshold()));
    }
    let mut prose = vec![format!("{:?} can be used", args.trust)];
    prose.push(format!(
        "  accepts    what {} of the {usable} keys signed that {} now:",
        trust.threshold(),
        repo.map_or_else(|| "count".to_owned(), |repo| format!("speak for {repo}"))
    ));
    prose.extend(
        standing
            .iter()
            .map(|standing| format!("    {}", standing.line())),
    );
    let rules = sentences(&trust, &standing);
    prose.extend(rules.iter().map(|line| format!("  {line}")));
    Ok(Report {
        verdict: Some("done"),
        subject: args.trust.display().to_string(),
        prose,
        notices: apart(&trust, &standing, repo).into_iter().collect(),
        evidence: evidence(&trust, &standing, &rules, now),
        ..Report::default()
    })
}

/// Keys whose repositories differ never sign one manifest together, and which do nobody asked.
fn apart(trust: &TrustPolicy, standing: &[Standing<'_>], repo: Option<&RepoId>) -> Option<String> {
    let needed = repo.is_none() && for_all(standing) < trust.threshold();
    needed.then(|| {
        "keys count together where each speaks for the repository: --repo ID says who does"
            .to_owned()
    })
}

/// How many keys count for whatever repository, and so for lists of revocations.
fn for_all(standing: &[Standing<'_>]) -> usize {
    let for_all = |standing: &&Standing<'_>| standing.counts() && standing.key.repos.is_none();
    standing.iter().filter(for_all).count()
}

/// A key, and why it does not count.
struct Standing<'t> {
    key: &'t TrustedKey,
    against: Option<String>,
}

impl<'t> Standing<'t> {
    fn of(key: &'t TrustedKey, trust: &TrustPolicy, repo: Option<&RepoId>, now: Timestamp) -> Self {
        let revoked = trust
            .revoked()
            .iter()
            .find(|entry| entry.what == Revoked::Key(key.id()));
        let expired = key.not_after.filter(|end| *end <= now);
        let in_scope = match (&key.repos, repo) {
            (Some(globs), Some(repo)) => globs.iter().any(|glob| glob.matches(repo)),
            _ => true,
        };
        let against = if let Some(entry) = revoked {
            Some(format!("key-revoked: {}", entry.reason))
        } else if let Some(end) = expired {
            Some(format!("key-expired: at {end}"))
        } else {
            (!in_scope).then(|| "key-out-of-scope".to_owned())
        };
        Self { key, against }
    }

    const fn counts(&self) -> bool {
        self.against.is_none()
    }

    fn line(&self) -> String {
        let mut line = format!("{:?}, key {}", self.key.name, self.key.id());
        if let Some(end) = self.key.not_after {
            line.push_str(&format!(", until {end}"));
        }
        match &self.key.repos {
            Some(globs) => {
                let globs: Vec<String> = globs.iter().map(ToString::to_string).collect();
                line.push_str(&format!(", for {}", globs.join(" and ")));
            }
            None => line.push_str(", for all repositories, and for lists of revocations"),
        }
        match &self.against {
            Some(why) => format!("{line}; does not count: {why}"),
            None => line,
        }
    }
}

fn unusable(args: &Check, standing: &[Standing<'_>], usable: usize, threshold: usize) -> Failure {
    let against: Vec<String> = standing
        .iter()
        .filter(|standing| !standing.counts())
        .map(Standing::line)
        .collect();
    let detail = format!(
        "{:?} accepts nothing{}: {usable} keys count, {threshold} must sign\n  {}",
        args.trust,
        args.repo
            .as_ref()
            .map(|repo| format!(" of {repo}"))
            .unwrap_or_default(),
        against.join("\n  ")
    );
    Failure::about(&args.trust, detail)
        .hint("add a current key, or widen `repos`; `tensorgate keygen` makes a pair")
}

/// What is refused, a sentence each.
fn sentences(trust: &TrustPolicy, standing: &[Standing<'_>]) -> Vec<String> {
    let Rules { content, .. } = trust.rules();
    let mut lines = vec![
        match (for_all(standing), trust.threshold()) {
            (keys, most) if keys < most => format!(
                "refuses    every list of revocations: {keys} keys count for all repositories, {most} must sign"
            ),
            (keys, most) => format!(
                "accepts    lists of revocations that {most} sign, of the keys for all repositories: {keys}"
            ),
        },
        "refuses    what anybody else signs, and what nobody signs".to_owned(),
        match trust.expired_is() {
            Severity::Deny => "refuses    what is expired".to_owned(),
            _ => "lets pass  what is expired, with a note".to_owned(),
        },
    ];
    if let Some(days) = trust.max_age_days() {
        lines.push(format!(
            "refuses    what was signed {days} days ago or earlier"
        ));
    }
    lines.push("refuses    a release older than the last that was accepted".to_owned());
    if let Some(jump) = trust.max_jump() {
        lines.push(format!(
            "refuses    a sequence more than {jump} above the last"
        ));
    }
    if trust.requires_state() {
        lines.push("demands    a store that `tensorgate store init` made ready".to_owned());
    }
    lines.push(match content.reviewed_code {
        Code::Allow => {
            "lets pass  code that is byte-identical to what the manifest says was reviewed"
                .to_owned()
        }
        _ => "refuses    code, reviewed or not".to_owned(),
    });
    lines.push(match content.non_finite {
        Severity::Deny => "refuses    NaN and infinity in weights".to_owned(),
        _ => "lets pass  NaN and infinity in weights, with a note".to_owned(),
    });
    lines.push(match content.constant_statistics {
        Severity::Deny => "refuses    statistics of dimensions that never changed".to_owned(),
        _ => "lets pass  statistics of dimensions that never changed, with a note".to_owned(),
    });
    if let Some(dtypes) = &content.dtypes {
        let names: Vec<String> = dtypes.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "refuses    tensors of other types than {}",
            names.join(", ")
        ));
    }
    if let Some(kinds) = &content.kinds {
        let names: Vec<String> = kinds.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "refuses    files of other kinds than {}",
            names.join(", ")
        ));
    }
    for entry in trust.revoked() {
        lines.push(format!("refuses    {}: {}", entry.what, entry.reason));
    }
    for oms in trust.oms() {
        let globs: Vec<String> = oms.repos.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "verifies   OpenSSF Model Signing bundles, the weaker evidence, for {}",
            globs.join(" and ")
        ));
    }
    lines
}

fn evidence(
    trust: &TrustPolicy,
    standing: &[Standing<'_>],
    rules: &[String],
    now: Timestamp,
) -> Value {
    let key = |standing: &Standing<'_>| {
        let TrustedKey {
            name,
            not_after,
            repos,
            ..
        } = standing.key;
        let repos = repos
            .as_ref()
            .map(|globs| globs.iter().map(ToString::to_string).collect::<Vec<_>>());
        json!({
            "name": name,
            "key": standing.key.id().to_string(),
            "not_after": not_after,
            "repos": repos,
            "counts": standing.counts(),
            "against": standing.against,
        })
    };
    json!({
        "trust_policy": trust.digest().to_string(),
        "threshold": trust.threshold(),
        "keys": standing.iter().map(key).collect::<Vec<_>>(),
        "now": now.to_string(),
        "rules": rules,
    })
}
