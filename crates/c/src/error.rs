//! What a call came to, and why: two texts for each thread.

use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard};

use tensorgate_handoff::HandoffError;
use tensorgate_verify::TrustPolicyError;

/// What a call came to.
#[repr(C)]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResultCode {
    /// Done.
    Ok = 0,
    /// Checked and refused: `tensorgate_error_code` says why.
    Rejected = 1,
    /// It could not be checked: memory, the disk, the socket.
    Failed = 2,
    /// An argument was NULL or malformed.
    Misuse = 3,
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) struct Failure {
    result: ResultCode,
    code: &'static str,
    message: String,
}

thread_local! {
    /// Message and rejection code of the last call that failed on this thread.
    static LAST: RefCell<(CString, CString)> = RefCell::default();
}

/// Why the last call on this thread that failed did so, in UTF-8, for people; "" if none did. Never
/// NULL; to be read before the next call.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_error_message() -> *const c_char {
    last(|(message, _)| message)
}

/// Its rejection code, such as "digest-mismatch"; "" unless it was `TENSORGATE_RESULT_REJECTED`.
/// Never NULL; to be read before the next call.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_error_code() -> *const c_char {
    last(|(_, code)| code)
}

fn last(part: impl FnOnce(&(CString, CString)) -> &CString) -> *const c_char {
    // A thread that is ending has no error any more.
    LAST.try_with(|last| part(&last.borrow()).as_ptr())
        .unwrap_or(c"".as_ptr())
}

/// Runs what a call is for, and remembers why it failed.
pub(crate) fn guard<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, ResultCode> {
    let panicked = |_| Err(Failure::failed("internal error: a panic, told on stderr"));
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(panicked)
        .map_err(Failure::remember)
}

/// The same for a call that has no answer but how it went.
pub(crate) fn result(work: impl FnOnce() -> Result<(), Failure>) -> ResultCode {
    guard(work).err().unwrap_or(ResultCode::Ok)
}

/// A lock that a panic left is not entered: nobody knows how far it came.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, Failure> {
    mutex
        .lock()
        .map_err(|_| Failure::failed("an earlier call panicked"))
}

impl Failure {
    pub(crate) fn failed(why: impl Display) -> Self {
        Self::new(ResultCode::Failed, why)
    }

    pub(crate) fn misuse(why: impl Display) -> Self {
        Self::new(ResultCode::Misuse, why)
    }

    fn new(result: ResultCode, why: impl Display) -> Self {
        Self {
            result,
            code: "",
            message: why.to_string(),
        }
    }

    fn remember(self) -> ResultCode {
        let text = |text: String| CString::new(text.replace('\0', "\\0")).unwrap_or_default();
        let texts = (text(self.message), text(self.code.to_owned()));
        // A thread that is ending has nobody who could ask.
        drop(LAST.try_with(|last| last.replace(texts)));
        self.result
    }
}

impl From<tensorgate_client::Error> for Failure {
    fn from(error: tensorgate_client::Error) -> Self {
        let message = error.to_string();
        match error.rejection() {
            None => Self::failed(message),
            Some(rejection) => Self {
                result: ResultCode::Rejected,
                code: rejection.code(),
                message,
            },
        }
    }
}

impl From<HandoffError> for Failure {
    fn from(error: HandoffError) -> Self {
        Self::failed(error)
    }
}

impl From<TrustPolicyError> for Failure {
    fn from(error: TrustPolicyError) -> Self {
        Self::failed(format!("trust policy: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> String {
        LAST.with_borrow(|(message, _)| message.to_string_lossy().into_owned())
    }

    #[test]
    fn a_panic_ends_at_the_boundary() {
        let mutex = Mutex::new(());
        let panicked = result(|| {
            let _entered = lock(&mutex)?;
            panic!("on purpose");
        });
        assert_eq!(panicked, ResultCode::Failed);
        assert!(message().contains("a panic"), "{}", message());
        // Nobody goes on with what it left.
        let after = result(|| lock(&mutex).map(drop));
        assert_eq!(after, ResultCode::Failed);
        assert_eq!(message(), "an earlier call panicked");
    }

    #[test]
    fn a_zero_in_a_message_cuts_nothing_off() {
        assert_eq!(result(|| Err(Failure::misuse("a\0b"))), ResultCode::Misuse);
        LAST.with_borrow(|(message, code)| {
            assert_eq!(message.as_c_str(), c"a\\0b");
            assert_eq!(code.as_c_str(), c"");
        });
    }
}
