//! `tensorgate fetch`: bytes from a Hub into quarantine and, with a manifest, out of it.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use tensorgate_hub::{
    At, Config, FetchError, Fetched, Hub, Progress, Request, Target, Token, fetch,
};
use tensorgate_store::Store;
use tensorgate_verify::{
    Context, Error, Limits, MANIFEST_FILE, Manifest, Proof, Rejection, RepoType, SignedManifest,
    TrustPolicy, Verified,
};
use tokio::runtime::{self, Runtime};

use crate::args::{Fetch, RepoTypeArg, Source};
use crate::disk;
use crate::failure::Failure;
use crate::keys;
use crate::memory;
use crate::output::{Report, say_waiting};
use crate::progress;
use crate::text::{count, thousands, total};
use crate::trust;
use crate::verify::{evidence_json, evidence_lines};

pub(crate) fn run(args: &Fetch, json: bool) -> Result<Report, Failure> {
    let target = target(&args.target, args.repo_type)?;
    let (session, runtime) = Session::open(&args.source, json)?;
    runtime.block_on(session.fetch(args, target))
}

/// Fetches the files at a commit, or at a name that is pinned first; nobody vouches for them.
pub(crate) fn untrusted(
    target: Target,
    source: &Source,
    json: bool,
) -> Result<(Target, Fetched), Failure> {
    let (session, runtime) = Session::open(source, json)?;
    runtime.block_on(async {
        let target = session.pin(target).await?;
        let fetched = session.download(Request::new(&target)).await?;
        Ok((target, fetched))
    })
}

/// What is asked for. A type that is given must be that of the name, if the name says one.
pub(crate) fn target(text: &str, repo_type: Option<RepoTypeArg>) -> Result<Target, Failure> {
    let mut target: Target = text.parse()?;
    match (repo_type.map(RepoType::from), target.repo_type) {
        (Some(RepoType::Model), RepoType::Dataset) => {
            let detail = format!("{text:?} names a dataset, --repo-type a model");
            return Err(Failure::about(Path::new(text), detail).hint("leave out one of them"));
        }
        (Some(given), _) => target.repo_type = given,
        (None, _) => {}
    }
    Ok(target)
}

fn config(source: &Source) -> Result<Config, Failure> {
    let mut config = Config::from_env()?;
    if let Some(endpoint) = &source.endpoint {
        config.endpoint = endpoint.parse()?;
    }
    if let Some(file) = &source.token_file {
        let text = keys::secret(file, "token")?;
        config.token = Some(Token::new(&text, &file.display().to_string())?);
    }
    config.offline |= source.offline;
    Ok(config)
}

/// What every step of a fetch needs.
struct Session {
    store: Store,
    hub: Option<Hub>,
    progress: Box<dyn Progress>,
}

impl Session {
    /// With the runtime that its steps run on.
    fn open(source: &Source, json: bool) -> Result<(Self, Runtime), Failure> {
        let config = config(source)?;
        let hub = Hub::unless_offline(&config)?;
        let place = match &source.store {
            Some(place) => place.clone(),
            None => Store::default_location()?,
        };
        let store = Store::open(&place)?.on_wait(move |lock| say_waiting(json, lock));
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::about(&place, format!("no runtime: {error}")))?;
        let progress = progress::choose(json);
        Ok((
            Self {
                store,
                hub,
                progress,
            },
            runtime,
        ))
    }

    async fn fetch(&self, args: &Fetch, target: Target) -> Result<Report, Failure> {
        let asked = target.clone();
        let target = self.pin(target).await?;
        let mut report = match (&args.manifest, &args.trust) {
            (Some(manifest), Some(trust)) => self.signed(&target, manifest, trust).await?,
            _ => unsigned(&target, &self.download(Request::new(&target)).await?),
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
        let revision = repository.resolve(name, self.progress.as_ref()).await?;
        self.progress
            .notice(&format!("resolved {name} to {revision}, pinned"));
        Ok(target.clone().pinned(revision))
    }

    /// Authenticates the manifest, fetches what it lists, proves every byte, and keeps that.
    async fn signed(
        &self,
        target: &Target,
        manifest: &str,
        trust: &Path,
    ) -> Result<Report, Failure> {
        let trust = trust::load(trust)?;
        let limits = trust.limits();
        let signed = self.envelope(manifest, limits).await?;
        let manifest = authenticate(&self.store, target, &trust, &signed)?;
        let fetched = self.download(Request::signed(target, &manifest)).await?;
        keep(&self.store, target, &trust, manifest, &fetched)
    }

    /// The manifest from a file or, where there is none of this name, from a Hub.
    async fn envelope(&self, place: &str, limits: &Limits) -> Result<SignedManifest, Failure> {
        let path = Path::new(place);
        let target = match place.parse::<Target>() {
            Ok(_) if path.exists() => {
                let notice = format!("the manifest is the file {place:?} here, not one on a Hub");
                self.progress.notice(&notice);
                return disk::manifest_at(path, limits);
            }
            _ if path.exists() => return disk::manifest_at(path, limits),
            Err(FetchError::NotATarget { .. }) => return disk::manifest_at(path, limits),
            other => self.pin(other?).await?,
        };
        let (At::Commit(revision), Some(hub)) = (&target.at, &self.hub) else {
            let detail =
                format!("the manifest {place:?} is on a Hub, and the network is not to be used");
            return Err(Failure::about(path, detail).hint("give --manifest FILE"));
        };
        let repository = hub.repository_of(&target);
        let file = MANIFEST_FILE.parse()?;
        let bytes = repository
            .small_file(
                revision,
                &file,
                limits.manifest_bytes,
                self.progress.as_ref(),
            )
            .await
            .map_err(|error| Failure::from(error).or_hint(MANIFEST_PLACE))?;
        Ok(SignedManifest::parse(&bytes, limits)?)
    }

    async fn download(&self, request: Request<'_>) -> Result<Fetched, Failure> {
        let progress = self.progress.as_ref();
        Ok(fetch(&self.store, self.hub.as_ref(), request, progress).await?)
    }
}

