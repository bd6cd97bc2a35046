//! `/diagnostics`, as diagnostic_updater has it: at 1 Hz, and at once on a change.

mod health;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use r2r::diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus};
use r2r::std_msgs::msg::Header;
use r2r::tensorgate_msgs::msg::PolicyManifest;
use r2r::{Node, Publisher, QosProfile};

pub(crate) use health::{About, Channel, Health};

use crate::rosout::Logger;
use health::Graph;

/// 1 Hz.
const PERIOD: Duration = Duration::from_secs(1);
/// How often a change is looked for, so that no flood of changes is a flood of messages.
const LOOK: Duration = Duration::from_millis(100);

/// Tells diagnostic_aggregator, and with it people, how the gate does.
pub(crate) struct Diagnostics {
    publisher: Publisher<DiagnosticArray>,
    manifests: Publisher<PolicyManifest>,
    logger: Logger,
    /// The node's name as a diagnostic's.
    name: String,
    /// The name that `~/manifest` has where it is not remapped.
    topic: String,
    /// r2r can still be asked who publishes.
    graph_answers: bool,
    looked: Option<Instant>,
    sent: Option<(Instant, DiagnosticStatus)>,
}

impl Diagnostics {
    pub(crate) fn new(
        node: &mut Node,
        logger: Logger,
        manifests: Publisher<PolicyManifest>,
    ) -> r2r::Result<Self> {
        let full = node.fully_qualified_name()?;
        Ok(Self {
            publisher: node.create_publisher("/diagnostics", QosProfile::default())?,
            manifests,
            logger,
            name: format!("{}: policy", full.trim_start_matches('/')),
            topic: format!("{full}/manifest"),
            graph_answers: true,
            looked: None,
            sent: None,
        })
    }

    /// Publishes where something is due.
    pub(crate) fn tell(&mut self, node: &Node, now: Instant, health: impl FnOnce() -> Health) {
        let since = |then: Instant| now.saturating_duration_since(then);
        if self.looked.is_some_and(|looked| since(looked) < LOOK) {
            return;
        }
        self.looked = Some(now);
        let graph = self.graph(node);
        let status = health().status(&self.name, &graph, now);
        let due = self
            .sent
            .as_ref()
            .is_none_or(|(sent, last)| since(*sent) >= PERIOD || health::differ(last, &status));
        if due {
            self.publish(&status);
            self.sent = Some((now, status));
        }
    }

    fn publish(&self, status: &DiagnosticStatus) {
        let sent = self.publisher.publish(&DiagnosticArray {
            header: Header {
                stamp: self.logger.now(),
                frame_id: String::new(),
            },
            status: vec![status.clone()],
        });
        if let Err(error) = sent {
            self.logger
                .warn(&format!("/diagnostics got no message: {error}"));
        }
    }

    /// Who listens to the manifest, and who publishes it.
    fn graph(&mut self, node: &Node) -> Graph {
        // r2r asserts what others say of their quality of service (`from_rmw_time_t` in `qos.rs`),
        // and leaks when it panics: it is not asked again.
        let infos = self.graph_answers.then(|| {
            catch_unwind(AssertUnwindSafe(|| {
                node.get_publishers_info_by_topic(&self.topic, false)
            }))
        });
        self.graph_answers = !matches!(infos, Some(Err(_)));
        let infos = infos.and_then(Result::ok).and_then(Result::ok);
        let names = infos.into_iter().flatten();
        let names = names.map(|info| match info.node_namespace.as_str() {
            "/" => format!("/{}", info.node_name),
            namespace => format!("{namespace}/{}", info.node_name),
        });
        Graph {
            subscribers: self.manifests.get_inter_process_subscription_count().ok(),
            publishers: names.collect(),
        }
    }
}
