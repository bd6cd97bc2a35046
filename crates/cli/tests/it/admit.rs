//! From a Hub to the robot's store, with the answers in a file.

use crate::lobby::{CARD, CODE, CONFIG, DECISIONS, Lobby, UNTIL, serve};

#[test]
fn what_the_decisions_answer_is_admitted() {
    let lobby = Lobby::new();
    let run = lobby.admit_unasked(&[]);
    run.expect(0)
        .says("in quarantine, untrusted: \"acme/walk@")
        .says("  card       licence: \"apache-2.0\"")
        .says("verified: \"acme/walk@")
        .says("  sequence   1\n")
        .says("signed by  \"ops\", key ")
        .says("\n  expires    ");
    let path = run.stdout.trim_end();
    let trust = lobby.workshop.path("trust.toml");
    let launch = format!(
        "ros2 launch tensorgate tensorgate.launch.xml policy:={path} trust:={}",
        trust.display()
    );
    run.says(&launch);
    // As the node reads it: by its own, at its place in the store.
    let verified = lobby
        .workshop
        .run(["verify", path, "--trust", "trust.toml", "--json"])
        .json();
    assert_eq!(verified["verdict"], "verified");
    assert_eq!(verified["evidence"]["repo"]["revision"], lobby.commit);
    // The next one has the next number, and says what changed.
    let object = lobby.admit_unasked(&["--json"]).json();
    assert_eq!(object["evidence"]["sequence"], 2);
    assert_eq!(object["admitted"], true);
    assert_eq!(
        object["facts"]["card"]["license"],
        serde_json::json!(["apache-2.0"])
    );
    lobby
        .admit_unasked(&[])
        .expect(0)
        .says("  changed    nothing since release 2");
}

#[test]
fn what_changed_since_the_last_release_is_told() {
    let mut lobby = Lobby::new();
    lobby.admit_unasked(&[]).expect(0);
    let mut other = crate::support::weights();
    *other.last_mut().unwrap() ^= 1;
    lobby.commit = serve(
        &lobby.hub,
        &[("model.safetensors", &other), ("README.md", b"# walk\n")],
    );
    lobby.decide("'apache-2.0'", "'none stated'");
    let run = lobby.admit_unasked(&[]);
    run.expect(0)
        .says("  changed    2 files since release 1:")
        .says("    changed  README.md\n")
        .says("    changed  model.safetensors: 1 of 2 tensors are others\n")
        .says("`tensorgate diff acme/walk /");
}

#[test]
fn every_question_that_is_left_open_is_named_with_its_answer() {
    let lobby = Lobby::with(&[("step.py", CODE.as_bytes())]);
    lobby.allow_code();
    lobby
        .workshop
        .write("decisions.toml", "[accept]\nvalid_days = 90\n");
    let run = lobby.admit_unasked(&[]);
    run.could_not_check("--decisions does not answer, and nothing is assumed:");
    run.says(
        "hint: look at each, and answer it in the file; or run it without --yes, on a terminal\n",
    );
    run.says(
        "\"config.json#/pretrained_backbone_weights\" names \"ResNet18_Weights.IMAGENET1K_V1\"",
    );
    run.says("the code \"step.py\", sha256 ");
    run.says(
        "the card states the licence \"apache-2.0\": `licenses = [\"apache-2.0\"]` under [accept]",
    );
    run.says("the policy's type is \"act\": `policy_types = [\"act\"]` under [accept]");
    run.says("tensors are F32: `dtypes = [\"F32\"]` under [accept]");
    run.says("`max_bytes = ");
    assert!(lobby.is_empty());
    // None of them is answered by another's answer.
    for (from, to, open) in [
        ("'apache-2.0'", "'mit'", "licenses = [\"apache-2.0\"]"),
        ("'act'", "'diffusion'", "policy_types = [\"act\"]"),
        ("'F32'", "'F64'", "dtypes = [\"F32\"]"),
        ("max_bytes = 10000", "max_bytes = 4000", "max_bytes = "),
        ("IMAGENET1K_V1", "IMAGENET1K_V2", "a table [[externals]]"),
    ] {
        lobby.decide(from, to);
        lobby.admit_unasked(&[]).could_not_check(open);
    }
    assert!(lobby.is_empty());
}

