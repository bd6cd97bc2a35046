//! The parameter services, which go on after an answer that could not be sent.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use r2r::Parameter;
use r2r::indexmap::IndexMap;

use crate::rosout::Logger;

/// r2r's handler, kept alive.
///
/// Before it answers, rmw_fastrtps waits 100 ms for the caller's reader to be matched, and then
/// gives up (`__rmw_send_response` in `rmw_response.cpp`). The reader may be discovered later than
/// the request, or never fit. r2r takes that for a bug and panics, which would let any caller end
/// the gate. The caller may ask again; the requests of others are answered as before, since the
/// panic comes after the answer was tried and leaves nothing half done but a poisoned lock.
pub(crate) async fn serve(
    handler: impl Future<Output = ()>,
    params: Arc<Mutex<IndexMap<String, Parameter>>>,
    logger: Logger,
) {
    let mut handler = Box::pin(handler);
    poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context))).unwrap_or_else(|panic| {
            params.clear_poison();
            let why = message(&*panic);
            logger.warn(&format!(
                "a caller of a parameter service got no answer: {why}"
            ));
            context.waker().wake_by_ref();
            Poll::Pending
        })
    })
    .await;
}

/// `panic!` and `expect` carry text.
fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map_or("panicked", String::as_str)
}
