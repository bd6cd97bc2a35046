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
//! 4. Shown by: `tests::an_allocator_that_watches_sees_no_wrong_free_and_no_leak`, and the late and
//!    early joiners of `tests/test_gate.py`, who compare every byte.

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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::process::Command;

    use r2r::{Context, Node, QosProfile};

    use super::*;

    /// How often `the_payload_survives_every_end_of_a_publish` goes through them all.
    const ROUNDS: &str = "TENSORGATE_TEST_ROUNDS";

    #[test]
    #[ignore = "the test below runs it, watched"]
    fn the_payload_survives_every_end_of_a_publish() {
        let rounds: u32 = std::env::var(ROUNDS).unwrap().parse().unwrap();
        let mut node = Node::create(Context::create().unwrap(), "borrowed", "").unwrap();
        let mut publisher = |topic| {
            let qos = QosProfile::default().transient_local().keep_last(1);
            node.create_publisher::<TensorFragment>(topic, qos).unwrap()
        };
        let (publisher, gone) = (publisher("~/fragments"), publisher("~/gone"));
        node.destroy_publisher(gone.clone());
        let payload = vec![0x5a; 1 << 20];
        for _ in 0..rounds {
            publish(&publisher, head(), &payload).unwrap();
            publish(&publisher, head(), &payload[1..]).unwrap();
            publish(&publisher, head(), &[]).unwrap();
            publish(&gone, head(), &payload).unwrap_err();
            panic_while_borrowed(&payload);
        }
        assert!(payload.iter().all(|byte| *byte == 0x5a));
    }

    /// The test above, with gcc's AddressSanitizer and LeakSanitizer in the allocator's place: they
    /// end it at a wrong or second `free`, and count at its end what nothing points to any more.
    /// What ROS may leak once is not ours: more rounds must leak no more.
    #[test]
    fn an_allocator_that_watches_sees_no_wrong_free_and_no_leak() {
        let (few, many) = (leaked_allocations(1), leaked_allocations(101));
        println!("{few} allocations leaked after 1 round, {many} after 101");
        assert!(many < few + 100, "a round leaks");
    }

    fn leaked_allocations(rounds: u32) -> u32 {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "borrowed::tests::the_payload_survives_every_end_of_a_publish",
                "--ignored",
            ])
            .env("LD_PRELOAD", libasan())
            .env("ASAN_OPTIONS", "atexit=1:detect_leaks=1")
            .env("LSAN_OPTIONS", "exitcode=0")
            .env("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
            .env(ROUNDS, rounds.to_string())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", output.status);
        assert!(
            said.contains("AddressSanitizer exit stats"),
            "it did not watch: {said}"
        );
        let ran = String::from_utf8_lossy(&output.stdout).contains("1 passed");
        assert!(ran, "the test has another name now");
        let count = said.split("byte(s) leaked in ").nth(1);
        count.map_or(0, |count| count.split(' ').next().unwrap().parse().unwrap())
    }

    /// The library comes with gcc, whose linker every Rust toolchain here uses.
    fn libasan() -> String {
        let output = Command::new("cc")
            .arg("-print-file-name=libasan.so")
            .output()
            .unwrap();
        let path = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        assert!(
            path.contains('/'),
            "no libasan; hint: it is part of gcc (libasan8, libasan)"
        );
        path
    }

    fn panic_while_borrowed(payload: &[u8]) {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _borrowed = Borrowed::new(head(), payload);
            resume_unwind(Box::new(()));
        }));
        panicked.unwrap_err();
    }

    fn head() -> TensorFragment {
        TensorFragment {
            session_id: vec![7; 16],
            shape: vec![4, 4],
            ..Default::default()
        }
    }
}
