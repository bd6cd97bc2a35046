//! Fetching from a Hub on loopback: ours, which checks every byte; a bare stream; the Python client.
//!
//! Each download runs in a process of its own, in turns, and says itself how long it took: what a
//! process needs to start is not compared. The Hub is in this process, on the same cores.
//! `TENSORGATE_BENCH_FULL=1` takes 2 GB instead of 256 MB.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sha2::Digest as _;
use tensorgate_hub::{Config, Hub, Request, Silent, fetch};
use tensorgate_store::Store;
use tensorgate_testhub::{Fault, Port, Repository, TestHub};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Runs of each; the median counts.
const ROUNDS: usize = 3;
const REPO: &str = "acme/bench";
const ROLE: &str = "TENSORGATE_BENCH_ROLE";

/// What a process is told: where the Hub is, what to fetch, and where to.
struct Task {
    endpoint: String,
    commit: String,
    files: Vec<String>,
    folder: PathBuf,
}

/// What is compared.
#[derive(Clone, Copy, PartialEq)]
enum Peer {
    Tensorgate,
    Bare,
    Python,
}

/// What one download took.
struct Run {
    seconds: f64,
    peak: u64,
    requests: usize,
    cdn_requests: usize,
}

fn main() -> Result<()> {
    match std::env::var(ROLE) {
        Ok(role) => download(&role),
        Err(_) => compare(),
    }
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn compare() -> Result<()> {
    let full = std::env::var_os("TENSORGATE_BENCH_FULL").is_some_and(|value| value == "1");
    let bytes = if full { 2_000_000_000 } else { 256_000_000 };
    let served = tempfile::tempdir()?;
    let cores = std::thread::available_parallelism()?;
    let client = python_client().unwrap_or_else(|| "not installed: `make bench` has it".to_owned());
    say(&format!(
        "On {cores} cores, medians of {ROUNDS} runs in turns; huggingface_hub {client}\n"
    ))?;
    say("| fetched | by | seconds | MB/s | peak memory | requests to the Hub, to the CDN |")?;
    say("|---|---|---|---|---|---|")?;
    one_file(served.path(), bytes)?;
    let what = format!("1 file of {} MB", bytes / 1_000_000);
    table(&what, served.path(), bytes, None)?;
    let served = tempfile::tempdir()?;
    many_files(served.path())?;
    table("1,000 files of 20 kB", served.path(), 20_000_000, None)?;
    let served = tempfile::tempdir()?;
    one_file(served.path(), 100_000_000)?;
    let what = "1 file of 100 MB, 10 MB/s a connection";
    table(what, served.path(), 100_000_000, Some(10_000_000))
}

fn one_file(folder: &Path, bytes: u64) -> Result<()> {
    let mut file = File::create(folder.join("model.safetensors"))?;
    let chunk: Vec<u8> = (0..1_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for _ in 0..bytes / 1_000_000 {
        file.write_all(&chunk)?;
    }
    Ok(())
}

fn many_files(folder: &Path) -> Result<()> {
    for n in 0..1000_u32 {
        let bytes: Vec<u8> = (0..20_000_u32)
            .map(|i| (i.wrapping_mul(n + 1) >> 3) as u8)
            .collect();
        fs::write(folder.join(format!("{n:04}.md")), bytes)?;
    }
    Ok(())
}

/// Rows for one set of files, every peer in turn; `slow` is what each connection gives in a second.
fn table(what: &str, served: &Path, bytes: u64, slow: Option<u64>) -> Result<()> {
    let hub = TestHub::start()?;
    if let Some(bytes_per_second) = slow {
        let path = "model.safetensors".to_owned();
        hub.inject(Fault::Throttled {
            path,
            bytes_per_second,
        });
    }
    let repository = Repository::new(REPO)?.commit_dir(served)?;
    let commit = repository.commits().last().ok_or("no commit")?.clone();
    hub.serve(repository);
    let mut files = Vec::new();
    for entry in fs::read_dir(served)? {
        files.push(entry?.file_name().to_string_lossy().into_owned());
    }
    files.sort();
    let mut peers = vec![Peer::Bare, Peer::Tensorgate];
    peers.extend(python_client().map(|_| Peer::Python));
    let mut runs: BTreeMap<usize, Vec<Run>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for (at, peer) in peers.iter().enumerate() {
            runs.entry(at)
                .or_default()
                .push(peer.run(&hub, &commit, &files)?);
        }
    }
    for (at, peer) in peers.iter().enumerate() {
        let mut runs = runs.remove(&at).unwrap_or_default();
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let median = runs.get(runs.len() / 2).ok_or("no run")?;
        let peak = runs.iter().map(|run| run.peak).max().unwrap_or(0);
        say(&format!(
            "| {what} | {} | {:.2} | {:.0} | {} MiB | {}, {} |",
            peer.name(),
            median.seconds,
            bytes as f64 / 1e6 / median.seconds,
            peak >> 20,
            median.requests,
            median.cdn_requests
        ))?;
    }
    Ok(())
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Tensorgate => "tensorgate, every byte checked",
            Self::Bare => "reqwest, SHA-256, disk",
            Self::Python => "huggingface_hub, no digests",
        }
    }

    fn run(self, hub: &TestHub, commit: &str, files: &[String]) -> Result<Run> {
        let folder = tempfile::tempdir()?;
        hub.clear_requests();
        let mut command = self.command(folder.path(), commit)?;
        let names = folder.path().join("names");
        fs::write(&names, files.join("\n"))?;
        let child = command
            .env("HF_ENDPOINT", hub.endpoint())
            .env("HF_HOME", folder.path().join("home"))
            .env("HF_HUB_DISABLE_TELEMETRY", "1")
            .env("HF_HUB_DISABLE_PROGRESS_BARS", "1")
            .env("NO_PROXY", "127.0.0.1")
            .stdout(Stdio::piped())
            .spawn()?;
        let (seconds, peak) = wait(child)?;
        let requests = |port| hub.requests_at(port).len();
        Ok(Run {
            seconds,
            peak,
            requests: requests(Port::Hub),
            cdn_requests: requests(Port::Cdn),
        })
    }

    fn command(self, folder: &Path, commit: &str) -> Result<Command> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        if self == Self::Python {
            let mut command = python();
            command
                .arg(root.join("benches/fetch.py"))
                .args([REPO, commit]);
            return Ok(command);
        }
        let mut command = Command::new(std::env::current_exe()?);
        let role = if self == Self::Bare {
            "bare"
        } else {
            "tensorgate"
        };
        command.env(ROLE, role).arg(folder).arg(commit);
        Ok(command)
    }
}

