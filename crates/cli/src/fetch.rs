//! `tensorgate fetch`: bytes from a Hub into quarantine and, with a manifest, out of it.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use serde_json::{Value, json};
use tensorgate_hub::{
    At, Config, Fetched, Hub, Progress, Request, Target, Token, XET_ENVIRONMENT, fetch,
};
use tensorgate_store::Store;
use tensorgate_verify::{Context, Limits, MANIFEST_FILE, Proof, SignedManifest};

use crate::args::Fetch;
use crate::disk;
use crate::failure::Failure;
use crate::output::{Report, say};
use crate::progress;
use crate::text::{count, thousands};
use crate::trust;
use crate::verify::{evidence_json, evidence_lines};

pub(crate) fn run(args: &Fetch, json: bool) -> Result<Report, Failure> {
    keep_quiet_about_transfers();
    let target: Target = args.target.parse()?;
    let config = config(args)?;
    let hub = match config.offline {
        true => None,
        false => Some(Hub::new(&config)?),
    };
    let place = match &args.store {
        Some(place) => place.clone(),
        None => Store::default_location()?,
    };
    let store = Store::open(&place)?.on_wait(move |lock| {
        if !json {
            say(&format!(
                "note: another process has {lock:?}; waiting for it"
            ));
        }
    });
    let progress = progress::choose(json);
    let session = Session {
        store,
        hub,
        progress: progress.as_ref(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::about(&place, format!("no runtime: {error}")))?;
    runtime.block_on(session.fetch(args, target))
}

/// Hubs may hand a body to the xet transport, which reports each transfer to its server unless its
/// environment says otherwise. A process cannot change its own environment while it runs, so it
/// starts over with another one; what the user has set stays.
fn keep_quiet_about_transfers() {
    let missing: Vec<_> = XET_ENVIRONMENT
        .into_iter()
        .filter(|(name, _)| std::env::var_os(name).is_none())
        .collect();
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    if !missing.is_empty() {
        let mut arguments = std::env::args_os();
        let mut again = Command::new(program);
        again.arg0(arguments.next().unwrap_or_default());
        // It returns only if it failed; then the transfer is no less correct.
        drop(again.args(arguments).envs(missing).exec());
    }
}

fn config(args: &Fetch) -> Result<Config, Failure> {
    let mut config = Config::from_env()?;
    if let Some(endpoint) = &args.endpoint {
        config.endpoint = endpoint.parse()?;
    }
    if let Some(file) = &args.token_file {
        config.token = Some(Token::from_file(file.clone())?);
    }
    config.offline |= args.offline;
    Ok(config)
}

/// What every step of a fetch needs.
struct Session<'a> {
    store: Store,
    hub: Option<Hub>,
    progress: &'a dyn Progress,
}

