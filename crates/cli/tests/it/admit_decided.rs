//! Answers in advance: to what they spell out, and to nothing that is like it.

use crate::lobby::{CONFIG, DECISIONS, Lobby, serve};
use crate::support::safetensors_of;

#[test]
fn a_card_that_states_nothing_has_to_be_accepted_as_that() {
    let lobby = Lobby::with(&[("README.md", b"---\ndatasets: acme/steps\n---\n# walk\n")]);
    let run = lobby.admit_unasked(&[]);
    run.could_not_check(
        "the card states no licence: `licenses = [\"none stated\"]` under [accept]",
    );
    lobby.decide("'apache-2.0'", "'none stated'");
    lobby.admit_unasked(&[]).expect(0);
}

#[test]
fn a_licence_that_cannot_be_told_is_agreed_to_by_nobody() {
    let long = format!("license: {}", "x".repeat(513));
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nlicense: *b";
    let twice = "license: apache-2.0\nlicense: mit";
    let mut lobby = Lobby::new();
    lobby.decide("'apache-2.0'", "'none stated', 'apache-2.0'");
    for entry in [&*long, bomb, twice, "license: {a: b}"] {
        let card = format!("---\n{entry}\n---\n# walk\n");
        lobby.commit = serve(&lobby.hub, &[("README.md", card.as_bytes())]);
        let run = lobby.admit_unasked(&[]);
        run.could_not_check("the card states a licence, in a form that is not read here; nothing");
        run.says("  card       licence: \"one is stated, in a form that is not read here\"");
        run.says("hint: look into README.md: one entry `license`, a text or a list of texts, in front matter between two lines `---`\n");
    }
    assert!(lobby.is_empty());
}

#[test]
fn another_licence_is_agreed_to_by_its_name() {
    let mut lobby = Lobby::new();
    let answers = "'other', 'other: evaluation only, https://example.com/1'";
    lobby.decide("'apache-2.0'", answers);
    let mut admit = |name: &str| {
        let link = "license_link: https://example.com/1";
        let card = format!("---\nlicense: other\nlicense_name: {name}\n{link}\n---\n");
        lobby.commit = serve(&lobby.hub, &[("README.md", card.as_bytes())]);
        lobby.admit_unasked(&[])
    };
    admit("evaluation only").expect(0);
    admit("no robots").could_not_check(
        "the card states the licence \"other: no robots, https://example.com/1\": `licenses = ",
    );
}

/// `acme/walk` once more, with this in its configuration.
fn configure(lobby: &mut Lobby, more: &str) {
    let config = CONFIG.replace('}', &format!(", {more}}}"));
    lobby.commit = serve(&lobby.hub, &[("config.json", config.as_bytes())]);
}

