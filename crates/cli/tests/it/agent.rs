//! Keys that OpenSSH's own agent keeps.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::lobby::Lobby;
use crate::support::{EXPIRES, REVISION, Run, Workshop};

/// `ssh-agent`, until it is dropped; none where OpenSSH is not installed.
struct Agent {
    process: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(workshop: &Workshop) -> Option<Self> {
        let socket = workshop.path("agent");
        let mut command = Command::new("ssh-agent");
        command
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null());
        let process = match command.spawn() {
            Ok(process) => process,
            Err(error) => {
                println!("NOT TRIED: signing by an ssh-agent: {error}");
                return None;
            }
        };
        while !socket.exists() {
            std::thread::yield_now();
        }
        Some(Self { process, socket })
    }

    fn run(&self, program: &str, arguments: &[&str], workshop: &Workshop) -> Run {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(workshop.path(""))
            .env("SSH_AUTH_SOCK", &self.socket);
        Run::of(&mut command)
    }

    /// A key that the agent keeps, and nobody else: the file goes.
    fn make(&self, name: &str, workshop: &Workshop) {
        let new = ["-q", "-t", "ed25519", "-N", "", "-C", "ops", "-f", name];
        self.run("ssh-keygen", &new, workshop).expect(0);
        self.run("ssh-add", &["-q", name], workshop).expect(0);
        workshop.remove(name);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn an_agent_signs_what_is_admitted() {
    let lobby = Lobby::new();
    let workshop = &lobby.workshop;
    let Some(agent) = Agent::start(workshop) else {
        return;
    };
    agent.make("id_ed25519", workshop);
    let shown = workshop.run(["trust", "show", "id_ed25519.pub"]);
    let listed = agent.run("ssh-add", &["-l"], workshop).stdout;
    let fingerprint = listed.split(' ').nth(1).unwrap();
    shown.expect(0).says(&format!("  openssh    {fingerprint}"));
    // Every form of the key is the same key.
    workshop.write("agent.pub.pem", &shown.stdout);
    workshop.openssl(&["pkey", "-pubin", "-in", "agent.pub.pem", "-noout"]);
    workshop.write("trust.toml", "threshold = 1\n");
    workshop.write(
        "trust.toml",
        format!(
            "threshold = 1\n[[keys]]\nname = 'agent'\npublic_key = '''{}'''\n",
            shown.stdout
        ),
    );
    let sock = agent.socket.clone();
    let admit = |options: &[&str]| {
        let unasked = ["--yes", "--decisions", "decisions.toml"];
        Run::of(
            lobby
                .command(&[&unasked, options].concat())
                .env("SSH_AUTH_SOCK", &sock),
        )
    };
    let run = admit(&["--agent", "id_ed25519.pub"]);
    run.expect(0).says("signed by  \"agent\", key ");
    admit(&["--agent", "agent.pub.pem"]).expect(0);
    // The agent has it no more.
    agent.run("ssh-add", &["-q", "-D"], workshop).expect(0);
    let run = admit(&["--agent", "id_ed25519.pub"]);
    run.could_not_check("could not sign: the ssh-agent does not sign with this key");
    run.says("hint: `ssh-add -L` lists the keys that the agent has\n");
    drop(agent);
    admit(&["--agent", "id_ed25519.pub"])
        .could_not_check("could not sign: no ssh-agent at SSH_AUTH_SOCK");
    let run = lobby.admit_unasked(&["--agent", "id_ed25519.pub"]);
    run.could_not_check("there is no ssh-agent: SSH_AUTH_SOCK is not set");
    run.says("hint: `eval $(ssh-agent)` starts one, `ssh-add FILE` gives it a key\n");
}

#[test]
fn an_agent_signs_manifests_and_revocations() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    let Some(agent) = Agent::start(&workshop) else {
        return;
    };
    agent.make("ops", &workshop);
    let pem = workshop.run(["trust", "show", "ops.pub"]).stdout;
    workshop.write("release.pub.pem", pem);
    workshop.trust(1, &["release"]);
    let run = |arguments: &[&str]| {
        Run::of(
            workshop
                .command()
                .args(arguments)
                .env("SSH_AUTH_SOCK", &agent.socket),
        )
    };
    let release = [
        "--repo",
        "acme/walk",
        "--revision",
        REVISION,
        "--sequence",
        "5",
    ];
    let sign = ["sign", "walk", "--agent", "ops.pub", "--expires", EXPIRES];
    run(&[&sign[..], &release].concat()).expect(0);
    workshop.verify(&[]).expect(0);
    run(&[&sign[..], &release].concat())
        .expect(0)
        .says("this key had signed before");
    let revoke = [
        "trust",
        "revoke",
        "list.json",
        "--agent",
        "ops.pub",
        "--reason",
        "falls",
    ];
    let what = ["--expires", EXPIRES, "--revision", REVISION];
    run(&[&revoke[..], &what].concat()).expect(0);
    workshop
        .verify(&["--revocations", "list.json"])
        .rejected("revision-revoked", "revision");
    let run = run(&["sign", "walk", "--format", "oms", "--agent", "ops.pub"]);
    run.could_not_check("an ssh-agent signs manifests, not bundles");
    run.says("hint: give --key FILE, a key on P-256\n");
}

