//! `tensorgate fetch --dry-run`: what would come, and whether there is room for it.

use serde_json::{Value, json};
use tensorgate_hub::{At, Have, Plan, Planned, Request, Target, plan};

use crate::args::Signed;
use crate::failure::Failure;
use crate::fetch::{Asked, LEFT_OUT, Session, left_out};
use crate::output::Report;
use crate::text::{count, table, thousands};
use crate::trust;
use crate::verify::{evidence_json, evidence_lines};

/// What the Hub lists, of which nothing was verified.
pub(crate) async fn unsigned(session: &Session, target: Target) -> Result<Report, Failure> {
    let revision = session.pin(&target).await?;
    let target = target.pinned(revision);
    let plan = session.plan(Request::new(&target)).await?;
    Ok(report(&target, &plan))
}

/// What the manifest lists, if it counts.
pub(crate) async fn signed(
    session: &Session,
    asked: &Asked,
    signed: Signed<'_>,
) -> Result<Report, Failure> {
    let trust = trust::load(signed.trust)?;
    let expected = asked.expected(session).await?;
    let manifest = session.manifest(signed, &trust, &expected).await?;
    let (repo_type, repo) = (expected.repo_type, expected.repo);
    let commit = At::Commit(manifest.repo.revision.clone());
    let target = Target::new(repo_type, repo, commit);
    let plan = session.plan(Request::signed(&target, &manifest)).await?;
    let mut report = report(&target, &plan);
    let evidence = manifest.evidence();
    report.prose.splice(1..1, evidence_lines(evidence));
    let evidence = evidence_json(evidence, &manifest);
    report.more.insert("evidence".into(), evidence);
    Ok(report)
}

impl Session {
    async fn plan(&self, request: Request<'_>) -> Result<Plan, Failure> {
        let progress = self.progress.as_ref();
        Ok(plan(&self.store, self.hub.as_ref(), request, progress).await?)
    }
}

/// Nothing was judged of any file, so there is no verdict.
fn report(target: &Target, plan: &Plan) -> Report {
    let (bytes, missing) = (plan.bytes(), plan.missing());
    let mut report = Report {
        prose: vec![format!("would fetch: {:?}", target.to_string())],
        data: listed(plan),
        ..Report::default()
    };
    let to_come = plan.files.iter().filter(|file| file.missing() > 0);
    report.prose.push(format!(
        "  files      {}, {} bytes",
        count(plan.files.len(), "file"),
        thousands(bytes)
    ));
    report.prose.push(format!(
        "  to fetch   {}, {} bytes; {}",
        count(to_come.count(), "file"),
        thousands(missing),
        room(plan)
    ));
    let left_out = left_out(&mut report, &plan.left_out, LEFT_OUT);
    let more = [
        ("dry_run", true.into()),
        ("subject", target.to_string().into()),
        ("revision", plan.revision.as_str().into()),
        ("files", plan.files.iter().map(file_json).collect()),
        ("left_out", left_out),
        ("bytes", bytes.into()),
        ("bytes_missing", missing.into()),
        ("bytes_free", plan.room.into()),
        ("fits", plan.fits().into()),
    ];
    report
        .more
        .extend(more.map(|(name, value)| (name.to_owned(), value)));
    report
}

fn room(plan: &Plan) -> String {
    let room = thousands(plan.room);
    match plan.fits() {
        true => format!("the disk has room for {room}"),
        false => format!("the disk has room for {room} only"),
    }
}

fn listed(plan: &Plan) -> String {
    let heading = ["file", "bytes", "state"].map(str::to_owned).to_vec();
    let row = |file: &Planned| {
        let state = match file.have {
            Have::Whole => "in the store".to_owned(),
            Have::Part(bytes) => format!("to fetch from byte {} on", thousands(bytes)),
            _ => "to fetch".to_owned(),
        };
        vec![file.path.to_string(), thousands(file.size), state]
    };
    let rows: Vec<_> = [heading]
        .into_iter()
        .chain(plan.files.iter().map(row))
        .collect();
    table(&rows, &[1])
}

fn file_json(file: &Planned) -> Value {
    json!({ "path": file.path, "size": file.size, "missing": file.missing() })
}
