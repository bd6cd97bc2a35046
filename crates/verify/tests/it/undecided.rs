//! What only a person can decide is listed for whoever asks, and refused everywhere else.

use tensorgate_verify::*;

use crate::lerobot::*;
use crate::support::directory;

fn ask(files: &Files) -> Result<Surveyed> {
    let folder = files.write();
    let survey = Survey::new(&files.rules)
        .with_externals(&files.externals)
        .with_reviewed_code(&files.reviewed_code)
        .asking();
    survey.run(&directory(folder.path()))
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
