//! `tensorgate doctor` on real stores, trust policies, sockets and Hubs.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::fixture::Fixture;
use crate::support::{Run, Workshop};

/// The check of this name.
#[track_caller]
fn check(object: &Value, name: &str) -> (String, String, String) {
    let checks = object["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    let found = found.unwrap_or_else(|| panic!("{name}: {object:#}"));
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("detail"), text("hint"))
}

/// Its status, and that it says these words; a warning and a failure say what to do.
#[track_caller]
fn expect(object: &Value, name: &str, status: &str, words: &str) {
    let found = check(object, name);
    assert_eq!(found.0, status, "{name}: {found:?}");
    assert!(found.1.contains(words), "{words}: {found:?}");
    assert!(
        !["warn", "fail"].contains(&status) || !found.2.is_empty(),
        "{found:?}"
    );
}

/// On a machine of its own: nothing of ours is in the environment.
fn doctor(workshop: &Workshop, options: &[&str]) -> Run {
    Run::of(command(workshop).args(options))
}

fn command(workshop: &Workshop) -> Command {
    let mut command = workshop.command();
    command.args(["doctor", "--offline"]);
    command
}

/// Every file below, with its content and when it was written.
fn photograph(workshop: &Workshop, folder: &str) -> Vec<String> {
    let mut find = Command::new("find");
    find.arg(workshop.path(folder));
    find.args(["-printf", "%P %y %m %s %T@ %C@\n"]);
    let listed = Run::of(&mut find).expect(0).stdout.clone();
    let mut lines: Vec<String> = listed.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn where_nothing_is_there_nothing_fails_and_nothing_is_made() {
    let workshop = Workshop::new();
    let run = doctor(&workshop, &["--json"]);
    let object = run.expect(0).json();
    assert_eq!(object["verdict"], "done");
    expect(&object, "ros", "skipped", "not sourced");
    expect(&object, "trust", "skipped", "no trust policy was named");
    expect(&object, "store", "warn", "is not there yet");
    let made = "it is made when something is fetched, or by `tensorgate store init`";
    assert_eq!(check(&object, "store").2, made);
    assert_eq!(check(&object, "trust").2, "give --trust FILE");
    expect(&object, "lease", "skipped", "no store to try it in");
    expect(&object, "clock", "ok", "it shows 20");
    expect(&object, "hub", "skipped", "no network is to be used");
    expect(&object, "hub-token", "ok", "none");
    assert!(!workshop.path("store").exists());
    fs::create_dir(workshop.path("store")).unwrap();
    let object = doctor(&workshop, &["--json"]).expect(0).json();
    expect(&object, "store", "warn", "is empty");
    assert_eq!(photograph(&workshop, "store").len(), 1);
}

#[test]
fn a_machine_in_good_order_is_ok_and_as_it_was() {
    let workshop = Workshop::signed();
    workshop.verify(&[]).expect(0);
    let before = photograph(&workshop, "store/state");
    let names = |workshop: &Workshop| {
        let lines = photograph(workshop, "store");
        let name = |line: String| line.split(' ').next().map(str::to_owned);
        lines.into_iter().filter_map(name).collect::<Vec<_>>()
    };
    let all = names(&workshop);
    let run = doctor(&workshop, &["--trust", "trust.toml"]);
    run.expect(0);
    assert_eq!(run.stderr, "");
    assert!(run.stdout.ends_with(" skipped\n"), "{}", run.stdout);
    assert_eq!(photograph(&workshop, "store/state"), before);
    assert_eq!(names(&workshop), all);
    let object = doctor(&workshop, &["--trust", "trust.toml", "--json"]).json();
    expect(
        &object,
        "trust",
        "ok",
        "\"trust.toml\" can be used: 1 of 1 key must sign",
    );
    expect(&object, "trust-keys", "ok", "none ends within 30 days");
    expect(&object, "store", "ok", ", mode 07");
    expect(
        &object,
        "store-memory",
        "ok",
        "releases of 1 repository accepted, 0 releases revoked here",
    );
    expect(
        &object,
        "store-revocations",
        "ok",
        "no signed list is kept here",
    );
    expect(&object, "store-lock", "ok", "nobody has it");
    expect(&object, "clock-floor", "ok", "not behind 20");
    let (status, detail, _) = check(&object, "lease");
    assert!(
        status == "ok" || detail.starts_with("weights in the store are copied: "),
        "{detail}"
    );
    let copied = "ext4, xfs and btrfs can guard them; a copy costs memory and time, and is as good";
    let hint = if status == "ok" { "" } else { copied };
    assert_eq!(check(&object, "lease").2, hint);
}

/// What lines say is foreign text in part: no line has more than its own.
#[test]
fn a_store_that_is_not_as_it_should_be_is_told_with_what_to_do() {
    let workshop = Workshop::signed();
    workshop.verify(&[]).expect(0);
    let seen = |name: &str, status: &str, words: &str| {
        let run = doctor(&workshop, &["--trust", "trust.toml", "--json"]);
        let object = run.expect(if status == "fail" { 2 } else { 0 }).json();
        assert_eq!(
            object["verdict"],
            if status == "fail" { "error" } else { "done" }
        );
        expect(&object, name, status, words);
        object
    };
    workshop.chmod("store", 0o777);
    let object = seen(
        "store",
        "fail",
        "what lies there could be changed by others",
    );
    assert_eq!(object["code"], "could-not-check");
    assert!(object["hint"].as_str().unwrap().contains("chmod go-w"));
    workshop.chmod("store", 0o700);

    let record = "store/state/rollback/model--acme--walk.json";
    let kept = workshop.read(record);
    workshop.write(record, "{");
    seen(
        "store-memory",
        "fail",
        "the record of accepted releases at ",
    );
    workshop.write(record, kept);

    let index = String::from_utf8(workshop.read("store/state/index.json")).unwrap();
    let (begin, rest) = index.split_once("\"clock_floor\":\"").unwrap();
    let (_, end) = rest.split_once('"').unwrap();
    workshop.write(
        "store/state/index.json",
        format!("{begin}\"clock_floor\":\"2098-01-01T00:00:00Z\"{end}"),
    );
    seen("clock-floor", "fail", "behind 2098-01-01T00:00:00Z");
    workshop.write("store/state/index.json", index);

    workshop.run(["store", "init", "--quota", "1MiB"]).expect(0);
    let object = seen("store-room", "warn", "of its quota of 1,048,576");
    let more = "the next policy may not fit: `tensorgate store gc`, or more room";
    assert_eq!(check(&object, "store-room").2, more);
    workshop.run(["store", "init", "--quota", "off"]).expect(0);

    fs::remove_dir_all(workshop.path("store/objects")).unwrap();
    let object = seen("store", "fail", "it has no \"objects\"");
    let another =
        "name another: --store DIR; or have the missing part made: `tensorgate store init`";
    assert_eq!(check(&object, "store").2, another);
    workshop.write("store/stranger", "");
    fs::create_dir(workshop.path("store/objects")).unwrap();
    seen(
        "store",
        "fail",
        "no place of tensorgate's: \"stranger\" is in it",
    );
}

#[test]
fn who_has_the_lock_is_named() {
    let workshop = Workshop::signed();
    workshop.verify(&[]).expect(0);
    let lock = fs::File::create(workshop.path("store/state/lock")).unwrap();
    lock.lock().unwrap();
    let object = doctor(&workshop, &["--json"]).expect(0).json();
    expect(&object, "store-lock", "warn", " has it");
    let end = "whoever writes waits for that: let it end, or end it; nothing is lost";
    assert_eq!(check(&object, "store-lock").2, end);
    // Where the kernel says whose it is.
    let (_, detail, _) = check(&object, "store-lock");
    let own = format!("process {}, \"", std::process::id());
    assert!(detail.starts_with(&own) || detail == "another process has it");
}

#[test]
fn a_list_of_revocations_is_told_with_its_end() {
    let workshop = Workshop::signed();
    workshop.verify(&[]).expect(0);
    let revoke = |expires: &str| {
        let zeros = "0".repeat(64);
        let options = [
            "trust",
            "revoke",
            "list.json",
            "--key",
            "release.key.pem",
            "--reason",
            "falls",
        ];
        workshop
            .run(
                options
                    .iter()
                    .chain(&["--manifest", &zeros, "--expires", expires]),
            )
            .expect(0);
        workshop.verify(&["--revocations", "list.json"]).expect(0);
    };
    let tell = |options: &[&str]| doctor(&workshop, &[&["--json"], options].concat()).json();
    revoke("2099-01-01T00:00:00Z");
    let words = "list 1, not proven without --trust, counts until 2099-01-01T00:00:00Z";
    expect(&tell(&[]), "store-revocations", "ok", words);
    let proven = tell(&["--trust", "trust.toml"]);
    expect(
        &proven,
        "store-revocations",
        "ok",
        "list 1, verified, counts until",
    );
    let tomorrow = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    revoke(&tomorrow.to_string());
    expect(
        &tell(&["--trust", "trust.toml"]),
        "store-revocations",
        "warn",
        "list 2, verified",
    );
    // Somebody else's list proves nothing.
    workshop.keygen("other");
    workshop.trust(1, &["other"]);
    let object = tell(&["--trust", "trust.toml"]);
    expect(&object, "store-revocations", "fail", "signature-invalid");
}

#[test]
fn a_trust_policy_that_cannot_be_used_is_told_as_trust_check_tells_it() {
    let workshop = Workshop::signed();
    let tell = || doctor(&workshop, &["--trust", "trust.toml", "--json"]);
    workshop.trust(2, &["release"]);
    expect(&tell().expect(2).json(), "trust", "fail", "threshold");
    workshop.trust(1, &["release"]);
    workshop.chmod("trust.toml", 0o664);
    expect(&tell().expect(2).json(), "trust", "fail", "cannot be used");
    workshop.chmod("trust.toml", 0o644);
    let key = |end: jiff::Timestamp| {
        workshop.write("trust.toml", format!("threshold = 1\n[[keys]]\nname = \"release\"\npublic_key_file = \"release.pub.pem\"\nnot_after = \"{end}\"\n"));
    };
    key(jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24));
    let object = tell().expect(0).json();
    expect(&object, "trust-keys", "warn", "\"release\" ends at 20");
    let next = "make the next key, and add it to the trust policy while the old one counts";
    assert_eq!(check(&object, "trust-keys").2, next);
    key("2020-01-01T00:00:00Z".parse().unwrap());
    expect(
        &tell().expect(2).json(),
        "trust",
        "fail",
        "key-expired: at 2020-01-01T00:00:00Z",
    );
}

#[test]
fn a_hub_that_answers_is_told_with_its_time_and_one_that_does_not_with_why() {
    let fixture = Fixture::new();
    let workshop = &fixture.workshop;
    let ask = |endpoint: &str| {
        let mut command = workshop.command();
        command.args(["doctor", "--json", "--endpoint", endpoint]);
        Run::of(&mut command)
    };
    let object = ask(fixture.hub.endpoint()).expect(0).json();
    expect(&object, "hub", "ok", " s, status 401");
    assert_eq!(fixture.hub.requests().len(), 1);
    // A store that knows a repository has the Hub asked for that.
    fixture.fetch_signed(&[]).expect(0);
    fixture.hub.clear_requests();
    let object = ask(fixture.hub.endpoint()).expect(0).json();
    expect(&object, "hub", "ok", " answered in 0.");
    let requests = fixture.hub.requests();
    assert!(requests.len() == 1 && format!("{requests:?}").contains("acme/walk"));

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let object = ask(&address).expect(2).json();
    expect(&object, "hub", "fail", "refused");
    let network = "check the network, the proxy of HTTPS_PROXY, and HF_ENDPOINT or --endpoint; what is in the store needs none of them";
    assert_eq!(check(&object, "hub").2, network);
    expect(
        &ask("https://nowhere.invalid").expect(2).json(),
        "hub",
        "fail",
        "failed",
    );
    expect(
        &ask("hub").expect(2).json(),
        "hub",
        "fail",
        "is not the address of a Hub",
    );
    // TLS: nobody speaks it here.
    let plain = fixture.hub.endpoint().replace("http://", "https://");
    expect(
        &ask(&plain).expect(2).json(),
        "hub",
        "fail",
        "https://127.0.0.1",
    );
    let offline = Run::of(
        workshop
            .command()
            .args(["doctor", "--json"])
            .env("HF_HUB_OFFLINE", "1"),
    );
    expect(&offline.expect(0).json(), "hub", "skipped", "was not asked");
}

#[test]
fn whoever_does_not_wait_for_the_hub_is_told_so() {
    let workshop = Workshop::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let mut command = workshop.command();
    command.args(["doctor", "--endpoint", &endpoint]);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    let (_connection, _) = silent.accept().unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told, "error: stopped before the Hub answered\n");
}

