//! The life cycle of a managed node, as rcl_lifecycle has it (`default_state_machine.c`). No ROS in
//! here: the machine alone.

use State::{
    Activating, Active, CleaningUp, Configuring, Deactivating, ErrorProcessing, Finalized,
    Inactive, ShuttingDown, Unconfigured, Unknown,
};

/// The states, with the numbers of `lifecycle_msgs/msg/State`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum State {
    Unknown = 0,
    Unconfigured = 1,
    Inactive = 2,
    Active = 3,
    Finalized = 4,
    Configuring = 10,
    CleaningUp = 11,
    ShuttingDown = 12,
    Activating = 13,
    Deactivating = 14,
    ErrorProcessing = 15,
}

/// An edge between two states.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Transition {
    /// As `lifecycle_msgs/msg/Transition` numbers it.
    pub(crate) id: u8,
    pub(crate) label: &'static str,
    pub(crate) start: State,
    pub(crate) goal: State,
}

/// How what a transition does has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Success,
    /// It did not work, and nothing has changed.
    Failure,
    /// Something is wrong with the node.
    Error,
}

/// The transitions that the node itself asks for.
pub(crate) const CONFIGURE: &str = "configure";
pub(crate) const ACTIVATE: &str = "activate";

/// All transitions, in the order in which rcl_lifecycle registers them.
pub(crate) const GRAPH: [Transition; 25] = {
    const SUCCESS: &str = Outcome::Success.label();
    const FAILURE: &str = Outcome::Failure.label();
    const ERROR: &str = Outcome::Error.label();
    [
        edge(1, CONFIGURE, Unconfigured, Configuring),
        edge(10, SUCCESS, Configuring, Inactive),
        edge(11, FAILURE, Configuring, Unconfigured),
        edge(12, ERROR, Configuring, ErrorProcessing),
        edge(2, "cleanup", Inactive, CleaningUp),
        edge(20, SUCCESS, CleaningUp, Unconfigured),
        edge(21, FAILURE, CleaningUp, Inactive),
        edge(22, ERROR, CleaningUp, ErrorProcessing),
        edge(3, ACTIVATE, Inactive, Activating),
        edge(30, SUCCESS, Activating, Active),
        edge(31, FAILURE, Activating, Inactive),
        edge(32, ERROR, Activating, ErrorProcessing),
        edge(4, "deactivate", Active, Deactivating),
        edge(40, SUCCESS, Deactivating, Inactive),
        edge(41, FAILURE, Deactivating, Active),
        edge(42, ERROR, Deactivating, ErrorProcessing),
        edge(5, "shutdown", Unconfigured, ShuttingDown),
        edge(6, "shutdown", Inactive, ShuttingDown),
        edge(7, "shutdown", Active, ShuttingDown),
        edge(50, SUCCESS, ShuttingDown, Finalized),
        edge(51, FAILURE, ShuttingDown, Finalized),
        edge(52, ERROR, ShuttingDown, ErrorProcessing),
        edge(60, SUCCESS, ErrorProcessing, Unconfigured),
        edge(61, FAILURE, ErrorProcessing, Finalized),
        edge(62, ERROR, ErrorProcessing, Finalized),
    ]
};

const fn edge(id: u8, label: &'static str, start: State, goal: State) -> Transition {
    Transition {
        id,
        label,
        start,
        goal,
    }
}

/// Where a node is in its life.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    state: State,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            state: Unconfigured,
        }
    }
}

impl Lifecycle {
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// The transitions that begin where the node is.
    pub(crate) fn available(&self) -> impl Iterator<Item = Transition> + use<> {
        let here = self.state;
        GRAPH.into_iter().filter(move |it| it.start == here)
    }

    /// What a client asks for. As in rclcpp, a label counts more than the number beside it, since
    /// `ros2 service call` leaves the number 0. How a transition ends is not a client's to say.
    pub(crate) fn find(&self, id: u8, label: &str) -> Option<Transition> {
        let wanted = |it: &Transition| match label {
            "" => it.id == id,
            label => it.label == label,
        };
        self.available()
            .filter(|it| !it.start.is_transition())
            .find(wanted)
    }

    /// Goes where the transition leads.
    pub(crate) const fn begin(&mut self, transition: Transition) {
        self.state = transition.goal;
    }

