//! `tensorgate fetch`: bytes from a Hub into quarantine and, with a manifest, out of it.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tensorgate_hub::{
    At, Config, Expected, FetchError, Fetched, Hub, Progress, Request, Target, Token, fetch, pin,
};
use tensorgate_store::Store;
use tensorgate_verify::{FilePath, RepoId, RepoType, Revision};

use crate::args::{Fetch, RepoTypeArg, Source};
use crate::dry_run;
use crate::failure::Failure;
use crate::keys;
use crate::output::{Report, say_waiting};
use crate::progress;
use crate::stop;
use crate::text::{count, thousands};

pub(crate) fn run(args: &Fetch, json: bool) -> Result<Report, Failure> {
    let asked = Asked::of(args)?;
    let session = Session::open(&args.source, json)?;
    let args = args.clone();
    stop::to_the_end(async move { session.fetch(&args, &asked).await })
}

/// Fetches the files at a commit, or at a name that is pinned first; nobody vouches for them.
pub(crate) fn untrusted(
    target: Target,
    source: &Source,
    json: bool,
) -> Result<(Target, Fetched), Failure> {
    let session = Session::open(source, json)?;
    stop::to_the_end(async move {
        let revision = session.pin(&target).await?;
        let target = target.pinned(revision);
        let fetched = session.download(Request::new(&target)).await?;
        Ok((target, fetched))
    })
}

/// What is asked for. A type that is given must be that of the name, if the name says one.
pub(crate) fn target(text: &str, repo_type: Option<RepoTypeArg>) -> Result<Target, Failure> {
    let mut target = place(text)?;
    target.repo_type = typed(text, target.repo_type, repo_type)?;
    Ok(target)
}

/// A repository and where in its history, which has to be said.
fn place(text: &str) -> Result<Target, Failure> {
    if Target::repository(text).is_ok() {
        let failure = Failure::about(Path::new(text), format!("{text:?} names no commit"));
        return Err(failure.hint(at_commit(text)));
    }
    Ok(text.parse()?)
}

fn at_commit(text: &str) -> String {
    format!("type {text}@main (a branch is looked up and pinned), or a commit in place of main")
}

fn typed(text: &str, named: RepoType, given: Option<RepoTypeArg>) -> Result<RepoType, Failure> {
    match (given.map(RepoType::from), named) {
        (Some(RepoType::Model), RepoType::Dataset) => {
            let detail = format!("{text:?} names a dataset, --repo-type a model");
            Err(Failure::about(Path::new(text), detail).hint("leave out one of them"))
        }
        (Some(given), _) => Ok(given),
        (None, named) => Ok(named),
    }
}

/// What to do where nothing is there, and it is called like a repository on a Hub, which `command` takes.
pub(crate) fn or_at_hub(failure: Failure, path: &Path, command: &str) -> Failure {
    let named = path.to_str().filter(|_| !path.exists());
    let repo = named.and_then(|text| text.split('@').next());
    match repo.filter(|repo| Target::repository(repo).is_ok()) {
        Some(repo) => failure.or_hint(&format!(
            "if it is on a Hub: `tensorgate {command} {repo}@main`"
        )),
        None => failure,
    }
}

/// A repository, and where in its history, unless it is the manifest that names the commit.
pub(crate) struct Asked {
    text: String,
    repo_type: RepoType,
    repo: RepoId,
    at: Option<At>,
}

impl Asked {
    pub(crate) fn of(args: &Fetch) -> Result<Self, Failure> {
        let text = args.target.clone();
        if text.contains('@') {
            let target = target(&text, args.repo_type)?;
            let (repo_type, repo, at) = (target.repo_type, target.repo, Some(target.at));
            return Ok(Self {
                text,
                repo_type,
                repo,
                at,
            });
        }
        let (named, repo) = Target::repository(&text)?;
        let repo_type = typed(&text, named, args.repo_type)?;
        if args.manifest.is_none() {
            let detail = format!("{text:?} names no commit, and no manifest names one");
            let hint = format!(
                "{}; or take what was signed: \
                 `tensorgate fetch {text} --manifest {text}@main --trust FILE`",
                at_commit(&text)
            );
            return Err(Failure::about(Path::new(&text), detail).hint(hint));
        }
        Ok(Self {
            text,
            repo_type,
            repo,
            at: None,
        })
    }

    /// Of what a manifest has to be.
    pub(crate) async fn expected(&self, session: &Session) -> Result<Expected, Failure> {
        let mut expected = Expected::of(self.repo_type, self.repo.clone());
        if let Some(target) = self.target() {
            expected.revision = Some(session.pin(&target).await?);
        }
        Ok(expected)
    }

    /// The same where it is the manifest that names the commit.
    pub(crate) fn expected_of_newest(&self) -> Option<Expected> {
        let expected = || Expected::of(self.repo_type, self.repo.clone());
        self.at.is_none().then(expected)
    }

    fn target(&self) -> Option<Target> {
        let at = self.at.clone()?;
        Some(Target::new(self.repo_type, self.repo.clone(), at))
    }
}

fn config(source: &Source) -> Result<Config, Failure> {
    let mut config = Config::from_env()?;
    if let Some(endpoint) = &source.endpoint {
        config.endpoint = endpoint.parse()?;
    }
    if let Some(file) = &source.token_file {
        let text = keys::secret(file, "token")?;
        config.token = Some(Token::new(&text, &format!("{file:?}"))?);
    }
    config.offline |= source.offline;
    Ok(config)
}

