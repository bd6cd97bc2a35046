//! Hubs with one thing or two that no Hub does.

use tensorgate_hub::FetchError;
use tensorgate_testhub::{Fault, Place};

use super::Set;
use super::raw::TOKEN;

pub(crate) fn header(place: Place, name: &str, value: impl Into<String>) -> Fault {
    Fault::Header {
        place,
        name: name.into(),
        value: value.into(),
    }
}

pub(crate) fn redirect(place: Place, to: impl Into<String>) -> [Fault; 2] {
    [
        Fault::Status { place, status: 302 },
        header(place, "Location", to),
    ]
}

pub(crate) async fn end_with(faults: impl IntoIterator<Item = Fault>) -> (Set, FetchError) {
    let set = Set::new();
    for fault in faults {
        set.hub.inject(fault);
    }
    let error = set.fetch_as(Some(TOKEN)).await.unwrap_err();
    (set, error)
}