    /// Ends the transition that the node is in; `None` if it is in none.
    pub(crate) fn end(&mut self, outcome: Outcome) -> Option<Transition> {
        let mut available = self.available().filter(|it| it.start.is_transition());
        let transition = available.find(|it| it.label == outcome.label())?;
        self.state = transition.goal;
        Some(transition)
    }
}

impl State {
    /// In the order in which rcl_lifecycle registers them.
    pub(crate) const ALL: [Self; 11] = [
        Unknown,
        Unconfigured,
        Inactive,
        Active,
        Finalized,
        Configuring,
        CleaningUp,
        ShuttingDown,
        Activating,
        Deactivating,
        ErrorProcessing,
    ];

    pub(crate) const fn id(self) -> u8 {
        self as u8
    }

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Unknown => "unknown",
            Unconfigured => "unconfigured",
            Inactive => "inactive",
            Active => "active",
            Finalized => "finalized",
            Configuring => "configuring",
            CleaningUp => "cleaningup",
            ShuttingDown => "shuttingdown",
            Activating => "activating",
            Deactivating => "deactivating",
            ErrorProcessing => "errorprocessing",
        }
    }

    /// Whether the node is on its way to another state.
    pub(crate) const fn is_transition(self) -> bool {
        self.id() >= Configuring.id()
    }
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Success => "transition_success",
            Self::Failure => "transition_failure",
            Self::Error => "transition_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(state: State) -> Lifecycle {
        Lifecycle { state }
    }

    /// `tests/test_lifecycle.py` compares the graph with that of rcl_lifecycle itself.
    #[test]
    fn every_end_of_a_transition_has_the_number_of_its_beginning() {
        for transition in GRAPH.iter().filter(|it| it.start.is_transition()) {
            let begin = GRAPH.iter().find(|it| it.goal == transition.start);
            let begin = begin.unwrap();
            let family = match begin.goal {
                ErrorProcessing => 6,
                _ => begin.id,
            };
            assert_eq!(transition.id / 10, family, "{transition:?}");
        }
    }

    #[test]
    fn a_life() {
        let mut life = Lifecycle::default();
        for (asked, during, outcome, after) in [
            (CONFIGURE, Configuring, Outcome::Failure, Unconfigured),
            (CONFIGURE, Configuring, Outcome::Success, Inactive),
            (ACTIVATE, Activating, Outcome::Success, Active),
            ("deactivate", Deactivating, Outcome::Success, Inactive),
            ("cleanup", CleaningUp, Outcome::Success, Unconfigured),
            ("shutdown", ShuttingDown, Outcome::Success, Finalized),
        ] {
            life.begin(life.find(0, asked).unwrap());
            assert_eq!(life.state(), during);
            assert_eq!(life.end(outcome).unwrap().goal, after);
        }
        assert_eq!(life.available().count(), 0);
    }

    #[test]
    fn an_error_is_processed() {
        let mut life = at(Activating);
        assert_eq!(life.end(Outcome::Error).unwrap().id, 32);
        assert_eq!(life.state(), ErrorProcessing);
        assert_eq!(life.end(Outcome::Success).unwrap().id, 60);
        assert_eq!(life.state(), Unconfigured);
    }

    #[test]
    fn a_client_asks_by_number_or_by_label_and_only_for_what_may_be() {
        assert_eq!(at(Unconfigured).find(1, "").unwrap().label, CONFIGURE);
        assert_eq!(at(Inactive).find(0, "shutdown").unwrap().id, 6);
        // The label decides.
        assert_eq!(at(Active).find(1, "deactivate").unwrap().id, 4);
        assert_eq!(at(Active).find(4, "configure"), None);
        assert_eq!(at(Active).find(0, ""), None);
        for id in 0..=u8::MAX {
            assert_eq!(at(Finalized).find(id, ""), None);
            assert_eq!(at(Configuring).find(id, ""), None);
        }
        assert_eq!(at(Configuring).find(0, "transition_success"), None);
    }

    #[test]
    fn nothing_ends_where_nothing_began() {
        for state in State::ALL.into_iter().filter(|it| !it.is_transition()) {
            assert_eq!(at(state).end(Outcome::Success), None);
        }
    }
}
