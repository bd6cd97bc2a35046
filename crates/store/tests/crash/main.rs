//! A process that changes a store is ended at each step, before it and behind it, or told that the
//! disk is full: the store is the old one or the new one, what was broken off can be done again, and
//! nothing is left over. The same trace shows that all of it would survive a power cut.
//!
//! Steps are the system calls that change a file system; the child is traced from its own start of
//! the operation to its end. Where ptrace is not permitted, the test fails.

//!
//! Which call it is and what becomes of it stands in registers, each machine's own. Only those of
//! x86-64 are known here: elsewhere nothing is tested, and that is said.

#![cfg(test)]
#![forbid(unsafe_code)]

#[cfg(target_arch = "x86_64")]
#[path = "../common/mod.rs"]
mod common;
#[cfg(target_arch = "x86_64")]
mod operations;
#[cfg(target_arch = "x86_64")]
mod order;
#[cfg(target_arch = "x86_64")]
mod steps;
#[cfg(target_arch = "x86_64")]
mod trace;

#[cfg(target_arch = "x86_64")]
fn main() -> std::process::ExitCode {
    steps::main()
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    eprintln!("no crash was tried: the registers of this machine are not known to the test");
}
