//! A shared library's name for the linker: without one, programs would remember where it was built.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libtensorgate_c.so");
}
