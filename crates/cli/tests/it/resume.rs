//! A fetch whose process, disk or link gives out goes on where it was; none takes much memory.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tensorgate_testhub::{Fault, Noise, Port, Repository, TestHub};

use crate::support::{Run, Workshop};

const WEIGHTS: &str = "model.safetensors";

/// A Hub with a policy whose weights have no pattern.
struct Link {
    workshop: Workshop,
    hub: TestHub,
    commit: String,
    digest: [u8; 32],
}

impl Link {
    /// `shards` files of weights, of so many bytes each, or one.
    fn new(size: usize, shards: usize) -> Self {
        let (workshop, mut bytes) = (Workshop::new(), vec![0; size]);
        for n in 1..=shards {
            Noise::new(n as u64).fill(&mut bytes);
            let name = match shards {
                1 => WEIGHTS.to_owned(),
                _ => format!("model-{n:05}-of-{shards:05}.safetensors"),
            };
            workshop.write(&format!("walk/{name}"), &bytes);
        }
        let walk = Repository::new("acme/walk").unwrap();
        let walk = walk.commit_dir(workshop.path("walk")).unwrap();
        let commit = walk.commits()[0].clone();
        let hub = TestHub::start().unwrap();
        hub.serve(walk);
        Self {
            workshop,
            hub,
            commit,
            digest: Sha256::digest(&bytes).into(),
        }
    }

    fn command(&self) -> Command {
        let mut command = self.workshop.command();
        command.args(self.arguments());
        command
    }

    fn arguments(&self) -> [String; 4] {
        let target = format!("acme/walk@{}", self.commit);
        let endpoint = self.hub.endpoint().to_owned();
        ["fetch".into(), target, "--endpoint".into(), endpoint]
    }

    fn start(&self) -> Child {
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Bytes of the one part that is on the disk.
    fn part(&self) -> u64 {
        let below = self.workshop.path("store/quarantine/model/acme/walk");
        let parts = fs::read_dir(below.join(format!("{}.part", self.commit)));
        let sizes = parts.into_iter().flatten().flatten();
        sizes
            .map(|part| part.metadata().map_or(0, |found| found.len()))
            .sum()
    }

    /// The `Range` of each request for the weights.
    fn ranges(&self) -> Vec<Option<String>> {
        let requests = self.hub.requests_at(Port::Cdn).into_iter();
        requests.map(|request| request.range).collect()
    }

    #[track_caller]
    fn assert_whole(&self, run: &Run) {
        let path = PathBuf::from(run.expect(0).stdout.trim_end());
        let bytes = fs::read(path.join(WEIGHTS)).unwrap();
        assert_eq!(<[u8; 32]>::from(Sha256::digest(bytes)), self.digest);
        assert_eq!(self.part(), 0);
    }
}

#[test]
fn a_process_that_is_killed_goes_on_where_the_disk_ends() {
    let link = Link::new(8_000_000, 1);
    link.hub.inject(Fault::Throttled {
        path: WEIGHTS.into(),
        bytes_per_second: 2_000_000,
    });
    let mut expected = vec![None];
    for enough in [1, 1_000_000, 2_000_000] {
        let mut child = link.start();
        while link.part() < enough {
            assert_eq!(child.try_wait().unwrap(), None, "it has ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        expected.push(Some(format!("bytes={}-", link.part())));
    }
    link.hub.clear_faults();
    link.assert_whole(&Run::of(&mut link.command()));
    assert_eq!(link.ranges(), expected);
}

/// The shell's limit of a file's size ends a write in the middle, as a full disk does.
#[test]
fn what_the_disk_took_is_kept_and_gone_on_from() {
    let link = Link::new(3_000_000, 1);
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(r#"trap '' XFSZ; ulimit -f 2048; exec "$@""#);
    let command = link.workshop.command();
    shell
        .arg("sh")
        .arg(command.get_program())
        .args(link.arguments());
    shell.current_dir(link.workshop.path("")).env_clear();
    shell.env("TENSORGATE_STORE", link.workshop.path("store"));
    let run = Run::of(&mut shell);
    run.could_not_check("could not write ");
    run.says(&format!(
        "of 3000000 bytes of {WEIGHTS:?} are kept for the next fetch"
    ));
    // POSIX: `ulimit -f` counts 512 bytes; some shells count 1,024.
    let kept = link.part();
    assert!([1 << 20, 2 << 20].contains(&kept), "{kept}");
    link.assert_whole(&Run::of(&mut link.command()));
    assert_eq!(link.ranges(), [None, Some(format!("bytes={kept}-"))]);
}

/// `VmHWM` of proc(5): the most memory that the process ever had, in KiB.
pub(crate) fn peak(child: &Child) -> Option<u64> {
    memory(child, "VmHWM:")
}

/// A field of proc_pid_status(5), in KiB.
pub(crate) fn memory(child: &Child, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[test]
fn three_hundred_megabytes_take_no_more_than_sixty_four_mebibytes_of_memory() {
    for (size, shards) in [(300_000_000, 1), (75_000_000, 4)] {
        let link = Link::new(size, shards);
        let mut child = link.start();
        let mut most = 0;
        while child.try_wait().unwrap().is_none() {
            most = most.max(peak(&child).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        println!("{shards} x {size} bytes: {most} KiB");
        assert!((1..=64 << 10).contains(&most), "{most} KiB");
    }
}
