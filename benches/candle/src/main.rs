//! The worker for candle of `make bench`: opens a policy's weights with candle's mmap loader.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{Device, Tensor};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const FIRST: &str = "model.layers.0.0.weight";

/// Each line names a way; the answer is a line with the seconds that it took.
fn main() -> Result<()> {
    let folder = std::env::args().nth(1).ok_or("FOLDER")?;
    let weights = PathBuf::from(folder).join("policy/model.safetensors");
    for line in std::io::stdin().lines() {
        let start = Instant::now();
        let tensors = match line?.as_str() {
            "candle" => all(&weights)?,
            "candle-first" => vec![map(&weights)?.load(FIRST, &Device::Cpu)?],
            other => return Err(format!("no such way: {other}").into()),
        };
        println!("{}", start.elapsed().as_secs_f64());
        drop(tensors);
    }
    Ok(())
}

fn all(weights: &Path) -> Result<Vec<Tensor>> {
    let file = map(weights)?;
    let names = file.tensors().into_iter().map(|(name, _)| name);
    names
        .map(|name| Ok(file.load(&name, &Device::Cpu)?))
        .collect()
}

fn map(weights: &Path) -> Result<MmapedSafetensors> {
    // SAFETY: the file is in a private directory of the measurement, and nobody writes to it.
    Ok(unsafe { MmapedSafetensors::new(weights) }?)
}