#[test]
fn what_is_no_decision_is_refused() {
    let config = CONFIG.replace('}', r#", "auto_map": {"AutoModel": "x.Y"}}"#);
    for (name, bytes, code, subject) in [
        (
            "model.safetensors",
            &b"\x80\x04\x95 pickle"[..],
            "format-pickle",
            "model.safetensors",
        ),
        (
            "config.json",
            config.as_bytes(),
            "config-names-code",
            "config.json#/auto_map",
        ),
        // The trust policy lets no code pass, whoever would review it.
        ("step.py", CODE.as_bytes(), "code-unreviewed", "step.py"),
    ] {
        let lobby = Lobby::with(&[(name, bytes)]);
        lobby
            .admit_unasked(&["--save-decisions", "saved.toml"])
            .rejected(code, subject);
        assert!(lobby.is_empty());
        assert!(!lobby.workshop.path("saved.toml").exists());
    }
}

#[test]
fn code_passes_as_it_was_reviewed_or_not_at_all() {
    let lobby = Lobby::with(&[("step.py", CODE.as_bytes())]);
    lobby.allow_code();
    lobby.workshop.write("step.py", CODE);
    let sha256 = lobby
        .workshop
        .openssl(&["dgst", "-sha256", "-r", "step.py"]);
    let review = |sha256: &str| {
        format!(
            "[[reviewed_code]]\npath = 'step.py'\nsha256 = '{sha256}'\nreviewer = 'R'\nnote = 'pure'\n"
        )
    };
    lobby.decide_also(&review(&"0".repeat(64)));
    lobby.admit_unasked(&[]).rejected("code-changed", "step.py");
    assert!(lobby.is_empty());
    lobby.decide_also(&review(&sha256[..64]));
    let path = lobby.admit_unasked(&[]).expect(0).stdout.clone();
    let manifest = format!("{}/policy.dsse.json", path.trim_end());
    let manifest = lobby.workshop.run(["inspect", &manifest, "--json"]).json();
    let reviews = &manifest["manifest"]["reviewed_code"];
    assert_eq!(reviews[0]["note"], "pure", "{manifest:#}");
}

#[test]
fn nobody_is_asked_where_nobody_is() {
    let lobby = Lobby::new();
    let run = lobby.admit(&["--expires", "2099-01-01T00:00:00Z"]);
    run.could_not_check("there is nobody to ask");
    run.says("hint: `--yes --decisions FILE` answers in advance; see `tensorgate admit --help`\n");
    let mut arguments = lobby.arguments(&["--yes", "--decisions", "decisions.toml"]);
    arguments[1] = "acme/walk".to_owned();
    let run = lobby.workshop.run(&arguments);
    run.could_not_check("\"acme/walk\" names no commit");
    run.says("hint: type acme/walk@main (a branch is looked up and pinned), or a commit in place of main\n");
    assert!(lobby.hub.requests().is_empty());
    lobby
        .admit(&["--yes"])
        .could_not_check("--decisions <FILE>");
    lobby.decide("valid_days = 90", "");
    let run = lobby.admit_unasked(&[]);
    run.could_not_check("nothing says when the signature stops to count");
    run.says("hint: give --expires INSTANT, or `valid_days` under [accept] in --decisions\n");
    lobby
        .admit_unasked(&["--expires", "2001-01-01T00:00:00Z"])
        .rejected("manifest-expired", "expires");
}

#[test]
fn a_key_that_does_not_count_asks_nothing() {
    let lobby = Lobby::new();
    let workshop = &lobby.workshop;
    workshop.keygen("other");
    let run = lobby.admit_unasked(&["--key", "other.key.pem"]);
    run.could_not_check(" is not in trust.toml: what it signs would not count");
    run.says("hint: `tensorgate trust add-key trust.toml NAME.pub.pem --name NAME` adds one; or give another key\n");
    let entry = |more: &str| {
        workshop.write(
            "trust.toml",
            format!(
                "threshold = 1\n[[keys]]\nname = 'ops'\npublic_key_file = 'ops.pub.pem'\n{more}"
            ),
        );
    };
    entry("not_after = '2020-01-01T00:00:00Z'\n");
    let run = lobby.admit_unasked(&[]);
    run.could_not_check("does not count for acme/walk: key-expired");
    run.says("hint: sign with a key that does: `tensorgate trust check trust.toml` lists them\n");
    entry("repos = ['other/*']\n");
    lobby
        .admit_unasked(&[])
        .could_not_check("does not count for acme/walk: key-out-of-scope");
    assert!(lobby.hub.requests().is_empty());
}

#[test]
fn an_older_release_cannot_be_made() {
    let lobby = Lobby::new();
    lobby.admit_unasked(&["--sequence", "7"]).expect(0);
    for sequence in ["7", "6", "0"] {
        lobby
            .admit_unasked(&["--sequence", sequence])
            .rejected("manifest-rollback", "sequence");
    }
    lobby.admit_unasked(&[]).expect(0).says("  sequence   8\n");
}

#[test]
fn a_branch_is_pinned_and_a_file_of_another_form_is_not_asked_for() {
    let lobby = Lobby::with(&[("run.exe", b"MZ")]);
    let mut arguments = lobby.arguments(&["--yes", "--decisions", "decisions.toml"]);
    arguments[1] = "acme/walk@main".to_owned();
    let run = lobby.workshop.run(&arguments);
    run.expect(0)
        .says(&format!("resolved main to {}, pinned", lobby.commit))
        .says("  left out   run.exe: no file of a policy has this name");
}

#[test]
fn a_full_store_keeps_what_it_had() {
    let lobby = Lobby::new();
    lobby.admit_unasked(&["--out", "first.dsse.json"]).expect(0);
    lobby
        .workshop
        .run(["store", "init", "--quota", "1KiB"])
        .expect(0);
    lobby
        .admit_unasked(&["--out", "second.dsse.json"])
        .could_not_check("quota");
    assert!(!lobby.workshop.path("second.dsse.json").exists());
    let object = lobby.workshop.run(["store", "ls", "--json"]).json();
    assert_eq!(object["accepted"][0]["sequence"], 1);
}

#[test]
fn what_would_be_written_over_is_said_first() {
    let lobby = Lobby::new();
    lobby.workshop.write("taken", "x");
    let run = lobby.admit_unasked(&["--out", "taken"]);
    run.could_not_check("\"taken\" is there, and the manifest would go there");
    run.says("hint: `--manifest taken` adds a signature to it; or give another --out\n");
    assert!(lobby.hub.requests().is_empty());
    let run = lobby.admit_unasked(&["--save-decisions", "missing/saved.toml"]);
    run.could_not_check("could not write the decisions \"missing/saved.toml\"");
    assert!(lobby.is_empty(), "nothing is signed that could not be told");
}

#[test]
fn a_report_is_written_whatever_comes_of_it() {
    let page = |lobby: &Lobby| String::from_utf8(lobby.workshop.read("report.html")).unwrap();
    let lobby = Lobby::new();
    lobby.admit_unasked(&["--html", "report.html"]).expect(0);
    let text = page(&lobby);
    assert!(
        text.contains("apache-2.0") && text.contains("the policy has its own"),
        "{text}"
    );
    // What whoever answers for the robot asks first.
    for row in ["policy", "expires", "repository"] {
        assert!(
            text.contains(&format!(r#"<th scope="row">{row}</th>"#)),
            "{row}\n{text}"
        );
    }
    let lobby = Lobby::with(&[("model.safetensors", b"\x80\x04\x95 pickle")]);
    lobby
        .admit_unasked(&["--html", "report.html"])
        .rejected("format-pickle", "model.safetensors");
    assert!(page(&lobby).contains("format-pickle"));
}

#[test]
fn hostile_words_are_shown_as_they_are_written() {
    let config = CONFIG.replace('}', r#", "x\u001b[2J\u202ey": "\u001b[2J\u202e"}"#);
    let card = CARD.replace("apache-2.0", r#""\e[31mapache\u202e""#);
    let lobby = Lobby::with(&[
        ("config.json", config.as_bytes()),
        ("README.md", card.as_bytes()),
    ]);
    let run = lobby.admit_unasked(&[]);
    run.could_not_check("");
    assert!(
        run.stderr
            .chars()
            .all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'),
        "{run:#?}"
    );
    run.says(r"\u{1b}");
}

#[test]
fn after_the_last_number_there_is_none() {
    let lobby = Lobby::new();
    let last = u64::MAX.to_string();
    lobby.admit_unasked(&["--sequence", &last]).expect(0);
    for (options, sequence) in [(&[][..], &*last), (&["--sequence", "7"], "7")] {
        let run = lobby.admit_unasked(options);
        run.rejected("manifest-rollback", "sequence");
        run.says(&format!(
            "{sequence}, but 18446744073709551615 was accepted here before"
        ));
    }
}

#[test]
fn decisions_that_others_may_write_decide_nothing() {
    let lobby = Lobby::new();
    let hint = "hint: read it first, somebody may have changed it; then `chmod go-w`\n";
    for mode in [0o666, 0o664, 0o646] {
        lobby.workshop.chmod("decisions.toml", mode);
        let run = lobby.admit_unasked(&[]);
        run.could_not_check(
            "the declarations \"decisions.toml\" cannot be used: it may be written by its group or by everybody",
        );
        run.says(hint);
    }
    lobby.workshop.chmod("decisions.toml", 0o644);
    let admit = |decisions: &str| lobby.admit(&["--yes", "--decisions", decisions]);
    std::os::unix::fs::symlink("decisions.toml", lobby.workshop.path("link.toml")).unwrap();
    admit("link.toml").could_not_check("it is a link: name the file itself");
    // Whoever may write to a directory puts another file in its place.
    lobby.workshop.write("shared/decisions.toml", DECISIONS);
    lobby.workshop.chmod("shared", 0o775);
    let run = admit("shared/decisions.toml");
    run.could_not_check("the directory that it lies in may be written by its group");
    run.says(hint);
    admit("missing.toml").could_not_check("could not read the declarations \"missing.toml\"");
    assert!(lobby.is_empty());
    lobby.workshop.chmod("shared", 0o755);
    let decided = ["--yes", "--decisions", "shared/decisions.toml"];
    lobby.admit(&[&UNTIL[..], &decided].concat()).expect(0);
}