/// The one that `make bench` has on its path, unless another is named.
fn python() -> Command {
    Command::new(std::env::var_os("TENSORGATE_PYTHON").unwrap_or_else(|| "python3".into()))
}

/// The version of huggingface_hub, or `None` where it is not installed.
fn python_client() -> Option<String> {
    let version = "import huggingface_hub; print(huggingface_hub.__version__)";
    let output = python().args(["-c", version]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|version| !version.is_empty())
}

/// The seconds that a process prints, and the most memory that it had.
fn wait(mut child: Child) -> Result<(f64, u64)> {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        // It is gone as soon as the process is.
        if let Ok(text) = fs::read_to_string(&status) {
            peak = peak_of(&text).unwrap_or(peak);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut text = String::new();
    child
        .stdout
        .take()
        .ok_or("no output")?
        .read_to_string(&mut text)?;
    Ok((text.trim().parse()?, peak))
}

/// `VmHWM`, in bytes.
fn peak_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// The process apart: fetches, and prints the seconds.
fn download(role: &str) -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (folder, commit) = args.next().zip(args.next()).ok_or("FOLDER COMMIT")?;
    let folder = PathBuf::from(folder);
    let task = Task {
        endpoint: std::env::var("HF_ENDPOINT")?,
        commit,
        files: fs::read_to_string(folder.join("names"))?
            .lines()
            .map(str::to_owned)
            .collect(),
        folder,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let start = Instant::now();
    match role {
        "bare" => runtime.block_on(task.bare())?,
        _ => runtime.block_on(task.tensorgate())?,
    }
    say(&start.elapsed().as_secs_f64().to_string())
}

impl Task {
    async fn tensorgate(&self) -> Result<()> {
        let store = Store::open(self.folder.join("store"))?;
        let hub = Hub::new(&Config::new(self.endpoint.parse()?))?;
        let target = format!("{REPO}@{}", self.commit).parse()?;
        let fetched = fetch(&store, Some(&hub), Request::new(&target), &Silent).await?;
        match fetched.files.len() == self.files.len() {
            true => Ok(()),
            false => Err("not all files came".into()),
        }
    }

    /// What one would write first: one file after the other, hashed and written as it comes.
    async fn bare(&self) -> Result<()> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        for name in &self.files {
            let url = format!("{}/{REPO}/resolve/{}/{name}", self.endpoint, self.commit);
            let mut response = client.get(url).send().await?.error_for_status()?;
            let mut file = File::create(self.folder.join(name))?;
            let mut hasher = sha2::Sha256::new();
            while let Some(chunk) = response.chunk().await? {
                hasher.update(&chunk);
                file.write_all(&chunk)?;
            }
            hasher.finalize();
        }
        Ok(())
    }
}
