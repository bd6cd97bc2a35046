//! How the weights are kept from changing while they are proven: said, whichever way it is.

use std::fs::OpenOptions;
use std::os::unix::fs::chown;
use std::process::Stdio;
use std::time::Duration;

use crate::fixture::Fixture;
use crate::resume::memory;
use crate::support::{Workshop, guarding_folder, safetensors_of};

/// What both forms of the output say: held by `name`, `how`.
#[track_caller]
fn assert_held(workshop: &Workshop, name: &str, how: &str) {
    workshop
        .verify(&[])
        .expect(0)
        .says(&format!("\n  held       {how}\n"));
    let object = workshop.verify(&["--json"]).json();
    let expected =
        serde_json::json!([{ "path": "model.safetensors", "holding": name, "words": how }]);
    assert_eq!(object["evidence"]["holds"], expected, "{object:#}");
}

#[test]
fn on_a_disk_the_file_itself_is_guarded() {
    let Some(folder) = guarding_folder() else {
        return;
    };
    let workshop = Workshop::signed_inside(folder);
    assert_held(&workshop, "guarded", "guarded by a lease");
}

#[test]
fn a_file_that_somebody_has_open_for_writing_is_copied() {
    let Some(folder) = guarding_folder() else {
        return;
    };
    let workshop = Workshop::signed_inside(folder);
    let path = workshop.path("walk/model.safetensors");
    let _writer = OpenOptions::new().write(true).open(path).unwrap();
    let how = "in sealed memory: somebody has the file open for writing";
    assert_held(&workshop, "sealed", how);
}

#[test]
fn a_file_that_others_may_write_to_is_copied() {
    let Some(folder) = guarding_folder() else {
        return;
    };
    let workshop = Workshop::signed_inside(folder);
    workshop.chmod("walk/model.safetensors", 0o664);
    let how = "in sealed memory: others than its owner may write to the file";
    assert_held(&workshop, "sealed", how);
    if rustix::process::geteuid().is_root() {
        workshop.chmod("walk/model.safetensors", 0o644);
        chown(workshop.path("walk/model.safetensors"), Some(65534), None).unwrap();
        let how = "in sealed memory: the file is another user's";
        assert_held(&workshop, "sealed", how);
    }
}

#[test]
fn in_memory_it_is_copied() {
    let workshop = Workshop::signed_inside(tempfile::tempdir_in("/dev/shm").unwrap());
    let how = "in sealed memory: on this file system a lease does not keep everybody from writing";
    assert_held(&workshop, "sealed", how);
}

/// Memory that is this process's own: `RssAnon`, and `RssShmem`, in which a sealed copy would be.
#[test]
fn a_fetch_that_admits_three_hundred_megabytes_has_no_copy_of_them() {
    let Some(folder) = guarding_folder() else {
        return;
    };
    let header = r#"{"w":{"dtype":"F32","shape":[75000000],"data_offsets":[0,300000000]}}"#;
    let weights = safetensors_of(header, &vec![0; 300_000_000]);
    let fixture = Fixture::of(Workshop::inside(folder), &weights);
    let target = format!("acme/walk@{}", fixture.files);
    let mut command = fixture.workshop.command();
    command.args(["fetch", &target, "--endpoint", fixture.hub.endpoint()]);
    command.args([
        "--manifest",
        "walk/policy.dsse.json",
        "--trust",
        "trust.toml",
    ]);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let (mut own, mut file) = (0, 0);
    while child.try_wait().unwrap().is_none() {
        let now = |field| memory(&child, field).unwrap_or(0);
        own = own.max(now("RssAnon:") + now("RssShmem:"));
        file = file.max(now("RssFile:"));
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(child.wait().unwrap().success());
    println!("300,000,000 bytes: {own} KiB of its own, {file} KiB of files mapped");
    assert!((1..=64 << 10).contains(&own), "{own} KiB");
}
