//! The fragments on `~/fragments`.

use r2r::tensorgate_msgs::msg::TensorFragment;
use r2r::{Node, Publisher, QosProfile};

use crate::announce::{Announcement, Delivery, Session};
use crate::borrowed;

/// A publisher for this policy alone: how deep its history has to be is known only now, and with
/// it goes what it latches.
///
/// Late joiners get every fragment from the middleware's history, so that is as deep as there are
/// fragments. Of a policy that is pulled there is nothing to latch; the topic is there for the
/// graph.
pub(crate) fn create(
    node: &mut Node,
    announcement: &Announcement,
) -> r2r::Result<Publisher<TensorFragment>> {
    let reliable = QosProfile::default().reliable();
    let qos = match announcement.delivery() {
        Delivery::Latched => reliable
            .transient_local()
            .keep_last(announcement.fragment_count().max(1)),
        Delivery::Pulled => reliable.volatile().keep_last(1),
    };
    node.create_publisher("~/fragments", qos)
}

/// Publishes what is to be latched, unless it has `ended` meanwhile. Whether it came to the end.
pub(crate) fn fill(
    publisher: &Publisher<TensorFragment>,
    announcement: &Announcement,
    session: Session,
    ended: impl Fn() -> bool,
) -> Result<bool, String> {
    let count = match announcement.delivery() {
        Delivery::Latched => announcement.fragment_count(),
        Delivery::Pulled => 0,
    };
    for index in 0..count {
        if ended() {
            return Ok(false);
        }
        let fragment = announcement.fragment(session, index);
        let (head, payload) = fragment.ok_or_else(|| format!("there is no fragment {index}"))?;
        let published = borrowed::publish(publisher, head, payload);
        published.map_err(|error| format!("~/fragments: {error}"))?;
    }
    Ok(!ended())
}
