//! A Hub with a policy that nobody signed, whose reviewer has something to decide.

use std::process::Command;

use tensorgate_testhub::{Repository, TestHub};

use crate::support::{EXPIRES, Run, Workshop, weights};

/// A card as LeRobot writes it.
pub(crate) const CARD: &str = "---\nlicense: apache-2.0\ndatasets: acme/steps\n---\n# walk\n";
/// What loading it would fetch, unless it is declared.
pub(crate) const CONFIG: &str =
    r#"{"type": "act", "pretrained_backbone_weights": "ResNet18_Weights.IMAGENET1K_V1"}"#;
pub(crate) const CODE: &str = "def step(x):\n    return x + 1\n";

/// Answers to everything about `acme/walk`.
pub(crate) const DECISIONS: &str = "\
[accept]
licenses = ['apache-2.0']
policy_types = ['act']
dtypes = ['F32']
max_bytes = 10000
valid_days = 90

[[externals]]
field = 'config.json#/pretrained_backbone_weights'
name = 'ResNet18_Weights.IMAGENET1K_V1'
decision = 'absent'
reason = 'the policy has its own'
";

/// `acme/walk` at one commit, an operator with the key `ops`, and a trust policy for it.
pub(crate) struct Lobby {
    pub(crate) workshop: Workshop,
    pub(crate) hub: TestHub,
    pub(crate) commit: String,
}

impl Lobby {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// With these files besides, or in place of the usual ones.
    pub(crate) fn with(besides: &[(&str, &[u8])]) -> Self {
        let workshop = Workshop::new();
        workshop.keygen("ops");
        workshop.trust(1, &["ops"]);
        workshop.write("decisions.toml", DECISIONS);
        let hub = TestHub::start().unwrap();
        let commit = serve(&hub, besides);
        Self {
            workshop,
            hub,
            commit,
        }
    }

    /// Lets reviewed code pass.
    pub(crate) fn allow_code(&self) {
        let trust = String::from_utf8(self.workshop.read("trust.toml")).unwrap();
        let trust = format!("{trust}[content]\nreviewed_code = 'allow'\n");
        self.workshop.write("trust.toml", trust);
    }

    pub(crate) fn target(&self) -> String {
        format!("acme/walk@{}", self.commit)
    }

    /// The command with the usual options; those that are given again replace them.
    pub(crate) fn command(&self, options: &[&str]) -> Command {
        let mut command = self.workshop.command();
        command.args(self.arguments(options));
        command
    }

    pub(crate) fn arguments(&self, options: &[&str]) -> Vec<String> {
        let target = self.target();
        let mut arguments = vec!["admit", &target, "--endpoint", self.hub.endpoint()];
        if !options.contains(&"--agent") && !options.contains(&"--key") {
            arguments.extend(["--key", "ops.key.pem"]);
        }
        if !options.contains(&"--trust") {
            arguments.extend(["--trust", "trust.toml"]);
        }
        arguments.extend(options);
        arguments.into_iter().map(str::to_owned).collect()
    }

    pub(crate) fn admit(&self, options: &[&str]) -> Run {
        Run::of(&mut self.command(options))
    }

    /// Nobody is asked.
    pub(crate) fn admit_unasked(&self, options: &[&str]) -> Run {
        let unasked = ["--yes", "--decisions", "decisions.toml"];
        self.admit(&[&unasked, options].concat())
    }

    /// Answers in place of the usual ones.
    pub(crate) fn decide(&self, from: &str, to: &str) {
        assert!(DECISIONS.contains(from), "{from}");
        self.workshop
            .write("decisions.toml", DECISIONS.replace(from, to));
    }

    /// The usual answers and these.
    pub(crate) fn decide_also(&self, more: &str) {
        self.workshop
            .write("decisions.toml", format!("{DECISIONS}{more}"));
    }

    /// Whether anything was accepted.
    pub(crate) fn is_empty(&self) -> bool {
        let run = self.workshop.run(["store", "ls", "--json"]);
        let object = run.expect(0).json();
        let policies = std::fs::read_dir(self.workshop.path("store/policies"));
        let none = policies.map_or(true, |mut entries| entries.next().is_none());
        none && object["accepted"].as_array().unwrap().is_empty()
    }
}

/// A further commit of `acme/walk`, from the start.
pub(crate) fn serve(hub: &TestHub, besides: &[(&str, &[u8])]) -> String {
    let weights = weights();
    let usual: [(&str, &[u8]); 3] = [
        ("README.md", CARD.as_bytes()),
        ("config.json", CONFIG.as_bytes()),
        ("model.safetensors", &weights),
    ];
    let is_replaced = |path: &str| besides.iter().any(|(other, _)| *other == path);
    let usual = usual.into_iter().filter(|(path, _)| !is_replaced(path));
    let files = usual.chain(besides.iter().copied());
    let files = files.map(|(path, bytes)| (path.to_owned(), bytes.to_vec()));
    let walk = Repository::new("acme/walk")
        .unwrap()
        .commit_files(files)
        .unwrap();
    let commit = walk.commits()[0].clone();
    hub.serve(walk);
    commit
}

/// A signature that counts until long after.
pub(crate) const UNTIL: [&str; 2] = ["--expires", EXPIRES];