#[test]
fn a_token_is_told_by_its_place_alone() {
    let workshop = Workshop::new();
    let tell = |name: &str, value: &str| {
        let run = Run::of(command(&workshop).arg("--json").env(name, value));
        assert!(!format!("{run:?}").contains("hf_hidden"), "{run:?}");
        run.json()
    };
    expect(
        &tell("HF_TOKEN", "hf_hidden"),
        "hub-token",
        "ok",
        "in HF_TOKEN",
    );
    workshop.secret("secrets/token", "hf_hidden");
    let home = workshop.path("secrets").display().to_string();
    expect(
        &tell("HF_HOME", &home),
        "hub-token",
        "ok",
        "which its owner alone may open",
    );
    workshop.chmod("secrets/token", 0o644);
    let object = tell("HF_HOME", &home);
    expect(&object, "hub-token", "warn", "(mode 0644)");
    assert!(check(&object, "hub-token").2.starts_with("chmod 600 "));
    expect(
        &tell("HF_TOKEN_PATH", "nowhere"),
        "hub",
        "fail",
        "cannot be read",
    );
    let proxy = tell("HTTPS_PROXY", "http://me:hf_hidden@proxy:3128");
    expect(&proxy, "hub-proxy", "ok", "of HTTPS_PROXY");
    expect(
        &tell("HTTPS_PROXY", "socks5://proxy"),
        "hub",
        "fail",
        "the proxy of HTTPS_PROXY cannot be used",
    );
}

