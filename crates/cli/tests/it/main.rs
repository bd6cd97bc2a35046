//! The command as its users meet it: the built binary, its exit status and what it prints.
#![cfg(test)]
#![forbid(unsafe_code)]

mod admit;
mod admit_asked;
mod admit_decided;
mod admit_second;
mod agent;
mod audit;
mod beside;
mod book;
#[path = "../../../verify/tests/corpus/case.rs"]
mod case;
mod channel;
mod completions;
mod diff;
mod doctor;
mod dry_run;
mod environment;
mod fetch;
mod fetch_signed;
mod fixture;
mod held;
mod help;
mod html;
mod import;
mod inspect;
mod keygen;
mod keys;
mod lobby;
mod man;
mod memory;
mod olah;
mod oms;
mod operator;
mod peak;
mod place;
mod prompt;
mod rejections;
mod resume;
mod sarif;
mod schema;
mod second;
mod sign;
mod sign_oms;
mod stage;
mod store;
mod streams;
mod support;
mod terminal;
mod tidy;
mod told;
mod told_operator;
#[path = "../../../verify/tests/corpus/tree.rs"]
mod tree;
mod trust;
mod vectors;
mod verify;
mod vsa;
mod watch;
