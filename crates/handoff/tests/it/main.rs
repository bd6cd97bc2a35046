//! A gate and controllers, honest and hostile, over real sockets.
#![cfg(test)]

mod descriptors;
mod hostile_controller;
mod hostile_gate;
mod pages;
mod place;
mod process;
mod script;
mod support;
