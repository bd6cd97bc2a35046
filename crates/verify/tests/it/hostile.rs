//! A header that would cost a reader a gigabyte is refused before it is read.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use tensorgate_verify::Rejection;

use crate::support::{refusal, survey};

/// In the child: the folder to judge.
const FOLDER: &str = "TENSORGATE_TEST_HOSTILE";

/// 91 MB about 1.55 million tensors without bytes.
fn write_hostile(folder: &Path) {
    let row = "\"1234567890\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},";
    let rows = row.repeat(1_550_000);
    let mut file = File::create(folder.join("model.safetensors")).unwrap();
    file.write_all(&(rows.len() as u64 + 1).to_le_bytes())
        .unwrap();
    file.write_all(b"{").unwrap();
    file.write_all(rows.as_bytes()).unwrap();
    assert!(rows.len() > 91_000_000);
}

/// The most memory that this process ever had, in KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_huge_header_takes_no_memory() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let before = peak_kib();
        let refused = refusal(survey(Path::new(&folder)));
        assert_eq!(refused, Rejection::HeaderTooLarge);
        let taken = peak_kib() - before;
        assert!(taken < 10_000, "{taken} KiB");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write_hostile(folder.path());
    // Alone in a process of its own, whose memory is that of this one check.
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "hostile::a_huge_header_takes_no_memory",
            "--test-threads=1",
        ])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
}
