//! The life cycle on the graph: five services and a topic, as rcl_lifecycle has them
//! (`com_interface.c`).

use r2r::lifecycle_msgs::msg::{
    State as StateMessage, Transition as TransitionMessage, TransitionDescription, TransitionEvent,
};
use r2r::lifecycle_msgs::srv::{
    ChangeState, GetAvailableStates, GetAvailableTransitions, GetState,
};
use r2r::{Node, Publisher, QosProfile, ServiceRequest};

use crate::lifecycle::{GRAPH, Lifecycle, State, Transition};
use crate::rosout::Logger;
use crate::served::Served;

/// A request to change the state.
pub(crate) type Change = ServiceRequest<ChangeState::Service>;

/// What the graph sees of the life cycle.
pub(crate) struct Transitions {
    change_state: Served<ChangeState::Service>,
    get_state: Served<GetState::Service>,
    available_states: Served<GetAvailableStates::Service>,
    available_transitions: Served<GetAvailableTransitions::Service>,
    graph: Served<GetAvailableTransitions::Service>,
    events: Publisher<TransitionEvent>,
    logger: Logger,
}

impl Transitions {
    pub(crate) fn new(node: &mut Node, logger: Logger) -> r2r::Result<Self> {
        let qos = QosProfile::services_default;
        Ok(Self {
            change_state: Served::new(node, "~/change_state", qos())?,
            get_state: Served::new(node, "~/get_state", qos())?,
            available_states: Served::new(node, "~/get_available_states", qos())?,
            available_transitions: Served::new(node, "~/get_available_transitions", qos())?,
            graph: Served::new(node, "~/get_transition_graph", qos())?,
            // rcl_publisher_get_default_options: reliable, volatile, depth 10.
            events: node.create_publisher("~/transition_event", QosProfile::default())?,
            logger,
        })
    }

    /// Answers who only asks: one request of each kind.
    pub(crate) fn step(&mut self, life: &Lifecycle) {
        let logger = &self.logger;
        self.get_state.answer(logger, |_| GetState::Response {
            current_state: state(life.state()),
        });
        self.available_states
            .answer(logger, |_| GetAvailableStates::Response {
                available_states: State::ALL.map(state).to_vec(),
            });
        self.available_transitions
            .answer(logger, |_| describe(life.available()));
        self.graph.answer(logger, |_| describe(GRAPH));
    }

    /// A request to change the state, to be answered when that is done.
    pub(crate) fn asked(&mut self) -> Option<Change> {
        self.change_state.take()
    }

    pub(crate) fn answer(&mut self, change: Change, success: bool) {
        let response = ChangeState::Response { success };
        self.change_state.respond(&self.logger, change, response);
    }

    /// Says that a transition was made.
    pub(crate) fn tell(&self, transition: Transition) {
        let now = self.logger.now();
        let nanoseconds = u64::try_from(now.sec).unwrap_or_default() * 1_000_000_000;
        let description = description(transition);
        let sent = self.events.publish(&TransitionEvent {
            timestamp: nanoseconds + u64::from(now.nanosec),
            transition: description.transition,
            start_state: description.start_state,
            goal_state: description.goal_state,
        });
        if let Err(error) = sent {
            let line = format!("~/transition_event did not hear of a transition: {error}");
            self.logger.warn(&line);
        }
    }
}

fn describe(
    transitions: impl IntoIterator<Item = Transition>,
) -> GetAvailableTransitions::Response {
    GetAvailableTransitions::Response {
        available_transitions: transitions.into_iter().map(description).collect(),
    }
}

fn description(transition: Transition) -> TransitionDescription {
    TransitionDescription {
        transition: TransitionMessage {
            id: transition.id,
            label: transition.label.to_owned(),
        },
        start_state: state(transition.start),
        goal_state: state(transition.goal),
    }
}

fn state(state: State) -> StateMessage {
    StateMessage {
        id: state.id(),
        label: state.label().to_owned(),
    }
}
