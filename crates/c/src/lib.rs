//! A controller's side of tensorgate for C and C++: receive a policy, verify it again, notice when
//! it is stale. The rules are those of the crate `tensorgate-client`, which this one binds.
//!
//! The comments of what is exported are the header's, and written for its readers.
//!
//! # A controller
//! As it is compiled and run by the tests; `examples/rclcpp` has one that subscribes.
//!
//! ```c
#![doc = include_str!("../tests/example.c")]
//! ```
//!
//! # What crosses the boundary
//! A caller in C promises what no type can: that pointers point to what they are said to, for as
//! long as the call lasts, and that what was freed is not used. What can be checked is: NULL, sizes,
//! text that is none. A panic ends at the boundary as an error, and never as an answer that a robot
//! would drive on. Pointers to one object are references (the ABI of `Option<&T>` and
//! `Option<Box<T>>` is a pointer's, `std::option`, "Representation"), so that hardly anything here
//! is unsafe; what is, is in `raw`.
#![expect(
    unsafe_code,
    reason = "C: the names that are exported, which all begin with tensorgate_, and what raw.rs reads"
)]
#![warn(missing_docs)]

pub mod error;
pub mod message;
pub mod policy;
pub mod raw;
pub mod receiver;
