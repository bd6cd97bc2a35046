//! Whether the Hub can be reached from here, and as whom.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tensorgate_hub::{Config, FetchError, Hub, Reason, Silent};
use tensorgate_verify::{RepoId, RepoType};

use super::check::Check;
use crate::args::help::Doctor;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::stop;

/// A person waits for the answer, once.
const PATIENCE: Duration = Duration::from_secs(10);
const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// `known` is a repository of the store's: to ask for that says most.
pub(super) fn checks(
    args: &Doctor,
    environment: &Environment,
    known: Option<&(RepoType, RepoId)>,
) -> Result<Vec<Check>, Failure> {
    let config = match config(args, environment) {
        Ok(config) => config,
        Err(failure) => return Ok(vec![Check::failed("hub", failure)]),
    };
    let token = token(&config, environment);
    let proxies = proxies(environment);
    let hub = match Hub::unless_offline(&config) {
        Ok(None) => {
            let seen = format!(
                "{:?} was not asked: no network is to be used",
                config.endpoint.to_string()
            );
            Check::skipped("hub", seen)
        }
        Ok(Some(hub)) => answer(hub, &config, known)?,
        Err(error) => Check::failed("hub", error.into()),
    };
    Ok(vec![hub, token, proxies])
}

fn config(args: &Doctor, environment: &Environment) -> Result<Config, Failure> {
    let mut config = Config::from_vars(&|name| environment.get(name).map(ToOwned::to_owned))?;
    if let Some(endpoint) = &args.endpoint {
        config.endpoint = endpoint.parse()?;
    }
    config.offline |= args.offline;
    let limits = &mut config.limits;
    limits.retries = 0;
    (limits.connect, limits.stall, limits.grace) = (PATIENCE, PATIENCE, PATIENCE);
    Ok(config)
}

/// Asks once for a repository. That there is none is an answer as well, and one that only a Hub has.
fn answer(hub: Hub, config: &Config, known: Option<&(RepoType, RepoId)>) -> Result<Check, Failure> {
    let endpoint = config.endpoint.to_string();
    let nobody = || {
        let repo = "tensorgate/doctor".parse();
        let repo = repo.map_err(|error| Failure::about(Path::new(&endpoint), error));
        Ok::<_, Failure>((RepoType::Model, repo?))
    };
    let (repo_type, repo) = known.cloned().map_or_else(nobody, Ok)?;
    let began = Instant::now();
    let asked = async move {
        let repository = hub.repository(repo_type, &repo);
        repository.resolve("main", &Silent).await.map(drop)
    };
    let stopped = || Failure::about(Path::new(&endpoint), "stopped before the Hub answered");
    let answered = stop::until_stopped(asked)?.ok_or_else(stopped)?;
    let took = format!("in {:.2} s", began.elapsed().as_secs_f64());
    Ok(judge(&endpoint, &took, answered))
}

fn judge(endpoint: &str, took: &str, answered: Result<(), FetchError>) -> Check {
    const NAME: &str = "hub";
    let error = match answered {
        Ok(()) => return Check::ok(NAME, format!("{endpoint:?} answered {took}")),
        Err(error) => error,
    };
    if let FetchError::Refused(refused) = &error {
        let answered = format!("{endpoint:?} answered {took}, status {}", refused.status);
        match refused.reason {
            Reason::RepoNotFound | Reason::RevisionNotFound | Reason::Gated => {
                return Check::ok(NAME, answered);
            }
            Reason::Unauthorized | Reason::Forbidden | Reason::RateLimited => {
                let check = Check::warn(NAME, answered);
                return match error.hint() {
                    Some(hint) => check.hint(hint),
                    None => check,
                };
            }
            _ => {}
        }
    }
    let silent = matches!(
        error,
        FetchError::Unreachable { .. } | FetchError::TimedOut { .. }
    );
    let check = Check::failed(NAME, error.into());
    match silent {
        true => check.hint("check the network, the proxy of HTTPS_PROXY, and HF_ENDPOINT or --endpoint; what is in the store needs none of them"),
        false => check,
    }
}

/// Where the token is, and who else may read it; what it is stays unsaid.
fn token(config: &Config, environment: &Environment) -> Check {
    const NAME: &str = "hub-token";
    if config.token.is_none() {
        return Check::ok(NAME, "none: what is public can be fetched");
    }
    let Some(place) = place(environment) else {
        return Check::ok(NAME, "in HF_TOKEN");
    };
    match fs::metadata(&place).map(|stat| stat.permissions().mode() & 0o777) {
        Ok(mode) if mode & 0o077 != 0 => {
            let seen = format!("others than its owner may open {place:?} (mode {mode:04o})");
            Check::warn(NAME, seen).hint(format!("chmod 600 {place:?}"))
        }
        Ok(_) => Check::ok(
            NAME,
            format!("in {place:?}, which its owner alone may open"),
        ),
        Err(error) => Check::failed(NAME, cannot_read(&place, &error)),
    }
}

fn cannot_read(place: &Path, error: &io::Error) -> Failure {
    Failure::io("read the token", place, error)
}

/// In the order of `huggingface_hub`; `None` is the variable itself.
fn place(environment: &Environment) -> Option<PathBuf> {
    let path = |name| environment.get(name).map(PathBuf::from);
    if environment.get("HF_TOKEN").is_some() {
        return None;
    }
    let cache = || path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface"));
    let home = || path("HOME").map(|home| home.join(".cache/huggingface"));
    let stored = || Some(path("HF_HOME").or_else(cache).or_else(home)?.join("token"));
    path("HF_TOKEN_PATH").or_else(stored)
}

fn proxies(environment: &Environment) -> Check {
    let set = PROXIES
        .into_iter()
        .filter(|name| environment.get(name).is_some());
    let set: Vec<&str> = set.collect();
    let seen = match set.as_slice() {
        [] => "none is set".to_owned(),
        set => format!("of {}", set.join(" and ")),
    };
    Check::ok("hub-proxy", seen)
}
