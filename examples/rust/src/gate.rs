//! The ROS side: a gate's topics, fed to a receiver.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::{FutureExt, Stream, StreamExt};
use r2r::tensorgate_msgs::msg::{PolicyFile, PolicyManifest, PolicyStatus, TensorFragment};
use r2r::tensorgate_msgs::srv::GetFragments;
use r2r::{Client, Node, QosProfile};
use tensorgate_client::{Announcement, Fragment, Pull, Receiver, Session, Status};
use tensorgate_verify::{Policy, Verified};

use crate::say;

type Messages<T> = Box<dyn Stream<Item = T> + Unpin>;
type Answer = Pin<Box<dyn Future<Output = r2r::Result<GetFragments::Response>>>>;

/// A gate as a controller sees it.
pub(crate) struct Gate {
    node: Node,
    name: String,
    pub(crate) receiver: Receiver,
    manifests: Messages<PolicyManifest>,
    statuses: Messages<PolicyStatus>,
    fragments: Option<Messages<TensorFragment>>,
    service: Client<GetFragments::Service>,
    asked: Vec<(Pull, Answer)>,
    announced: Instant,
}

impl Gate {
    /// Subscribes to the topics of the gate that the parameter `gate` names.
    pub(crate) fn new(mut node: Node, receiver: Receiver) -> r2r::Result<Self> {
        let name = node
            .get_parameter("gate")
            .unwrap_or_else(|_| "/tensorgate".to_owned());
        let newest = QosProfile::default().reliable().volatile().keep_last(1);
        let manifests = Box::new(node.subscribe(&format!("{name}/manifest"), latched(10))?);
        let service = format!("{name}/get_fragments");
        let service = node.create_client(&service, QosProfile::services_default())?;
        let statuses = Box::new(node.subscribe(&format!("{name}/status"), newest)?);
        Ok(Self {
            node,
            name,
            receiver,
            manifests,
            statuses,
            fragments: None,
            service,
            asked: Vec::new(),
            announced: Instant::now(),
        })
    }

    /// The gate's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Spins once, and takes everything that arrived: r2r's queues hold ten messages, and what
    /// overflows is gone.
    pub(crate) fn spin(&mut self, timeout: Duration) -> r2r::Result<()> {
        self.node.spin_once(timeout);
        for message in drain(&mut self.manifests) {
            self.on_manifest(message)?;
        }
        let fragments = self.fragments.as_mut().map(drain).unwrap_or_default();
        fragments
            .iter()
            .for_each(|message| self.on_fragment(message));
        for message in drain(&mut self.statuses) {
            self.on_status(&message);
        }
        self.take_answers();
        self.ask()
    }

    fn on_manifest(&mut self, message: PolicyManifest) -> r2r::Result<()> {
        let count = message.fragment_count;
        let is_pulled = message.delivery == Announcement::PULLED;
        let Some(announcement) = announcement(message) else {
            return Ok(());
        };
        let (now, at) = (jiff::Timestamp::now(), Instant::now());
        if let Err(error) = self.receiver.announce(announcement, now, at) {
            say(&error.to_string());
        } else if self.receiver.receiving().is_some() {
            self.announced = at;
            self.fragments = None;
            if is_pulled {
                return Ok(());
            }
            // A late joiner gets as many latched fragments as its queue is deep, and no more.
            let depth = usize::try_from(count).unwrap_or(usize::MAX);
            let topic = format!("{}/fragments", self.name);
            self.fragments = Some(Box::new(self.node.subscribe(&topic, latched(depth))?));
        }
        Ok(())
    }

    fn on_fragment(&mut self, message: &TensorFragment) {
        let Some(session) = session(&message.session_id) else {
            return;
        };
        let fragment = Fragment {
            session,
            epoch: message.epoch,
            index: message.fragment_index,
            data: &message.data,
        };
        let (now, at) = (jiff::Timestamp::now(), Instant::now());
        match self.receiver.fragment(&fragment, now, at) {
            Err(error) => say(&error.to_string()),
            Ok(Some(policy)) => report(&policy, at - self.announced),
            Ok(None) => {}
        }
    }

