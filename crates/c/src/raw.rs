//! What C points to, read: all that is unsafe in this crate.
//!
//! The types have no constructor that Rust outside of this module could reach, but those from what
//! Rust itself holds: a value comes from C, where the header says what it has to point to. That
//! promise is what the blocks below rest on; NULL, sizes that cannot be and text that is none are
//! found out.

use std::ffi::{CStr, c_char};
use std::marker::PhantomData;
use std::ptr::{NonNull, null};
use std::slice;
use std::sync::Arc;

use crate::error::{Failure, result};
use crate::policy::Policy;

/// A C string, or NULL.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(*const c_char, PhantomData<&'a CStr>);

/// Bytes that somebody else owns; {NULL, 0} is none.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    /// The first of them.
    data: *const u8,
    /// How many there are.
    size: usize,
    lifetime: PhantomData<&'a [u8]>,
}

/// One file of an announcement: an element of PolicyManifest.files.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PolicyFile<'a> {
    /// Its path.
    pub(crate) path: Text<'a>,
    /// Its bytes.
    pub(crate) data: Bytes<'a>,
}

/// The files of an announcement; {NULL, 0} is none.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PolicyFiles<'a> {
    /// The first of them.
    data: *const PolicyFile<'a>,
    /// How many there are.
    size: usize,
    lifetime: PhantomData<&'a [PolicyFile<'a>]>,
}

/// Lets go of a policy; its memory goes with the last reference to it. NULL is nothing.
///
/// # Safety
/// `policy` is NULL, or what `tensorgate_receiver_active` or `_policy` returned, each freed once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tensorgate_policy_free(policy: *const Policy) {
    let _ = result(|| {
        // SAFETY: 1. and 2. What `take_back` asks for is what the header says of `policy`. 3. and 4.
        // As there.
        drop(unsafe { take_back(policy) });
        Ok(())
    });
}

impl<'a> Text<'a> {
    /// What a C string of ours is in C.
    pub(crate) fn of(text: &'a CStr) -> Self {
        Self(text.as_ptr(), PhantomData)
    }

    /// The string; `None` for NULL.
    pub(crate) fn read(self) -> Option<&'a CStr> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: 1. `CStr::from_ptr` reads up to a zero byte and lends what it read. 2. The pointer
        // is not NULL, and the header says: a C string that nobody changes while the call, or what
        // it points into, lasts. 3. A caller who gives another pointer; nothing here could tell.
        // 4. tests/misuse.c, under the address sanitiser.
        Some(unsafe { CStr::from_ptr(self.0) })
    }

    /// The string as text, of which `what` speaks where it is none.
    pub(crate) fn text(self, what: &str) -> Result<Option<&'a str>, Failure> {
        let text = self.read().map(CStr::to_str).transpose();
        text.map_err(|_| Failure::misuse(format_args!("{what} is not UTF-8")))
    }
}

impl<'a> Bytes<'a> {
    /// What a slice of ours is in C.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self {
            data: bytes.as_ptr(),
            size: bytes.len(),
            lifetime: PhantomData,
        }
    }

    /// The bytes, of which `what` speaks where they cannot be.
    pub(crate) fn read(self, what: &str) -> Result<&'a [u8], Failure> {
        let Some(data) = first(self.data, self.size, what)? else {
            return Ok(&[]);
        };
        // SAFETY: 1. `from_raw_parts` lends `size` bytes from `data`. 2. `first` found the pointer
        // not NULL and the size possible; the header says that so many are there, and that nobody
        // changes them while the call lasts. 3. A caller who lies about the size. 4. As above.
        Ok(unsafe { slice::from_raw_parts(data.as_ptr(), self.size) })
    }
}

impl<'a> PolicyFiles<'a> {
    /// The files: at most `limit`, before anything is read.
    pub(crate) fn read(self, limit: usize) -> Result<&'a [PolicyFile<'a>], Failure> {
        let Some(data) = first(self.data, self.size, "files")? else {
            return Ok(&[]);
        };
        if self.size > limit {
            let message = format!("files has {} entries; {limit} are allowed", self.size);
            return Err(Failure::misuse(message));
        }
        // SAFETY: 1. `from_raw_parts` lends `size` entries from `data`. 2. `first` found the pointer
        // aligned and the size possible; each entry is made of pointers and numbers, of which any
        // value is one, and its own methods look at them. 3. and 4. As above.
        Ok(unsafe { slice::from_raw_parts(data.as_ptr(), self.size) })
    }
}

/// The pointer to `size` elements; `None` where there are none.
fn first<T>(data: *const T, size: usize, what: &str) -> Result<Option<NonNull<T>>, Failure> {
    if size == 0 {
        return Ok(None);
    }
    let misuse = |why: &str| Failure::misuse(format_args!("{what} {why}"));
    let data = NonNull::new(data.cast_mut()).ok_or_else(|| misuse("is NULL"))?;
    if !data.is_aligned() {
        return Err(misuse("is misaligned"));
    }
    // What `from_raw_parts` takes at the most.
    let bytes = size.checked_mul(size_of::<T>());
    match bytes.and_then(|bytes| isize::try_from(bytes).ok()) {
        Some(_) => Ok(Some(data)),
        None => Err(misuse("is larger than memory")),
    }
}

/// Gives a policy to C, which owns this reference from now on. Takes no memory: a control loop may.
pub(crate) fn lend(policy: Option<Arc<Policy>>) -> *const Policy {
    policy.map_or(null(), Arc::into_raw)
}

/// Takes such a reference back; NULL is none.
///
/// # Safety
/// `policy` is NULL, or what [`lend`] returned, each taken back once.
unsafe fn take_back(policy: *const Policy) -> Option<Arc<Policy>> {
    if policy.is_null() {
        return None;
    }
    // SAFETY: 1. `Arc::from_raw` takes over a reference that `Arc::into_raw` gave away, once. 2. The
    // caller says: a pointer that `lend` returned, each taken back once. 3. A caller who frees twice,
    // or something else. 4. The leak check of tests/misuse.c and of crates/node/tests/test_native.py.
    Some(unsafe { Arc::from_raw(policy) })
}
