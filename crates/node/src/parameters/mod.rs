//! The parameters, served by the node itself: r2r's own handler knows no read-only parameter, no
//! range and no reason, and panics where an answer cannot be sent.

mod params;
mod services;
mod settings;
mod table;

use std::time::Instant;

use r2r::rcl_interfaces::msg::ParameterEvent;
use r2r::{Node, Publisher, QosProfile};

pub(crate) use params::Params;
pub(crate) use settings::{Handoff, Settings, Source};

use crate::rosout::Logger;
use crate::served::PATIENCE;
use services::Services;
use table::Table;

/// The six services of a ROS node, and what they tell of changes.
pub(crate) struct Parameters {
    table: Table,
    services: Services,
    events: Publisher<ParameterEvent>,
    /// `/parameter_events` has heard of all of them.
    introduced: bool,
    node: String,
    logger: Logger,
}

impl Parameters {
    /// Takes what was given at start, and serves it.
    ///
    /// # Errors
    /// For people: which parameter is misspelt, of another type, or out of range.
    pub(crate) fn new(node: &mut Node, logger: Logger) -> Result<Self, String> {
        let given = std::mem::take(&mut *node.params.lock().map_err(text)?);
        let table = Table::new(&given)?;
        // As rclcpp::ParameterEventsQoS has it.
        let qos = QosProfile::default().reliable().volatile().keep_last(1000);
        let events = node.create_publisher("/parameter_events", qos);
        let parameters = Self {
            table,
            services: Services::new(node).map_err(text)?,
            events: events.map_err(text)?,
            introduced: false,
            node: node.fully_qualified_name().map_err(text)?,
            logger,
        };
        parameters.set_clock(node);
        Ok(parameters)
    }

    /// The parameters as they are now.
    pub(crate) const fn params(&self) -> &Params {
        self.table.params()
    }

    /// The parameters as they are now, understood.
    ///
    /// # Errors
    /// For people: which one is wrong, and what it should be.
    pub(crate) fn settings(&self) -> Result<Settings, String> {
        self.params().settings(&self.node)
    }

    /// Answers what came. A caller whom no answer reaches takes 100 ms, so there is an end to it;
    /// the others are answered in the next step.
    pub(crate) fn step(&mut self, node: &mut Node) {
        self.introduce();
        let begun = Instant::now();
        while let Some(changed) = self.services.answer(&mut self.table, &self.logger) {
            self.tell(&changed, node);
            if begun.elapsed() >= PATIENCE {
                break;
            }
        }
    }

    /// All of them are new to the first who listens, as they are where rclcpp declares them.
    fn introduce(&mut self) {
        if !self.introduced && matches!(self.events.get_inter_process_subscription_count(), Ok(1..))
        {
            self.introduced = true;
            self.publish(ParameterEvent {
                new_parameters: self.table.messages(&self.table.names()),
                ..ParameterEvent::default()
            });
        }
    }

    fn tell(&self, names: &[String], node: &mut Node) {
        if names.is_empty() {
            return;
        }
        self.publish(ParameterEvent {
            changed_parameters: self.table.messages(names),
            ..ParameterEvent::default()
        });
        self.set_clock(node);
    }

    fn publish(&self, event: ParameterEvent) {
        let sent = self.events.publish(&ParameterEvent {
            stamp: self.logger.now(),
            node: self.node.clone(),
            ..event
        });
        if let Err(error) = sent {
            let line = format!("/parameter_events did not hear of a change: {error}");
            self.logger.warn(&line);
        }
    }

    /// Makes the ROS clock what `use_sim_time` says.
    fn set_clock(&self, node: &mut Node) {
        let source = node.get_time_source();
        let set = match self.params().use_sim_time {
            true => source.enable_sim_time(node),
            false => {
                source.disable_sim_time();
                Ok(())
            }
        };
        if let Err(error) = set {
            self.logger.warn(&format!("no time from /clock: {error}"));
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