#[test]
fn a_field_that_no_known_type_has_is_asked_about_with_what_stands_there() {
    let mut lobby = Lobby::new();
    configure(&mut lobby, r#""my_field": 3"#);
    lobby.admit_unasked(&[]).could_not_check(
        "no known type has the field \"config.json#/my_field\": 3: \
         `fields = ['\"config.json#/my_field\": 3']` under [accept]",
    );
    let mut admit = |value: &str, answer: &str| {
        configure(&mut lobby, &format!("\"my_field\": {value}"));
        let fields = format!("fields = ['''\"config.json#/my_field\": {answer}''']\nvalid_days");
        lobby.decide("valid_days", &fields);
        lobby.admit_unasked(&[])
    };
    for (value, answer) in [
        ("3", "3"),
        ("null", "null"),
        ("[1, {\"a\": [ ]}]", "[1,{\"a\":[]}]"),
        ("[1,2]", " [ 1 , 2 ] "),
        ("\"é'\"", "\"\\u00e9'\""),
        ("\"\\u00e9\"", "\"é\""),
        ("18446744073709551617", "18446744073709551617"),
    ] {
        admit(value, answer).expect(0);
    }
    // What was agreed to, and nothing that is like it.
    for (value, answer) in [
        ("3", "4"),
        ("3", "\"3\""),
        ("1.0", "1"),
        ("1", "1.0"),
        ("-0", "0"),
        ("1e2", "100"),
        ("18446744073709551617", "18446744073709551616"),
        ("null", "{}"),
        ("[1,2]", "[2,1]"),
        ("{\"a\": 1, \"b\": 2}", "{\"b\": 2, \"a\": 1}"),
        ("\"a b\"", "\"a  b\""),
        ("\"a\u{301}\"", "\"\u{e1}\""),
    ] {
        let run = admit(value, answer);
        run.could_not_check("no known type has the field \"config.json#/my_field\": ");
    }
}

#[test]
fn more_fields_than_can_be_shown_are_agreed_to_by_nobody() {
    let mut lobby = Lobby::new();
    let fields = |n: usize| {
        let fields = (0..n).map(|n| format!("\"f{n:03}\": 1"));
        fields.collect::<Vec<_>>().join(", ")
    };
    let answers = (0..256).map(|n| format!("'\"config.json#/f{n:03}\": 1'"));
    let answers = answers.collect::<Vec<_>>().join(", ");
    let rest = "'\"config.json#\": \"and 1 more field\"'";
    let answers = format!("fields = [{answers}, {rest}]\nvalid_days");
    lobby.decide("valid_days", &answers);
    configure(&mut lobby, &fields(256));
    lobby.admit_unasked(&[]).expect(0);
    configure(&mut lobby, &fields(257));
    let run = lobby.admit_unasked(&[]);
    run.could_not_check(
        "fields that no known type has are more than can be shown whole: \"config.json#\": and 1 more field; nothing was signed",
    );
    run.says(
        "hint: ask its author to keep in config.json what a loader reads, and the rest elsewhere\n",
    );
    // One that is too long, by its value or by its name.
    for (field, value) in [
        ("x".to_owned(), format!("\"{}\"", "y".repeat(4_095))),
        ("x".to_owned(), format!("\"{}\"", "é".repeat(700))),
        ("x".repeat(1_012), "1".to_owned()),
    ] {
        configure(&mut lobby, &format!("\"{field}\": {value}"));
        let answer = format!("fields = ['\"config.json#/{field}\": {value}']\nvalid_days");
        lobby.decide("valid_days", &answer);
        let run = lobby.admit_unasked(&[]);
        run.could_not_check("fields that no known type has are more than can be shown whole: ");
    }
}

#[test]
fn a_configuration_that_two_readers_take_differently_is_refused_before_anybody_is_asked() {
    let mut lobby = Lobby::new();
    let deep = format!("\"x\": {}{}", "[".repeat(200), "]".repeat(200));
    for (more, code) in [
        ("\"x\": 1, \"x\": 2", "json-duplicate-key"),
        ("\"x\": {\"a\": 1, \"\\u0061\": 2}", "json-duplicate-key"),
        ("\"x\": 1e400", "json-malformed"),
        ("\"x\": NaN", "json-malformed"),
        ("\"x\": \"\\ud800\"", "json-malformed"),
        (&deep, "json-malformed"),
    ] {
        configure(&mut lobby, more);
        lobby.admit_unasked(&[]).rejected(code, "config.json");
    }
}

/// Weights of which as many are NaN.
fn gain(nan: usize) -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"pt"},"gain":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let value = |at: usize| if at < nan { f32::NAN } else { 1.0 };
    let data = [0, 1].map(|at| value(at).to_le_bytes()).concat();
    safetensors_of(header, &data)
}

#[test]
fn a_finding_that_the_rules_let_pass_is_asked_about_as_it_is_told() {
    let mut lobby = Lobby::with(&[("model.safetensors", &gain(1))]);
    lobby
        .admit_unasked(&[])
        .rejected("weights-non-finite", "model.safetensors#gain");
    let trust = String::from_utf8(lobby.workshop.read("trust.toml")).unwrap();
    lobby.workshop.write(
        "trust.toml",
        format!("{trust}[content]\nnon_finite = 'warn'\n"),
    );
    let told = "weights-non-finite: \"model.safetensors#gain\": NaN or infinite: 1 in all, the first at index 0";
    let run = lobby.admit_unasked(&[]);
    run.could_not_check(&format!("`findings = ['{told}']` under [accept]"));
    lobby.decide("valid_days", &format!("findings = ['{told}']\nvalid_days"));
    lobby
        .admit_unasked(&[])
        .expect(0)
        .says("note: weights-non-finite: ");
    // Twice as many are another finding.
    lobby.commit = serve(&lobby.hub, &[("model.safetensors", &gain(2))]);
    lobby.admit_unasked(&[]).could_not_check(
        "`findings = ['weights-non-finite: \"model.safetensors#gain\": NaN or infinite: 2 in all",
    );
}

