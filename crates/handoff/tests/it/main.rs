//! A gate and controllers, honest and hostile, over real sockets.
#![cfg(test)]

mod hostile_controller;
mod hostile_gate;
mod pages;
mod place;
mod process;
mod support;
