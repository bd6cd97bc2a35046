//! Publishing a fragment without copying its payload first.
//!
//! r2r's native message is the C struct of the ROS interface, and its sequence is a pointer, a
//! size and a capacity that safe code may set. That makes a mistake here as grave as in an
//! `unsafe` block, so the module is argued like one.
//!
//! 1. Hazard: the message's destructor frees `data.data` with the C allocator, and whoever reads
//!    the message follows the pointer.
//! 2. Excluded: [`Borrowed`] keeps the payload borrowed for as long as the message points to it,
//!    and its `Drop`, which runs before that of its fields, on return, error and panic alike,
//!    takes the pointer out again. Leaking the value leaks the message as well: nothing is freed.
//!    rcl documents the message as unmodified during publish, and rmw_fastrtps has serialised it
//!    into its own history when `rcl_publish` returns. The message is never one on loan from the
//!    middleware: `NativeMsg::from` allocates it.
//! 3. Who could still break it: a middleware that keeps the pointer after publish returned. None
//!    is supported that does.
//! 4. Shown by: the late and early joiners of `tests/test_gate.py`, who compare every byte.

use r2r::tensorgate_msgs::msg::TensorFragment;
use r2r::{NativeMsg, Publisher};

/// A native message whose `data` points into memory that it does not own.
struct Borrowed<'a> {
    message: NativeMsg<TensorFragment>,
    payload: &'a [u8],
}

impl<'a> Borrowed<'a> {
    /// Builds the message from `head`, whose own `data` is left out.
    fn new(head: TensorFragment, payload: &'a [u8]) -> Self {
        let message = NativeMsg::from(&TensorFragment {
            data: Vec::new(),
            ..head
        });
        let mut borrowed = Self { message, payload };
        borrowed.lend();
        borrowed
    }

    /// An empty sequence stays null: the C code never follows it.
    fn lend(&mut self) {
        if !self.payload.is_empty() {
            self.message.data.data = self.payload.as_ptr().cast_mut();
            self.message.data.size = self.payload.len();
            self.message.data.capacity = self.payload.len();
        }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        // The C destructor asserts that the three agree.
        self.message.data.data = std::ptr::null_mut();
        self.message.data.size = 0;
        self.message.data.capacity = 0;
    }
}

/// Publishes `head` with `payload` as its `data`.
pub(crate) fn publish(
    publisher: &Publisher<TensorFragment>,
    head: TensorFragment,
    payload: &[u8],
) -> r2r::Result<()> {
    publisher.publish_native(&mut Borrowed::new(head, payload).message)
}
