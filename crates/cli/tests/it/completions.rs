//! Completions, in the shells that are here.

use std::process::{Command, Stdio};

use crate::support::{Run, Workshop};

/// What bash offers for the last of these words.
fn bash(workshop: &Workshop, words: &[&str]) -> Vec<String> {
    let script = "source ./tensorgate.bash
        COMP_WORDS=(\"$@\"); COMP_CWORD=$(( $# - 1 )); COMP_LINE=\"$*\"; COMP_POINT=${#COMP_LINE}
        function=$(complete -p tensorgate | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        \"$function\" tensorgate \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut command = Command::new("bash");
    command.args(["--noprofile", "--norc", "-c", script, "bash"]);
    let run = Run::of(command.args(words).current_dir(workshop.path("")));
    assert_eq!(run.stderr, "");
    run.expect(0).stdout.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_values_and_files() {
    let workshop = Workshop::signed();
    let script = workshop
        .run(["completions", "bash"])
        .expect(0)
        .stdout
        .clone();
    workshop.write("tensorgate.bash", script);
    let offered = |words: &[&str]| bash(&workshop, words);
    assert_eq!(offered(&["tensorgate", "ver"]), ["verify"]);
    assert_eq!(offered(&["tensorgate", "store", "re"]), ["reset-state"]);
    assert_eq!(offered(&["tensorgate", "fetch", "--watc"]), ["--watch"]);
    let types = offered(&["tensorgate", "fetch", "--repo-type", ""]);
    assert_eq!(types, ["model", "dataset"]);
    assert_eq!(offered(&["tensorgate", "sign", "--format", "o"]), ["oms"]);
    let files = offered(&["tensorgate", "verify", "--trust", "trus"]);
    assert_eq!(files, ["trust.toml"]);
    let shells = offered(&["tensorgate", "completions", ""]);
    assert!(shells.contains(&"powershell".to_owned()), "{shells:?}");
}

/// The others are loaded where they are.
#[test]
fn other_shells_load_their_script() {
    let workshop = Workshop::new();
    let fish = "source tensorgate.fish; complete -C 'tensorgate ver'; complete -C 'tensorgate fetch --repo-type d'";
    let zsh = "autoload -U compinit; compinit -u -d dump; source ./tensorgate.zsh; print ${_comps[tensorgate]}; whence -w _tensorgate";
    for (shell, arguments, expected) in [
        (
            "fish",
            &["--no-config", "-c", fish][..],
            &["verify", "dataset"][..],
        ),
        ("zsh", &["-f", "-c", zsh], &["_tensorgate: function"]),
    ] {
        let script = workshop
            .run(["completions", shell])
            .expect(0)
            .stdout
            .clone();
        workshop.write(&format!("tensorgate.{shell}"), script);
        let there = Command::new(shell)
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if there.is_err() {
            println!("NOT TRIED: there is no {shell}");
            continue;
        }
        let mut command = Command::new(shell);
        command.args(arguments).current_dir(workshop.path(""));
        command.env("HOME", workshop.path(""));
        let run = Run::of(&mut command);
        run.expect(0);
        for word in expected {
            assert!(run.stdout.contains(word), "{word}\n{run:#?}");
        }
    }
}

#[test]
fn every_shell_has_a_script_and_no_other_has() {
    let workshop = Workshop::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = workshop.run(["completions", shell]);
        run.expect(0);
        assert!(run.stdout.contains("reset-state"), "{shell}");
        let object = workshop.run(["completions", shell, "--json"]).json();
        assert_eq!(object["script"], run.stdout, "{shell}");
    }
    workshop
        .run(["completions", "tcsh"])
        .could_not_check("[possible values: bash, elvish, fish, powershell, zsh]");
}
