//! Writes the C header: `cargo run -p tensorgate-c --example header -- FILE`.

use std::error::Error;
use std::fs;
use std::path::Path;

/// In the order in which their functions shall stand.
const SOURCES: [&str; 5] = ["receiver", "policy", "error", "message", "raw"];

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).ok_or("usage: header FILE")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml"))?;
    let mut header = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        header = header.with_src(folder.join(format!("src/{source}.rs")));
    }
    let mut text = Vec::new();
    header.generate()?.write(&mut text);
    // `const char *` stands in place of a name, and names are followed by a space.
    fs::write(file, String::from_utf8(text)?.replace("char * ", "char *"))?;
    Ok(())
}
