//! The worker in Rust of `make bench`: makes policies, and opens them in the ways that it is told.
#![expect(clippy::print_stdout, reason = "standard output is how it answers")]

use std::path::Path;

use tensorgate_benches::{Dtype, Result, Signed, WAYS};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["write", folder, tensors, bytes] => Signed::write(
            Path::new(folder),
            Dtype::F32,
            tensors.parse()?,
            bytes.parse()?,
        ),
        ["work", folder] => work(&Signed::at(Path::new(folder))?),
        _ => Err("write FOLDER TENSORS BYTES, or work FOLDER".into()),
    }
}

/// Each line names a way; the answer is a line with the seconds that it took.
fn work(signed: &Signed) -> Result<()> {
    for line in std::io::stdin().lines() {
        let line = line?;
        let way = WAYS.iter().find(|(name, _)| *name == line);
        let (_, way) = way.ok_or("no such way")?;
        println!("{}", way(signed)?);
    }
    Ok(())
}