#[test]
fn an_answer_to_what_nobody_asks_is_told_and_left_out() {
    let lobby = Lobby::new();
    lobby.decide_also(
        "[[externals]]\nfield = 'config.json#/vlm'\nname = 'x'\ndecision = 'absent'\nreason = 'r'\n\
         [[reviewed_code]]\npath = 'gone.py'\nsha256 = '0000000000000000000000000000000000000000000000000000000000000000'\nreviewer = 'R'\nnote = 'n'\n",
    );
    let run = lobby.admit_unasked(&["--save-decisions", "saved.toml"]);
    run.expect(0)
        .says(
            "note: the decisions answer \"config.json#/vlm\" naming \"x\", which nothing here asks",
        )
        .says("note: the decisions have a review of \"gone.py\", which is no code here");
    // What is saved is what was asked, and answers it again.
    let saved = lobby.workshop.read("saved.toml");
    assert!(!String::from_utf8_lossy(&saved).contains("gone.py"));
    lobby
        .admit(&["--yes", "--decisions", "saved.toml"])
        .expect(0);
}

#[test]
fn decisions_that_cannot_be_meant_are_refused() {
    let lobby = Lobby::new();
    for (from, to, why) in [
        ("licenses", "licences", "unknown field `licences`"),
        (
            "valid_days = 90",
            "findings = ['nonsense']",
            "line 1: \"nonsense\" is no finding, which is written whole, as `admit` tells it",
        ),
        // A code alone would answer for every finding of its kind, and a field for every value.
        (
            "valid_days = 90",
            "findings = ['weights-non-finite']",
            "\"weights-non-finite\" is no finding, which is written whole",
        ),
        (
            "valid_days = 90",
            "fields = ['config.json#/my_field']",
            "a field is written with what stands there, as `admit` shows both",
        ),
        ("valid_days = 90", "fields = [3]", "invalid type: integer"),
        ("'F32'", "'float'", "line 4"),
        ("max_bytes = 10000", "max_bytes = -1", "line 5"),
    ] {
        lobby.decide(from, to);
        lobby.admit_unasked(&[]).could_not_check(why);
    }
    assert!(lobby.hub.requests().is_empty());
    // What answers a person is no declaration of a signer.
    lobby.workshop.policy("walk");
    let run = lobby
        .workshop
        .run(["audit", "walk", "--externals", "decisions.toml"]);
    run.could_not_check("\"decisions.toml\" cannot be used");
    lobby.workshop.write("decisions.toml", DECISIONS);
    let run = lobby
        .workshop
        .run(["audit", "walk", "--externals", "decisions.toml"]);
    run.could_not_check("have [accept], which answers `admit`");
    run.says("hint: take [accept] out of it, or run `admit`\n");
}

#[test]
fn two_answers_to_one_question_are_none() {
    let lobby = Lobby::new();
    let (_, external) = DECISIONS.split_once("\n\n").unwrap();
    let other = external.replace("the policy has its own", "another");
    lobby.decide_also(&other);
    lobby.admit_unasked(&[]).could_not_check(
        "answer \"config.json#/pretrained_backbone_weights\" naming \"ResNet18_Weights.IMAGENET1K_V1\" twice",
    );
    let review = |sha256: &str| {
        format!(
            "[[reviewed_code]]\npath = 'step.py'\nsha256 = '{sha256}'\nreviewer = 'r'\nnote = 'n'\n"
        )
    };
    lobby.decide_also(&[review(&"0".repeat(64)), review(&"1".repeat(64))].concat());
    lobby
        .admit_unasked(&[])
        .could_not_check("answer \"step.py\" twice")
        .says("hint: leave one of the two");
    assert!(lobby.is_empty());
}

#[test]
fn nothing_is_saved_that_could_not_be_read_again() {
    let lobby = Lobby::new();
    // As it is written again, each takes one byte more.
    let many = "'a',".repeat(225_000);
    lobby.decide("['act']", &format!("['act',{many}]"));
    let run = lobby.admit_unasked(&["--save-decisions", "saved.toml"]);
    run.could_not_check("what was decided has more than 1 MiB, which no --decisions would read");
    run.says("hint: leave out --save-decisions\n");
    assert!(lobby.is_empty() && !lobby.workshop.path("saved.toml").exists());
}
