//! The service `~/get_fragments`: for late joiners, lossy links, and policies too large to latch.

use std::time::Instant;

use r2r::tensorgate_msgs::msg::TensorFragment;
use r2r::tensorgate_msgs::srv::GetFragments;
use r2r::{Node, QosProfile};

use crate::announce::{Announcement, Session};
use crate::rosout::Logger;
use crate::served::{PATIENCE, Served};

/// Payload of one answer in bytes, where it holds more than one fragment. Of 206 MB on one host, 1,
/// 4 and 8 MiB a time were measured to take 0.7 to 1.6 s, without order; the middleware may keep ten
/// answers for a reader that does not acknowledge them.
const BATCH: usize = 4 << 20;

/// What may be asked for, by its epoch.
pub(crate) type Offered<'a> = Option<(u64, &'a Announcement)>;

/// The requests for fragments.
pub(crate) struct Pulls {
    requests: Served<GetFragments::Service>,
    logger: Logger,
}

impl Pulls {
    pub(crate) fn new(node: &mut Node, logger: Logger) -> r2r::Result<Self> {
        let requests = Served::new(node, "~/get_fragments", QosProfile::services_default())?;
        Ok(Self { requests, logger })
    }

    /// Answers who asked, from what is `offered` now. However many ask, the gate goes on: the
    /// middleware keeps the last few requests, and who gets no answer asks again.
    pub(crate) fn step(&mut self, id: [u8; 16], offered: &[Offered<'_>]) {
        let begun = Instant::now();
        let answer = |asked: &GetFragments::Request| answer(asked, id, offered);
        while self.requests.answer(&self.logger, answer) && begun.elapsed() < PATIENCE {}
    }
}

fn answer(
    asked: &GetFragments::Request,
    id: [u8; 16],
    offered: &[Offered<'_>],
) -> GetFragments::Response {
    let mut offered = offered.iter().copied().flatten();
    let wanted = offered.find(|(epoch, _)| *epoch == asked.epoch && asked.session_id == id);
    let Some((epoch, announcement)) = wanted else {
        return rejected("no such policy is announced; hint: take session and epoch of ~/manifest");
    };
    let session = Session { id, epoch };
    let count = announcement.fragment_count();
    let (first, last) = (asked.first as usize, range_end(asked, count));
    if first >= last {
        return rejected(&format!("there are {count} fragments, counted from 0"));
    }
    let fragments: Vec<_> = batch(announcement, session, first..last).collect();
    // What was copied while the weights were lost is not told from what was there.
    if announcement.is_lost() || fragments.is_empty() {
        return response(
            GetFragments::Response::RESULT_FAILED as u8,
            "the weights are lost",
        );
    }
    GetFragments::Response {
        fragments,
        ..response(GetFragments::Response::RESULT_OK as u8, "")
    }
}

fn range_end(asked: &GetFragments::Request, count: usize) -> usize {
    let end = asked.first.saturating_add(asked.count) as usize;
    end.min(count)
}

/// The fragments with their data, until an answer is full; the first of them in any case.
fn batch(
    announcement: &Announcement,
    session: Session,
    indices: std::ops::Range<usize>,
) -> impl Iterator<Item = TensorFragment> {
    let mut left = BATCH;
    indices.enumerate().map_while(move |(place, index)| {
        let (head, bytes) = announcement.fragment(session, index)?;
        let room = left.checked_sub(bytes.len());
        left = room.unwrap_or_default();
        (place == 0 || room.is_some()).then(|| TensorFragment {
            data: bytes.to_vec(),
            ..head
        })
    })
}

fn rejected(message: &str) -> GetFragments::Response {
    response(GetFragments::Response::RESULT_REJECTED as u8, message)
}

fn response(result: u8, message: &str) -> GetFragments::Response {
    GetFragments::Response {
        result,
        message: message.to_owned(),
        fragments: Vec::new(),
    }
}