    /// Asks for the fragments that do not come, until nothing more is due.
    fn ask(&mut self) -> r2r::Result<()> {
        loop {
            match self.receiver.pull(Instant::now()) {
                Ok(None) => return Ok(()),
                Ok(Some(pull)) => self.request(pull)?,
                Err(error) => {
                    say(&error.to_string());
                    // What is latched comes again.
                    let topic = format!("{}/manifest", self.name);
                    self.manifests = Box::new(self.node.subscribe(&topic, latched(10))?);
                }
            }
        }
    }

    fn request(&mut self, pull: Pull) -> r2r::Result<()> {
        let request = GetFragments::Request {
            session_id: pull.session.to_vec(),
            epoch: pull.epoch,
            first: pull.first,
            count: pull.count,
        };
        let answer = self.service.request(&request)?;
        // Two can be under way: where a third is due, the first was lost.
        if self.asked.len() >= 2 {
            drop(self.asked.remove(0));
        }
        self.asked.push((pull, Box::pin(answer)));
        Ok(())
    }

    /// Whatever their results say, the fragments prove themselves.
    fn take_answers(&mut self) {
        while let Some((pull, answer)) = self.next_answer() {
            let fragments = answer.map(|answer| answer.fragments).unwrap_or_default();
            for message in &fragments {
                self.on_fragment(message);
            }
            self.receiver.pulled(&pull, Instant::now());
        }
    }

    fn next_answer(&mut self) -> Option<(Pull, r2r::Result<GetFragments::Response>)> {
        let mut asked = self.asked.iter_mut().enumerate();
        let answered = |(place, (_, answer)): (usize, &mut (Pull, Answer))| {
            answer.now_or_never().map(|answer| (place, answer))
        };
        let (place, answer) = asked.find_map(answered)?;
        Some((self.asked.remove(place).0, answer))
    }

    fn on_status(&mut self, message: &PolicyStatus) {
        let digest = message.manifest_digest.as_slice().try_into();
        let (Some(session), Ok(manifest_digest)) = (session(&message.session_id), digest) else {
            return;
        };
        let seconds = u64::try_from(message.lease.sec).unwrap_or(0);
        let status = Status {
            session,
            epoch: message.epoch,
            sequence: message.sequence,
            state: message.state,
            manifest_digest,
            lease: Duration::from_secs(seconds)
                + Duration::from_nanos(message.lease.nanosec.into()),
        };
        self.receiver.status(&status, Instant::now());
    }
}

fn report(policy: &Verified<Policy>, took: Duration) {
    let evidence = policy.evidence();
    let signers = evidence.signers.iter().map(|signer| signer.name.as_str());
    let signers = signers.collect::<Vec<_>>().join(", ");
    let tensors = policy.tensor_files().flat_map(|file| file.tensors());
    let (count, bytes) = tensors.fold((0, 0), |(n, sum), (_, view)| {
        (n + 1, sum + view.data().len())
    });
    say(&format!(
        "verified {}@{}\n  release {} of type {}\n  signed by {signers}; manifest sha256 {}\n  \
         {count} tensors, {:.1} MB, {:.2} s after the announcement",
        evidence.repo,
        evidence.revision,
        evidence.sequence,
        policy.manifest().policy.policy_type,
        evidence.manifest,
        bytes as f64 / 1e6,
        took.as_secs_f64(),
    ));
}

fn announcement(message: PolicyManifest) -> Option<Announcement> {
    let file = |PolicyFile { path, data }| (path, data);
    Some(Announcement {
        session: session(&message.session_id)?,
        epoch: message.epoch,
        envelope: message.envelope,
        files: message.files.into_iter().map(file).collect(),
        fragment_size: message.fragment_size,
        fragment_count: message.fragment_count,
        delivery: message.delivery,
        fragment_digests: message.fragment_digests,
    })
}

fn session(bytes: &[u8]) -> Option<Session> {
    bytes.try_into().ok()
}

fn latched(depth: usize) -> QosProfile {
    QosProfile::default()
        .reliable()
        .transient_local()
        .keep_last(depth)
}

fn drain<T>(messages: &mut Messages<T>) -> Vec<T> {
    std::iter::from_fn(|| messages.next().now_or_never().flatten()).collect()
}
