//! What only a person can decide is listed for whoever asks, and refused everywhere else.

use tensorgate_verify::*;

use crate::lerobot::*;
use crate::support::directory;

fn ask(files: &Files) -> Result<Asked> {
    let folder = files.write();
    let survey = Survey::new(&files.rules)
        .with_externals(&files.externals)
        .with_reviewed_code(&files.reviewed_code);
    survey.asking(&directory(folder.path()), |_, _| {})
}

#[test]
fn what_is_undeclared_is_listed_and_what_is_declared_is_not() {
    let mut files = Files::smolvla();
    assert_eq!(ask(&files).unwrap().undecided, []);
    let declared = files.externals.split_off(1);
    let surveyed = ask(&files).unwrap();
    let external = |declared: &External| Undecided::External {
        field: declared.field.clone(),
        name: declared.name.clone(),
    };
    let listed: Vec<_> = declared.iter().map(external).collect();
    assert_eq!(surveyed.undecided, listed);
    // A survey that does not ask refuses each, and only with the answers it passes.
    let Err(Error::Rejected(found)) = files.survey() else {
        panic!("undeclared artifacts pass");
    };
    let codes: Vec<_> = found.iter().map(|found| found.rejection).collect();
    assert_eq!(codes, [Rejection::ExternalUnpinned; 2]);
    files.externals.extend(declared);
    files.passes();
}

#[test]
fn code_is_listed_where_a_review_would_count() {
    let mut files = Files::act();
    let code = b"def step(x):\n    return x\n".to_vec();
    let sha256 = Sha256::of(&code);
    files.bytes.insert("step.py".into(), code);
    let refused = ask(&files).unwrap_err();
    assert_eq!(refused.rejection(), Some(Rejection::CodeUnreviewed));
    files.rules.content.reviewed_code = Code::Allow;
    let path: FilePath = "step.py".parse().unwrap();
    let listed = Undecided::Code {
        path: path.clone(),
        sha256,
    };
    assert_eq!(ask(&files).unwrap().undecided, [listed]);
    // A review of other bytes is none that could be completed.
    let other = ReviewedCode::new(path, Sha256::of(b""), "R".into(), "n".into());
    files.reviewed_code = vec![other];
    let refused = ask(&files).unwrap_err();
    assert_eq!(refused.rejection(), Some(Rejection::CodeChanged));
}

#[test]
fn a_config_that_wants_code_is_asked_about_only_beside_code() {
    let mut files = Files::act();
    files.rules.content.reviewed_code = Code::Allow;
    files.config()["type"] = "gaussian_actor".into();
    files.config()["vision_encoder_name"] = "acme/encoder".into();
    let refused = ask(&files).unwrap_err();
    assert_eq!(refused.rejection(), Some(Rejection::RemoteCodeRequested));
    files.bytes.insert("encoder.py".into(), b"x = 1\n".to_vec());
    let undecided = ask(&files).unwrap().undecided;
    assert!(
        undecided
            .iter()
            .any(|open| matches!(open, Undecided::Code { .. })),
        "{undecided:?}"
    );
}

#[test]
fn what_is_no_decision_is_refused_whoever_asks() {
    let mut files = Files::act();
    files.externals.clear();
    files.config()["auto_map"] = serde_json::json!({"AutoModel": "modeling.Evil"});
    let refused = ask(&files).unwrap_err();
    assert_eq!(refused.rejection(), Some(Rejection::ConfigNamesCode));
}

#[test]
fn more_than_anybody_could_answer_is_refused() {
    let mut files = Files::act();
    for n in 0..1_001 {
        files.config()[format!("x{n}_weights")] = format!("acme/w{n}").into();
    }
    let refused = ask(&files).unwrap_err();
    assert_eq!(refused.rejection(), Some(Rejection::ExternalUnpinned));
}

#[test]
fn fields_that_begin_alike_are_two_decisions() {
    let mut files = Files::act();
    let field = |end: &str| format!("{}_{end}", "long".repeat(100));
    files.config()[field("weights")] = "acme/w".into();
    files.config()[field("backbone")] = "acme/w".into();
    let undecided = ask(&files).unwrap().undecided;
    let fields = ["backbone", "weights"].map(|end| format!("config.json#/{}", field(end)));
    let open = fields.clone().map(|field| Undecided::External {
        field,
        name: "acme/w".into(),
    });
    assert_eq!(undecided, open);
    // What is decided of one of them is not decided of the other.
    let [one, other] = fields;
    let absent = |field| External::absent(field, "acme/w".into(), "unused".into());
    files.externals.push(absent(one));
    let shown = format!("config.json#/{}…", "long".repeat(16));
    files.refused(Rejection::ExternalUnpinned, &shown);
    files.externals.push(absent(other));
    files.passes();
}

#[test]
fn no_file_has_the_name_of_a_place_in_another() {
    let mut files = Files::act();
    files.config()["a"] = serde_json::json!({"config.json#": {"b_weights": "acme/w"}});
    let undecided = ask(&files).unwrap().undecided;
    let field = "config.json#/a/config.json#/b_weights".to_owned();
    let name = "acme/w".to_owned();
    let reason = "unused".to_owned();
    files
        .externals
        .push(External::absent(field.clone(), name.clone(), reason));
    assert_eq!(undecided, [Undecided::External { field, name }]);
    files.passes();
    // In a file of its own it would be another field, and could not be told from the first.
    let below = br#"{"b_weights": "acme/w"}"#.to_vec();
    files
        .bytes
        .insert("config.json#/a/config.json".into(), below);
    let refused = ask(&files).unwrap_err();
    assert_eq!(refused.rejection(), Some(Rejection::FileNameUnsafe));
    files.refused(Rejection::FileNameUnsafe, "config.json#");
}

#[test]
fn what_no_manifest_can_declare_is_refused_whoever_asks() {
    let most = 1024 - "config.json#/".len();
    for (field, name) in [
        ("x_weights".to_owned(), "y/".repeat(513)),
        ("x_weights".to_owned(), "a/\u{1b}[2J".to_owned()),
        ("x_weights".to_owned(), "a/\u{202e}b".to_owned()),
        ("x".repeat(most + 1), "a/b".to_owned()),
        ("x\ny_weights".to_owned(), "a/b".to_owned()),
    ] {
        let mut files = Files::act();
        files.config()[&field] = name.as_str().into();
        // As it is shown where it is cut, too.
        let declared = [
            format!("config.json#/{field}"),
            format!("config.json#/{}…", field.get(..64).unwrap_or(&field)),
        ];
        let absent = |field| External::absent(field, name.clone(), "unused".into());
        files.externals.extend(declared.map(absent));
        for refused in [ask(&files).unwrap_err(), files.survey().unwrap_err()] {
            assert_eq!(refused.rejection(), Some(Rejection::ExternalUnpinned));
            assert!(refused.to_string().contains("no manifest can declare"));
        }
    }
    let mut files = Files::act();
    files.config()["x".repeat(most)] = "y/".repeat(512).into();
    let asked = ask(&files).unwrap();
    assert_eq!(asked.undecided.len(), 1);
}