/// What every step of a fetch needs.
pub(crate) struct Session {
    pub(crate) store: Store,
    pub(crate) hub: Option<Hub>,
    pub(crate) progress: Arc<dyn Progress>,
}

impl Session {
    pub(crate) fn open(source: &Source, json: bool) -> Result<Self, Failure> {
        let config = config(source)?;
        let hub = Hub::unless_offline(&config)?;
        let place = match &source.store {
            Some(place) => place.clone(),
            None => Store::default_location()?,
        };
        let store = Store::open(&place)?.on_wait(move |lock| say_waiting(json, lock));
        let progress = progress::choose(json);
        Ok(Self {
            store,
            hub,
            progress,
        })
    }

    async fn fetch(&self, args: &Fetch, asked: &Asked) -> Result<Report, Failure> {
        let mut report = match (args.dry_run, args.signed(), asked.target()) {
            (false, Some(signed), _) => self.signed(asked, signed).await?,
            (true, Some(signed), _) => dry_run::signed(self, asked, signed).await?,
            (false, None, Some(target)) => self.unsigned(target).await?,
            (true, None, Some(target)) => dry_run::unsigned(self, target).await?,
            // `Asked::of` lets none of these pass.
            (_, None, None) => {
                return Err(FetchError::NotATarget {
                    text: asked.text.as_str().into(),
                }
                .into());
            }
        };
        report
            .more
            .insert("asked".into(), asked.text.clone().into());
        Ok(report)
    }

    /// A branch or tag is looked up once, shown, and pinned.
    pub(crate) async fn pin(&self, target: &Target) -> Result<Revision, Failure> {
        Ok(pin(self.hub.as_ref(), target, self.progress.as_ref()).await?)
    }

    /// Without a manifest nothing can be verified: the files stay in quarantine.
    async fn unsigned(&self, target: Target) -> Result<Report, Failure> {
        let revision = self.pin(&target).await?;
        let target = target.pinned(revision);
        let fetched = self.download(Request::new(&target)).await?;
        Ok(report(&target, &fetched))
    }

    pub(crate) async fn download(&self, request: Request<'_>) -> Result<Fetched, Failure> {
        let progress = self.progress.as_ref();
        let fetched = fetch(&self.store, self.hub.as_ref(), request, progress).await;
        // What is said or asked next would stand in the same lines as a bar.
        progress.pause();
        Ok(fetched?)
    }
}

/// What lies in quarantine now.
pub(crate) fn report(target: &Target, fetched: &Fetched) -> Report {
    let path = fetched.path.display();
    let more = fetched.perhaps_more.then(|| PERHAPS_MORE.to_owned());
    let mut report = Report {
        verdict: Some("fetched"),
        subject: target.to_string(),
        prose: vec![format!("fetched: {:?}, untrusted", target.to_string())],
        data: format!("{path}\n"),
        notices: more.into_iter().collect(),
        ..Report::default()
    };
    let files = fetched.files.iter();
    let brought = Brought {
        files: files
            .map(|file| json!({ "path": file.path, "size": file.size, "sha256": file.sha256, "blake3": file.blake3 }))
            .collect(),
        bytes: fetched.files.iter().map(|file| file.size).fold(0, u64::saturating_add),
        received: fetched.bytes,
        from_store: fetched.from_store,
        left_out: &fetched.left_out,
        why_left_out: LEFT_OUT,
    };
    brought.describe(&mut report);
    let more = [
        ("path", path.to_string().into()),
        ("revision", fetched.revision.as_str().into()),
        ("perhaps_more", fetched.perhaps_more.into()),
    ];
    report
        .more
        .extend(more.map(|(name, value)| (name.to_owned(), value)));
    report
}

const PERHAPS_MORE: &str =
    "the cache these files came from does not say whether the commit has more";

/// Why a fetch without a manifest leaves out a file.
pub(crate) const LEFT_OUT: &str = "no file of a policy has this name";

/// What came, and what did not and why.
pub(crate) struct Brought<'a> {
    pub(crate) files: Vec<Value>,
    pub(crate) bytes: u64,
    pub(crate) received: u64,
    pub(crate) from_store: bool,
    pub(crate) left_out: &'a [FilePath],
    pub(crate) why_left_out: &'a str,
}

impl Brought<'_> {
    pub(crate) fn describe(self, report: &mut Report) {
        let origin = match self.from_store {
            true => "all in the store, read again".to_owned(),
            false => format!("{} received now", thousands(self.received)),
        };
        report.prose.push(format!(
            "  files      {}, {} bytes, {origin}",
            count(self.files.len(), "file"),
            thousands(self.bytes)
        ));
        let left_out = left_out(report, self.left_out, self.why_left_out);
        let more = [
            ("files", self.files.into()),
            ("left_out", left_out),
            ("bytes", self.bytes.into()),
            ("bytes_received", self.received.into()),
            ("from_store", self.from_store.into()),
        ];
        report
            .more
            .extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
}

/// As many files that are left out are named; a repository may have thousands.
const SHOWN: usize = 20;

/// Says what is left out, and why; the same as JSON.
pub(crate) fn left_out(report: &mut Report, paths: &[FilePath], why: &str) -> Value {
    for path in paths.iter().take(SHOWN) {
        report.prose.push(format!("  left out   {path}: {why}"));
    }
    if let Some(more) = paths.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let more = count(more, "more file");
        report
            .prose
            .push(format!("  left out   {more}; --json names all"));
    }
    let entry = |path| json!({ "path": path, "reason": why });
    paths.iter().map(entry).collect()
}
