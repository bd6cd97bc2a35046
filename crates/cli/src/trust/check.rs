//! `tensorgate trust check`: what a trust policy would and would not accept, in words.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use tensorgate_verify::{Code, ContentRules, RepoId, Revoked, Severity, TrustPolicy, TrustedKey};

use crate::args::operator::Check;
use crate::failure::Failure;
use crate::oms;
use crate::output::Report;
use crate::text::count;
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
    let usable = usable(&standing, &trust, &args.trust, repo)?;
    let mut prose = vec![format!("{:?} can be used", args.trust)];
    prose.push(format!(
        "  accepts    what is signed by {} of {} that {} now:",
        trust.threshold(),
        count(usable, "key"),
        match repo {
            None => verb(usable, "count"),
            Some(repo) => format!("{} for {repo}", verb(usable, "speak")),
        }
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

/// Refuses a trust policy under which nothing can be accepted.
pub(crate) fn require_usable(
    trust: &TrustPolicy,
    file: &Path,
    now: Timestamp,
) -> Result<(), Failure> {
    for oms in trust.oms() {
        oms::anchor(oms, file)?;
    }
    let keys = trust.keys().iter();
    let standing: Vec<_> = keys
        .map(|key| Standing::of(key, trust, None, now))
        .collect();
    usable(&standing, trust, file, None).map(drop)
}

/// How many keys count: as many as must sign, at least.
fn usable(
    standing: &[Standing<'_>],
    trust: &TrustPolicy,
    file: &Path,
    repo: Option<&RepoId>,
) -> Result<usize, Failure> {
    let usable = standing.iter().filter(|standing| standing.counts()).count();
    match usable < trust.threshold() {
        true => Err(unusable(standing, usable, trust.threshold(), (file, repo))),
        false => Ok(usable),
    }
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
pub(crate) struct Standing<'t> {
    pub(crate) key: &'t TrustedKey,
    pub(crate) against: Option<String>,
}

impl<'t> Standing<'t> {
    pub(crate) fn of(
        key: &'t TrustedKey,
        trust: &TrustPolicy,
        repo: Option<&RepoId>,
        now: Timestamp,
    ) -> Self {
        let revoked = trust
            .revoked()
            .iter()
            .find(|entry| entry.what == Revoked::Key(key.id()));
        let in_scope = repo.is_none() || key.speaks_for(repo);
        let against = if let Some(entry) = revoked {
            Some(format!("key-revoked: {}", entry.reason))
        } else if let Some(end) = key.expired(now) {
            Some(format!("key-expired: at {end}"))
        } else {
            (!in_scope).then(|| "key-out-of-scope".to_owned())
        };
        Self { key, against }
    }

    pub(crate) const fn counts(&self) -> bool {
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

fn unusable(
    standing: &[Standing<'_>],
    usable: usize,
    threshold: usize,
    (file, repo): (&Path, Option<&RepoId>),
) -> Failure {
    let against: Vec<String> = standing
        .iter()
        .filter(|standing| !standing.counts())
        .map(Standing::line)
        .collect();
    let detail = format!(
        "{:?} accepts nothing{}: {} {}, {threshold} must sign\n  {}",
        file,
        repo.map(|repo| format!(" of {repo}")).unwrap_or_default(),
        count(usable, "key"),
        verb(usable, "count"),
        against.join("\n  ")
    );
    Failure::about(file, detail)
        .hint("add a current key, or widen `repos`; `tensorgate keygen` makes a pair")
}

/// What is refused, a sentence each.
fn sentences(trust: &TrustPolicy, standing: &[Standing<'_>]) -> Vec<String> {
    let mut lines = of_signatures(trust, standing);
    lines.extend(of_the_past(trust));
    lines.extend(of_content(&trust.rules().content));
    let revoked = trust.revoked().iter();
    lines.extend(revoked.map(|entry| format!("refuses    {}: {}", entry.what, entry.reason)));
    let oms = trust.oms().iter().map(|oms| {
        let repos = listed(&oms.repos, " and ");
        format!("verifies   OpenSSF Model Signing bundles, the weaker evidence, for {repos}")
    });
    lines.extend(oms);
    lines
}

fn of_signatures(trust: &TrustPolicy, standing: &[Standing<'_>]) -> Vec<String> {
    let (all, most) = (for_all(standing), trust.threshold());
    let (keys, do_count) = (count(all, "key"), verb(all, "count"));
    let lists = if all < most {
        format!(
            "refuses    every list of revocations: {keys} {do_count} for all repositories, {most} must sign"
        )
    } else {
        format!(
            "accepts    lists of revocations signed by {most} of {keys} that {do_count} for all repositories"
        )
    };
    let expired = match trust.expired_is() {
        Severity::Deny => "refuses    what is expired",
        _ => "lets pass  what is expired, with a note",
    };
    let others = "refuses    what anybody else signs, and what nobody signs";
    let mut lines = vec![lists, others.to_owned(), expired.to_owned()];
    let age = trust.max_age_days();
    lines.extend(age.map(|days| format!("refuses    what was signed {days} days ago or earlier")));
    lines
}

fn of_the_past(trust: &TrustPolicy) -> Vec<String> {
    let mut lines = vec!["refuses    a release older than the last that was accepted".to_owned()];
    let jump = trust.max_jump();
    lines.extend(jump.map(|jump| format!("refuses    a sequence more than {jump} above the last")));
    if trust.requires_state() {
        lines.push("demands    a store that `tensorgate store init` made ready".to_owned());
    }
    lines
}

fn of_content(content: &ContentRules) -> Vec<String> {
    let mut lines = vec![match content.reviewed_code {
        Code::Allow => {
            "lets pass  code that is byte-identical to what the manifest says was reviewed"
                .to_owned()
        }
        _ => "refuses    code, reviewed or not".to_owned(),
    }];
    for (severity, what) in [
        (content.non_finite, "NaN and infinity in weights"),
        (
            content.constant_statistics,
            "statistics of dimensions that never changed",
        ),
    ] {
        lines.push(match severity {
            Severity::Deny => format!("refuses    {what}"),
            _ => format!("lets pass  {what}, with a note"),
        });
    }
    let dtypes = content.dtypes.as_ref();
    lines.extend(dtypes.map(|all| {
        format!(
            "refuses    tensors of other types than {}",
            listed(all, ", ")
        )
    }));
    let kinds = content.kinds.as_ref();
    lines.extend(
        kinds.map(|all| format!("refuses    files of other kinds than {}", listed(all, ", "))),
    );
    lines
}

/// What one does, or many do.
fn verb(n: usize, what: &str) -> String {
    format!("{what}{}", if n == 1 { "s" } else { "" })
}

fn listed<'a, T: ToString + 'a>(all: impl IntoIterator<Item = &'a T>, between: &str) -> String {
    let all: Vec<String> = all.into_iter().map(ToString::to_string).collect();
    all.join(between)
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