impl Session<'_> {
    async fn fetch(&self, args: &Fetch, target: Target) -> Result<Report, Failure> {
        let asked = target.clone();
        let target = self.pin(target).await?;
        let mut report = match (&args.manifest, &args.trust) {
            (Some(manifest), Some(trust)) => self.signed(&target, manifest, trust).await?,
            _ => self.unsigned(&target).await?,
        };
        let revision = match &target.at {
            At::Commit(revision) => Some(revision.as_str()),
            _ => None,
        };
        report.subject = target.to_string();
        report.more.insert("asked".into(), asked.to_string().into());
        report.more.insert("revision".into(), revision.into());
        Ok(report)
    }

    /// A branch or tag is looked up once, shown, and pinned.
    async fn pin(&self, target: Target) -> Result<Target, Failure> {
        let (At::Name(name), Some(hub)) = (&target.at, &self.hub) else {
            return Ok(target);
        };
        let repository = hub.repository_of(&target);
        let revision = repository.resolve(name, self.progress).await?;
        self.progress
            .notice(&format!("resolved {name} to {revision}, pinned"));
        Ok(target.clone().pinned(revision))
    }

    /// Without a manifest nothing can be verified: the files stay in quarantine.
    async fn unsigned(&self, target: &Target) -> Result<Report, Failure> {
        let fetched = self.download(Request::new(target)).await?;
        let path = fetched.path.display();
        let mut report = Report {
            verdict: Some("fetched"),
            prose: vec![format!("fetched: {:?}, untrusted", target.to_string())],
            data: format!("{path}\n"),
            ..Report::default()
        };
        describe(&mut report, &fetched, "no file of a policy has this name");
        report.more.insert("path".into(), path.to_string().into());
        Ok(report)
    }

    /// Authenticates the manifest, fetches what it lists, proves every byte, and keeps that.
    async fn signed(
        &self,
        target: &Target,
        manifest: &str,
        trust: &Path,
    ) -> Result<Report, Failure> {
        let limits = Limits::default();
        let trust = trust::load(trust)?;
        let signed = self.envelope(manifest, &limits).await?;
        let manifest = trust.authenticate(&signed, &self.context(target))?;
        let fetched = self.download(Request::signed(target, &manifest)).await?;
        let policy = manifest.open(&fetched.directory()?, Proof::Tensors, &limits)?;
        let kept = self.store.admit(&policy)?;
        self.store.record_accepted(policy.evidence())?;
        let mut report = Report {
            verdict: Some("verified"),
            prose: vec![format!("verified: {:?}", target.to_string())],
            data: format!("{}\n", kept.path().display()),
            evidence: evidence_json(policy.evidence()),
            ..Report::default()
        };
        report.prose.extend(evidence_lines(policy.evidence()));
        describe(&mut report, &fetched, "not in the manifest");
        let path = kept.path().display().to_string();
        report.more.insert("path".into(), path.into());
        Ok(report)
    }

    fn context<'a>(&'a self, target: &'a Target) -> Context<'a> {
        let mut context = Context::new(Timestamp::now());
        context.history = Some(self.store.state());
        context.repo = Some(&target.repo);
        if let At::Commit(revision) = &target.at {
            context.revision = Some(revision);
        }
        context
    }

    /// The manifest from a file or, where there is none of this name, from a Hub.
    async fn envelope(&self, place: &str, limits: &Limits) -> Result<SignedManifest, Failure> {
        let path = Path::new(place);
        if path.exists() || !place.contains('@') {
            return disk::manifest_at(path, limits);
        }
        let target = self.pin(place.parse()?).await?;
        let (At::Commit(revision), Some(hub)) = (&target.at, &self.hub) else {
            let detail =
                format!("the manifest {place:?} is on a Hub, and the network is not to be used");
            return Err(Failure::about(path, detail).hint("give --manifest FILE"));
        };
        let repository = hub.repository_of(&target);
        let file = MANIFEST_FILE.parse()?;
        let bytes = repository
            .small_file(revision, &file, limits.manifest_bytes, self.progress)
            .await
            .map_err(|error| Failure::from(error).or_hint(MANIFEST_PLACE))?;
        Ok(SignedManifest::parse(&bytes, limits)?)
    }

    async fn download(&self, request: Request<'_>) -> Result<Fetched, Failure> {
        Ok(fetch(&self.store, self.hub.as_ref(), request, self.progress).await?)
    }
}

const MANIFEST_PLACE: &str = "--manifest REPO@REV takes policy.dsse.json at that commit; --manifest FILE takes one from here";

/// What came, and what did not and why.
fn describe(report: &mut Report, fetched: &Fetched, why_left_out: &str) {
    let bytes: u64 = fetched.files.iter().map(|file| file.size).sum();
    let origin = match fetched.from_store {
        true => "all in the store, read again".to_owned(),
        false => format!("{} received now", thousands(fetched.bytes)),
    };
    report.prose.push(format!(
        "  files      {}, {} bytes, {origin}",
        count(fetched.files.len(), "file"),
        thousands(bytes)
    ));
    for path in &fetched.left_out {
        report
            .prose
            .push(format!("  left out   {path}: {why_left_out}"));
    }
    let file = |file: &tensorgate_store::Recorded| json!({ "path": file.path, "size": file.size, "sha256": file.sha256, "blake3": file.blake3 });
    let left_out = |path| json!({ "path": path, "reason": why_left_out });
    let more = [
        ("files", fetched.files.iter().map(file).collect::<Value>()),
        ("left_out", fetched.left_out.iter().map(left_out).collect()),
        ("bytes", bytes.into()),
        ("bytes_received", fetched.bytes.into()),
        ("from_store", fetched.from_store.into()),
    ];
    report
        .more
        .extend(more.map(|(name, value)| (name.to_owned(), value)));
}
