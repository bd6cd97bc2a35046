//! The receiver against an honest gate, and against everybody else who can publish.
#![cfg(test)]

mod drive;
mod handed;
mod outstanding;
mod props;
mod pulls;
mod receive;
mod refusals;
mod replays;
mod states;
mod support;
