//! A channel that is followed: what is new and passes is kept, what does not is told and changes
//! nothing, and nothing ends it but a signal or wrong usage.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tensorgate_testhub::{Fault, Flaw, Place, Port, TestHub, Wire};

use crate::schema;
use crate::stage::{CHANNEL, Stage};

/// However busy the machine is, something has gone wrong by then.
const HANGS: Duration = Duration::from_secs(60);

/// A watch that runs, and what it says.
struct Watch {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    heard: String,
}

impl Watch {
    fn of(stage: &Stage, options: &[&str]) -> Self {
        Self::at(stage, stage.hub.endpoint(), options)
    }

    fn at(stage: &Stage, endpoint: &str, options: &[&str]) -> Self {
        let mut command = stage.workshop.command();
        command.args(["fetch", "acme/walk", "--endpoint", endpoint]);
        command.args(CHANNEL).args(["--watch", "1s"]).args(options);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            stdout: lines(child.stdout.take().unwrap()),
            stderr: lines(child.stderr.take().unwrap()),
            child,
            heard: String::new(),
        }
    }

    /// Waits for a line on standard error; others before it are kept in `heard`.
    #[track_caller]
    fn says(&mut self, what: &str) {
        loop {
            match self.stderr.recv_timeout(HANGS) {
                Ok(line) => {
                    self.heard.push_str(&line);
                    self.heard.push('\n');
                    if line.contains(what) {
                        return;
                    }
                }
                Err(error) => panic!("{error}: {what}\n{}", self.heard),
            }
        }
    }

    /// The next line on standard output.
    #[track_caller]
    fn prints(&mut self) -> String {
        let line = self.stdout.recv_timeout(HANGS);
        line.unwrap_or_else(|error| panic!("{error}\n{}", self.heard()))
    }

    #[track_caller]
    fn object(&mut self) -> Value {
        schema::described(&self.prints())
    }

    /// All of standard error so far.
    fn heard(&mut self) -> &str {
        for line in self.stderr.try_iter() {
            self.heard.push_str(&line);
            self.heard.push('\n');
        }
        &self.heard
    }

    /// Waits until the Hub was asked so many times more what `main` is.
    #[track_caller]
    fn rounds(&mut self, hub: &TestHub, rounds: usize) {
        let asked = || {
            let requests = hub.requests();
            let resolves = requests
                .iter()
                .filter(|at| at.target.contains("/revision/main"));
            resolves.count()
        };
        let (before, since) = (asked(), Instant::now());
        while asked() < before + rounds {
            assert!(since.elapsed() < HANGS, "{}", self.heard());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it; returns the rest of standard output.
    #[track_caller]
    fn stop(mut self, signal: Signal) -> Vec<String> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.heard());
        self.stdout.iter().collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // After `stop` it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}

#[test]
fn a_new_release_is_proven_and_its_place_printed() {
    let stage = Stage::new();
    let mut watch = Watch::of(&stage, &[]);
    let first = watch.prints();
    assert_eq!(
        fs::read(format!("{first}/README.md")).unwrap(),
        b"# walk 1\n"
    );
    // While nothing is new, one request a round, and not a word.
    watch.rounds(&stage.hub, 1);
    stage.asked();
    watch.rounds(&stage.hub, 3);
    let asked = stage.asked();
    assert!(
        asked
            .iter()
            .all(|at| at == "/api/models/acme/walk/revision/main"),
        "{asked:?}"
    );
    stage.release(2);
    let second = watch.prints();
    assert_eq!(
        fs::read(format!("{second}/README.md")).unwrap(),
        b"# walk 2\n"
    );
    assert_eq!(watch.stdout.try_recv().ok(), None);
    assert_eq!(watch.heard().matches("note: resolved main to ").count(), 2);
    assert_eq!(watch.stop(Signal::TERM), [""; 0]);
}

#[test]
fn rounds_are_an_interval_apart() {
    let stage = Stage::new();
    let mut watch = Watch::of(&stage, &[]);
    watch.prints();
    watch.rounds(&stage.hub, 1);
    let since = Instant::now();
    watch.rounds(&stage.hub, 3);
    // Three pauses of at least nine tenths of a second.
    assert!(
        since.elapsed() > Duration::from_millis(2600),
        "{:?}",
        since.elapsed()
    );
    watch.stop(Signal::INT);
}

#[test]
fn what_was_tampered_with_is_refused_and_what_is_genuine_comes_after_it() {
    let stage = Stage::new();
    let mut watch = Watch::of(&stage, &[]);
    let first = watch.prints();
    let genuine = stage.release_with(2, |stage| stage.workshop.flip("walk/policy.dsse.json", 40));
    watch.says("rejected: ");
    watch.says("hint: ");
    // It is told once, and not read again in every round.
    watch.rounds(&stage.hub, 2);
    assert_eq!(watch.heard().matches("rejected: ").count(), 1);
    assert_eq!(stage.policies(), std::slice::from_ref(&first));
    stage.workshop.flip("walk/policy.dsse.json", 40);
    stage.publish();
    let second = watch.prints();
    assert_eq!(
        fs::read(format!("{second}/README.md")).unwrap(),
        b"# walk 2\n"
    );
    watch.says(&format!("verified: \"acme/walk@{genuine}\""));
    watch.stop(Signal::TERM);
}

#[test]
fn bytes_that_are_not_the_signed_ones_are_refused_until_they_are() {
    let stage = Stage::new();
    let mut watch = Watch::of(&stage, &["--json"]);
    watch.object();
    // The weights are those of the first release, and not asked for.
    let flipped = Fault::ByteFlipped {
        path: "README.md".into(),
        at: 4,
    };
    stage.hub.inject(flipped);
    stage.release(2);
    let object = watch.object();
    assert_eq!(
        (&object["verdict"], &object["code"]),
        (&"rejected".into(), &"digest-mismatch".into())
    );
    stage.hub.clear_faults();
    // The same commit is tried again, though not at once.
    let object = watch.object();
    assert_eq!(
        (&object["verdict"], &object["evidence"]["sequence"]),
        (&"verified".into(), &2.into())
    );
    watch.stop(Signal::TERM);
}

#[test]
fn a_release_that_comes_back_changes_nothing() {
    let stage = Stage::new();
    stage.release(2);
    let mut watch = Watch::of(&stage, &["--json"]);
    let second = watch.object()["path"].clone();
    stage.release(1);
    let object = watch.object();
    assert_eq!(
        (&object["code"], &object["subject"]),
        (&"manifest-rollback".into(), &"sequence".into())
    );
    assert_eq!(stage.policies(), [second.as_str().unwrap()]);
    watch.stop(Signal::TERM);
}

#[test]
fn what_is_called_back_is_told_and_the_next_release_counts() {
    let stage = Stage::new();
    let mut watch = Watch::of(&stage, &[]);
    watch.prints();
    stage.revoke(&["--manifest", &stage.manifest()]);
    stage.publish();
    watch.says("note: list 1 of revocations counts from now on");
    watch.says("rejected: manifest-revoked: \"manifest\": ");
    stage.release(2);
    watch.says("sequence   2");
    watch.prints();
    watch.stop(Signal::TERM);
}

#[test]
fn the_accepted_release_is_judged_in_every_round() {
    let stage = Stage::new();
    // One that has not expired before it is there, however busy the machine is.
    let accepted = |sequence: u32| {
        let soon = jiff::Timestamp::now().as_second() + 2_i64.pow(sequence);
        let soon = jiff::Timestamp::from_second(soon).unwrap().to_string();
        let sequence = sequence.to_string();
        let files = stage.prepare(2);
        stage.sign(&files, &["--sequence", &sequence, "--expires", &soon]);
        stage.publish();
        let mut watch = Watch::of(&stage, &["--json"]);
        let is_accepted = watch.object()["verdict"] == "verified";
        is_accepted.then_some(watch)
    };
    let mut watch = (2..8).find_map(accepted).unwrap();
    stage.asked();
    let object = watch.object();
    assert_eq!(
        (&object["code"], &object["subject"]),
        (&"manifest-expired".into(), &"expires".into())
    );
    watch.rounds(&stage.hub, 2);
    let asked = stage.asked();
    assert!(
        asked.iter().all(|at| at.ends_with("/revision/main")),
        "{asked:?}"
    );
    // What another process was told counts here, too.
    stage.revoke(&["--manifest", &stage.manifest()]);
    let given = ["--revocations", "revocations.dsse.json"];
    stage.workshop.verify(&given).expect(1);
    let object = watch.object();
    assert!(object.to_string().contains("manifest-revoked"), "{object}");
    watch.stop(Signal::TERM);
}

#[test]
fn a_hub_may_be_away_and_come_back() {
    let stage = Stage::new();
    let (wire, hub) = (Wire::new().unwrap(), TestHub::start().unwrap());
    wire.lead_to(hub.address(Port::Hub));
    stage.serve_at(&hub);
    let mut watch = Watch::at(&stage, wire.url(), &[]);
    watch.prints();
    // Each request is on the wire before its connection breaks: that is the same trouble each time.
    let by = Duration::from_millis(200);
    wire.spoil(Flaw::Delayed { by });
    drop(hub);
    watch.says("error: ");
    watch.says("hint: check the network");
    let told = watch.heard().len();
    // It goes on asking, and says nothing more.
    let (asked, since) = (wire.carried().len(), Instant::now());
    while wire.carried().len() < asked + 8 {
        assert!(since.elapsed() < HANGS, "{}", watch.heard());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(watch.heard().len(), told, "{}", watch.heard());
    let hub = TestHub::start().unwrap();
    stage.serve_at(&hub);
    wire.lead_to(hub.address(Port::Hub));
    wire.mend();
    watch.says("\"acme/walk@main\" can be followed again: nothing is new");
    stage.release(2);
    stage.serve_at(&hub);
    watch.says("sequence   2");
    watch.stop(Signal::TERM);
}

#[test]
fn nothing_is_accepted_while_the_trust_policy_cannot_be_used() {
    let stage = Stage::new();
    let mut watch = Watch::of(&stage, &[]);
    watch.prints();
    let genuine = stage.workshop.read("trust.toml");
    let said = "nothing new is accepted until it can be used";
    stage.workshop.write("trust.toml", "threshold = 0\n");
    watch.says(said);
    stage.asked();
    stage.release(2);
    // Other trouble is told, too: there was another round, and the Hub was not asked.
    stage.workshop.write("trust.toml", "threshold = none\n");
    watch.says(said);
    assert_eq!(stage.asked(), [""; 0]);
    assert_eq!(watch.heard().matches("error: ").count(), 2);
    stage.workshop.write("trust.toml", genuine);
    watch.says("sequence   2");
    // A key that is taken out counts no more, for what was accepted either.
    stage.workshop.keygen("other");
    stage.workshop.trust(1, &["other"]);
    watch.says("rejected: signature-invalid");
    watch.stop(Signal::TERM);
}

#[test]
fn it_stays_away_for_as_long_as_the_hub_asks() {
    let stage = Stage::new();
    let mut watch = Watch::of(&stage, &[]);
    watch.prints();
    stage.hub.inject_once(Fault::TooManyRequests {
        place: Place::Api,
        retry_after: 61,
    });
    watch.says("error: rate-limited: too many requests, come back in 61 s");
    stage.asked();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(stage.asked(), [""; 0]);
    watch.stop(Signal::TERM);
}

#[test]
fn it_can_be_stopped_in_the_middle_of_a_download() {
    let stage = Stage::new();
    let path = "model.safetensors".to_owned();
    stage.hub.inject(Fault::BodyStalled { path, after: 2000 });
    let mut watch = Watch::of(&stage, &[]);
    watch.says("fetching 3 files");
    watch.says("  config.json, ");
    assert_eq!(watch.stop(Signal::INT), [""; 0]);
    assert_eq!(stage.policies(), [""; 0]);
    stage.hub.clear_faults();
    stage.follow(&[]).expect(0);
}

#[test]
fn an_interrupted_fetch_says_that_it_can_go_on() {
    let stage = Stage::new();
    let path = "model.safetensors".to_owned();
    stage.hub.inject(Fault::BodyStalled { path, after: 2000 });
    // The last request of a fetch: that to the CDN.
    for json in [false, true] {
        stage.asked();
        let mut command = stage.workshop.command();
        command.args(["fetch", "acme/walk", "--endpoint", stage.hub.endpoint()]);
        command.args(CHANNEL).args(json.then_some("--json"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let since = Instant::now();
        while stage.hub.requests_at(Port::Cdn).is_empty() {
            assert!(since.elapsed() < HANGS);
            std::thread::sleep(Duration::from_millis(10));
        }
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let (stdout, stderr) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        match json {
            true => assert_eq!(schema::described(&stdout)["verdict"], "error"),
            false => assert!(stderr.ends_with("error: stopped; what arrived is kept\nhint: the same command goes on from there\n"), "{stderr}"),
        }
    }
}

#[test]
fn only_a_branch_can_be_followed() {
    let stage = Stage::new();
    let trust = ["--trust", "trust.toml", "--watch", "5m"];
    let run = |target: &str, options: &[&str]| stage.fetch(target, &[options, &trust].concat());
    run("acme/walk", &["--manifest", "walk/policy.dsse.json"])
        .could_not_check("\"walk/policy.dsse.json\" is no channel to watch");
    let pinned = format!("acme/walk@{}", stage.publish());
    run("acme/walk", &["--manifest", &pinned]).could_not_check("is no channel to watch");
    let refused = run(&pinned, &["--manifest", "acme/walk@main"]);
    refused.could_not_check("stands for one commit, and --watch follows what is newest");
    refused.says("hint: leave out @");
    stage
        .fetch("acme/walk", &["--watch", "5m"])
        .could_not_check("--manifest <FILE|REPO@REV>");
    stage
        .follow(&["--watch", "5m", "--offline"])
        .could_not_check("cannot be used with");
    for (interval, why) in [
        (
            "5",
            "an interval is a number with a unit, as in 30s, 5m or 1h 30m",
        ),
        ("-5m", "a Hub is asked once a second at most"),
        ("10ms", "a Hub is asked once a second at most"),
    ] {
        let interval = format!("--watch={interval}");
        stage.follow(&[&interval]).could_not_check(why);
    }
    stage.workshop.remove("trust.toml");
    run("acme/walk", &["--manifest", "acme/walk@main"])
        .could_not_check("the trust policy \"trust.toml\" cannot be used");
    let endpoint = ["--endpoint", "localhost"];
    stage
        .follow(&[&["--watch", "5m"][..], &endpoint].concat())
        .expect(2);
    assert_eq!(stage.asked(), [""; 0]);
}

impl Stage {
    /// A release whose manifest is changed before it is published; returns the commit of its files.
    fn release_with(&self, sequence: u64, change: impl FnOnce(&Self)) -> String {
        let files = self.prepare(sequence);
        change(self);
        self.publish();
        files
    }
}