/// What the environment names, and what lies in a store, is opened without waiting.
#[test]
fn nobody_waits_for_a_fifo() {
    let workshop = Workshop::signed();
    workshop.verify(&[]).expect(0);
    workshop.fifo("token");
    fs::remove_file(workshop.path("store/state/lock")).unwrap();
    workshop.fifo("store/state/lock");
    let home = workshop.path("");
    let what = "it is no regular file, but a directory, FIFO or device";
    for (name, value, token) in [
        ("HF_TOKEN_PATH", "token", true),
        ("HF_HOME", home.to_str().unwrap(), true),
        ("SSL_CERT_FILE", "token", false),
    ] {
        let run = Run::of(command(&workshop).arg("--json").env(name, value));
        let object = run.expect(2).json();
        expect(&object, "hub", "fail", what);
        let hint = match token {
            true => {
                "name a file with a token, or set HF_HUB_DISABLE_IMPLICIT_TOKEN=1 to use none that is stored"
            }
            false => "SSL_CERT_FILE names a file in PEM, SSL_CERT_DIR directories with such files",
        };
        assert_eq!(check(&object, "hub").2, hint);
        expect(&object, "store-lock", "ok", "nobody has it");
    }
}

/// A prefix as colcon installs one.
#[test]
fn what_a_shell_has_sourced_is_told() {
    let workshop = Workshop::new();
    let prefix = workshop.path("install").display().to_string();
    let tell = |variables: &[(&str, &str)], status: i32| {
        let usual = [
            ("ROS_DISTRO", "jazzy"),
            ("AMENT_PREFIX_PATH", prefix.as_str()),
        ];
        let mut command = command(&workshop);
        let command = command
            .arg("--json")
            .envs(usual)
            .envs(variables.iter().copied());
        Run::of(command).expect(status).json()
    };
    expect(&tell(&[], 2), "ros-packages", "fail", "\"tensorgate_msgs\"");
    for package in ["tensorgate", "tensorgate_msgs"] {
        workshop.write(
            &format!("install/share/ament_index/resource_index/packages/{package}"),
            "",
        );
    }
    workshop.write("install/lib/tensorgate/tensorgate_node", "#!/bin/sh\n");
    workshop.write("install/lib/librmw_fastrtps_cpp.so", "");
    workshop.chmod("install/lib/tensorgate/tensorgate_node", 0o755);
    let object = tell(&[("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")], 0);
    for name in [
        "ros",
        "ros-packages",
        "ros-node",
        "ros-middleware",
        "ros-domain",
        "ros-discovery",
    ] {
        expect(&object, name, "ok", "");
    }
    expect(&object, "ros-security", "skipped", "off");
    expect(
        &tell(&[("ROS_DOMAIN_ID", "233")], 2),
        "ros-domain",
        "fail",
        "233",
    );
    expect(
        &tell(&[("RMW_IMPLEMENTATION", "rmw_nobody")], 2),
        "ros-middleware",
        "fail",
        "rmw_nobody",
    );
}