#[test]
fn more_than_the_agent_reads_is_said() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    let Some(agent) = Agent::start(&workshop) else {
        return;
    };
    agent.make("ops", &workshop);
    let tensor = |n: usize| {
        let (begin, end) = (4 * n, 4 * n + 4);
        format!(
            r#""layers.{n:05}.weight":{{"dtype":"F32","shape":[1],"data_offsets":[{begin},{end}]}}"#
        )
    };
    let tensors: Vec<String> = (0..2_000).map(tensor).collect();
    let mut header = format!(
        r#"{{"__metadata__":{{"format":"pt"}},{}}}"#,
        tensors.join(",")
    );
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let length = (header.len() as u64).to_le_bytes();
    let weights = [&length, header.as_bytes(), &[0; 8_000]].concat();
    workshop.write("walk/model.safetensors", weights);
    let release = [
        "--repo",
        "acme/walk",
        "--revision",
        REVISION,
        "--sequence",
        "5",
    ];
    let sign = ["sign", "walk", "--agent", "ops.pub", "--expires", EXPIRES];
    let mut command = workshop.command();
    command
        .args(sign)
        .args(release)
        .env("SSH_AUTH_SOCK", &agent.socket);
    Run::of(&mut command).could_not_check("that of OpenSSH reads 262144");
    assert!(!workshop.path("walk/policy.dsse.json").exists());
}

#[test]
fn an_agent_that_signs_with_another_key_is_not_believed() {
    use std::io::{Read, Write};
    let workshop = Workshop::new();
    workshop.policy("walk");
    workshop.keygen("release");
    let listener = std::os::unix::net::UnixListener::bind(workshop.path("agent")).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut length = [0; 4];
            client.read_exact(&mut length).unwrap();
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            client.read_exact(&mut request).unwrap();
            // A well-formed signature, and none of the key's: its 64 bytes are anybody's.
            let head = [0, 0, 0, 88, 14, 0, 0, 0, 83, 0, 0, 0, 11];
            let tail = [&b"ssh-ed25519"[..], &[0, 0, 0, 64], &[7; 64]].concat();
            client.write_all(&[&head[..], &tail].concat()).ok();
        }
    });
    let release = [
        "--repo",
        "acme/walk",
        "--revision",
        REVISION,
        "--sequence",
        "5",
    ];
    let sign = [
        "sign",
        "walk",
        "--agent",
        "release.pub.pem",
        "--expires",
        EXPIRES,
    ];
    let mut command = workshop.command();
    command
        .args(sign)
        .args(release)
        .env("SSH_AUTH_SOCK", workshop.path("agent"));
    let run = Run::of(&mut command);
    run.could_not_check("could not sign: what came is no signature of the key ");
    assert!(!workshop.path("walk/policy.dsse.json").exists());
}