/// Without a manifest nothing can be verified: the files stay in quarantine.
pub(crate) fn unsigned(target: &Target, fetched: &Fetched) -> Report {
    let path = fetched.path.display();
    let mut report = Report {
        verdict: Some("fetched"),
        prose: vec![format!("fetched: {:?}, untrusted", target.to_string())],
        data: format!("{path}\n"),
        ..Report::default()
    };
    describe(&mut report, fetched, LEFT_OUT);
    report.more.insert("path".into(), path.to_string().into());
    report
}

/// A manifest that counts here and now, and is of what was asked for.
pub(crate) fn authenticate(
    store: &Store,
    target: &Target,
    trust: &TrustPolicy,
    signed: &SignedManifest,
) -> Result<Verified<Manifest>, Failure> {
    let mut context = Context::new(Timestamp::now());
    context.history = Some(store.state());
    context.repo_type = target.repo_type;
    context.repo = Some(&target.repo);
    if let At::Commit(revision) = &target.at {
        context.revision = Some(revision);
    }
    let revocations = store.state().revocations(trust, &context)?;
    context.revocations = revocations.as_ref();
    let manifest = trust.authenticate(signed, &context);
    manifest.map_err(|error| name_the_signed(error, signed, trust.limits()))
}

/// Proves every byte of what was fetched, keeps it, and remembers it.
pub(crate) fn keep(
    store: &Store,
    target: &Target,
    trust: &TrustPolicy,
    manifest: Verified<Manifest>,
    fetched: &Fetched,
) -> Result<Report, Failure> {
    let policy = manifest.open(&fetched.directory()?, Proof::Tensors, trust.rules())?;
    let kept = store.admit(&policy)?;
    let first = memory::record(store.state(), policy.evidence())?;
    // The policy is kept and accepted by now; this only saves room.
    let shared = fetched.share(store);
    let twice = shared
        .err()
        .map(|error| format!("it lies on the disk twice: {error}"));
    let mut report = Report {
        verdict: Some("verified"),
        prose: vec![format!("verified: {:?}", target.to_string())],
        data: format!("{}\n", kept.path().display()),
        evidence: evidence_json(policy.evidence()),
        notices: first.into_iter().chain(twice).collect(),
        waived: policy.notices().to_vec(),
        ..Report::default()
    };
    report.prose.extend(evidence_lines(policy.evidence()));
    describe(&mut report, fetched, "not in the manifest");
    let path = kept.path().display().to_string();
    report.more.insert("path".into(), path.into());
    Ok(report)
}

/// The manifest is good, only not of what was asked for: its signature was checked before.
fn name_the_signed(error: Error, signed: &SignedManifest, limits: &Limits) -> Failure {
    let other = matches!(
        error.rejection(),
        Some(Rejection::RepoMismatch | Rejection::RevisionMismatch)
    );
    let failure = Failure::from(error);
    match other.then(|| signed.untrusted(limits)) {
        Some(Ok(Manifest { repo, .. })) => {
            let mut target = Target::model(repo.id, repo.revision);
            target.repo_type = repo.repo_type;
            failure.hint(format!(
                "what was signed is another: `tensorgate fetch {target}` with the same options"
            ))
        }
        _ => failure,
    }
}

const MANIFEST_PLACE: &str = "--manifest REPO@REV takes policy.dsse.json at that commit; --manifest FILE takes one from here";

/// Why a fetch without a manifest leaves out a file.
pub(crate) const LEFT_OUT: &str = "no file of a policy has this name";

const PERHAPS_MORE: &str =
    "the cache these files came from does not say whether the commit has more";

/// What came, and what did not and why.
fn describe(report: &mut Report, fetched: &Fetched, why_left_out: &str) {
    let bytes = total(fetched.files.iter().map(|file| file.size));
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
    if fetched.perhaps_more {
        report.notices.push(PERHAPS_MORE.to_owned());
    }
    let file = |file: &tensorgate_store::Recorded| json!({ "path": file.path, "size": file.size, "sha256": file.sha256, "blake3": file.blake3 });
    let left_out = |path| json!({ "path": path, "reason": why_left_out });
    let more = [
        ("files", fetched.files.iter().map(file).collect::<Value>()),
        ("left_out", fetched.left_out.iter().map(left_out).collect()),
        ("bytes", bytes.into()),
        ("bytes_received", fetched.bytes.into()),
        ("from_store", fetched.from_store.into()),
        ("perhaps_more", fetched.perhaps_more.into()),
    ];
    report
        .more
        .extend(more.map(|(name, value)| (name.to_owned(), value)));
}
