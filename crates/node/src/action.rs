//! The action `~/load_policy`, by hand over its three services and two topics (`action_server.c` of
//! rcl_action). r2r's own server keeps something of every goal and request for good, and loses the
//! goal that runs when another of its number comes; here what is kept is bounded.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use r2r::action_msgs::msg::{GoalInfo, GoalStatus, GoalStatusArray};
use r2r::action_msgs::srv::CancelGoal;
use r2r::builtin_interfaces::msg::Time;
use r2r::tensorgate_msgs::action::LoadPolicy::{
    Feedback, FeedbackMessage, GetResult, Goal as Wish, Result as LoadResult, SendGoal,
};
use r2r::unique_identifier_msgs::msg::UUID;
use r2r::{Node, Publisher, QosProfile, ServiceRequest};

use crate::requests::{Answer, Verdict};
use crate::rosout::Logger;
use crate::served::Served;

/// As many results are kept for those who ask later, and as many callers may wait for one.
const KEPT: usize = 64;

/// Between two words of progress.
const PERIOD: Duration = Duration::from_millis(100);

type Id = [u8; 16];

/// The action's server: one goal runs at a time.
pub(crate) struct LoadAction {
    goals: Served<SendGoal::Service>,
    cancels: Served<CancelGoal::Service>,
    results: Served<GetResult::Service>,
    feedback: Publisher<FeedbackMessage>,
    status: Publisher<GoalStatusArray>,
    logger: Logger,
    running: Option<Goal>,
    ended: VecDeque<(Goal, LoadResult)>,
    /// Who waits for the end of the goal that runs.
    waiting: VecDeque<ServiceRequest<GetResult::Service>>,
    told: Option<(Instant, Progress)>,
}

/// Phase, bytes done, bytes in all.
pub(crate) type Progress = (u8, u64, u64);

/// A goal that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    id: Id,
    stamp: Time,
    status: i8,
}

impl LoadAction {
    pub(crate) fn new(node: &mut Node, logger: Logger) -> r2r::Result<Self> {
        let qos = QosProfile::services_default;
        // rcl_action_qos_profile_status_default.
        let latched = QosProfile::default()
            .reliable()
            .transient_local()
            .keep_last(1);
        Ok(Self {
            goals: Served::new(node, "~/load_policy/_action/send_goal", qos())?,
            cancels: Served::new(node, "~/load_policy/_action/cancel_goal", qos())?,
            results: Served::new(node, "~/load_policy/_action/get_result", qos())?,
            feedback: node
                .create_publisher("~/load_policy/_action/feedback", QosProfile::default())?,
            status: node.create_publisher("~/load_policy/_action/status", latched)?,
            logger,
            running: None,
            ended: VecDeque::new(),
            waiting: VecDeque::new(),
            told: None,
        })
    }

    /// Accepts a goal, where one was sent. One whose number is known is refused: it would take the
    /// other's place. One whose client was not told is not pursued.
    pub(crate) fn accept(&mut self) -> Option<(Goal, Wish)> {
        let request = self.goals.take()?;
        let id = id(&request.message.goal_id);
        let known = self.find(id).is_some();
        let (wish, stamp) = (request.message.goal.clone(), self.logger.now());
        let response = SendGoal::Response {
            accepted: !known,
            stamp: stamp.clone(),
        };
        let told = self.goals.respond(&self.logger, request, response);
        let goal = Goal {
            id,
            stamp,
            status: GoalStatus::STATUS_EXECUTING as i8,
        };
        (told && !known).then_some((goal, wish))
    }

    /// The goal is pursued from now on.
    pub(crate) fn begin(&mut self, goal: Goal) {
        self.running = Some(goal);
        self.told = None;
        self.tell_status();
    }

    /// The goal that runs has ended.
    pub(crate) fn end_running(&mut self, answer: &Answer, epoch: u64) {
        if let Some(goal) = self.running.take() {
            self.end(goal, answer, epoch);
        }
    }

    /// A goal has ended, or is refused after it was accepted.
    pub(crate) fn end(&mut self, goal: Goal, answer: &Answer, epoch: u64) {
        let canceling = goal.status == GoalStatus::STATUS_CANCELING as i8;
        let status = match answer.verdict {
            Verdict::Ok => GoalStatus::STATUS_SUCCEEDED as i8,
            Verdict::Canceled if canceling => GoalStatus::STATUS_CANCELED as i8,
            _ => GoalStatus::STATUS_ABORTED as i8,
        };
        self.ended.truncate(KEPT - 1);
        self.ended
            .push_front((Goal { status, ..goal }, answer.result(epoch)));
        self.tell_status();
    }

    /// Answers one request of each kind that waits; whether the goal that runs is to be called off.
    pub(crate) fn step(&mut self) -> bool {
        self.take_result_request();
        self.answer_one_waiting();
        self.cancel()
    }

    /// Says how far it is, at a bounded rate.
    pub(crate) fn tell(&mut self, progress: Progress, now: Instant) {
        let Some(goal) = &self.running else { return };
        let soon = |(at, last): (Instant, Progress)| {
            last == progress || (last.0 == progress.0 && now.saturating_duration_since(at) < PERIOD)
        };
        if self.told.is_some_and(soon) {
            return;
        }
        self.told = Some((now, progress));
        let (phase, bytes_done, bytes_total) = progress;
        let sent = self.feedback.publish(&FeedbackMessage {
            goal_id: uuid(goal.id),
            feedback: Feedback {
                phase,
                bytes_done,
                bytes_total,
            },
        });
        self.lament(sent);
    }

    fn find(&self, id: Id) -> Option<&Goal> {
        let ended = self.ended.iter().map(|(goal, _)| goal);
        self.running.iter().chain(ended).find(|goal| goal.id == id)
    }

    fn take_result_request(&mut self) {
        let Some(request) = self.results.take() else {
            return;
        };
        if self.waiting.len() < KEPT {
            return self.waiting.push_back(request);
        }
        // Whoever comes when all places are taken is told so at once.
        let response = unknown();
        self.results.respond(&self.logger, request, response);
    }

    /// One at a time: each may take 100 ms, where no answer reaches the caller.
    fn answer_one_waiting(&mut self) {
        let running = self.running.as_ref().map(|goal| goal.id);
        let over = |request: &ServiceRequest<GetResult::Service>| {
            Some(id(&request.message.goal_id)) != running
        };
        let Some(index) = self.waiting.iter().position(over) else {
            return;
        };
        if let Some(request) = self.waiting.remove(index) {
            let id = id(&request.message.goal_id);
            let ended = self.ended.iter().find(|(goal, _)| goal.id == id);
            let response = ended.map(|(goal, result)| GetResult::Response {
                status: goal.status,
                result: result.clone(),
            });
            let response = response.unwrap_or_else(unknown);
            self.results.respond(&self.logger, request, response);
        }
    }

    /// Which goals a request means, as `rcl_action_process_cancel_request` has it.
    fn cancel(&mut self) -> bool {
        let Some(request) = self.cancels.take() else {
            return false;
        };
        let info = &request.message.goal_info;
        let (id, all) = (id(&info.goal_id), info.stamp == Time::default());
        let meant = |goal: &Goal| match (id, all) {
            ([0, ..], true) if id == Id::default() => true,
            (id, true) => goal.id == id,
            (id, false) => goal.id == id || !later(&goal.stamp, &info.stamp),
        };
        let running = self.running.as_mut().filter(|goal| meant(goal));
        let code = match &running {
            Some(_) => CancelGoal::Response::ERROR_NONE as i8,
            None if !all || id == Id::default() => CancelGoal::Response::ERROR_NONE as i8,
            None if self.ended.iter().any(|(goal, _)| goal.id == id) => {
                CancelGoal::Response::ERROR_GOAL_TERMINATED as i8
            }
            None => CancelGoal::Response::ERROR_UNKNOWN_GOAL_ID as i8,
        };
        let canceling = running.map(|goal| {
            goal.status = GoalStatus::STATUS_CANCELING as i8;
            goal.info()
        });
        let found = canceling.is_some();
        let response = CancelGoal::Response {
            return_code: code,
            goals_canceling: canceling.into_iter().collect(),
        };
        self.cancels.respond(&self.logger, request, response);
        if found {
            self.tell_status();
        }
        found
    }

    fn tell_status(&self) {
        let ended = self.ended.iter().map(|(goal, _)| goal);
        let goals = self.running.iter().chain(ended);
        let sent = self.status.publish(&GoalStatusArray {
            status_list: goals
                .map(|goal| GoalStatus {
                    goal_info: goal.info(),
                    status: goal.status,
                })
                .collect(),
        });
        self.lament(sent);
    }

    fn lament(&self, sent: r2r::Result<()>) {
        if let Err(error) = sent {
            let line = format!("a word of ~/load_policy was not sent: {error}");
            self.logger.warn(&line);
        }
    }
}

impl Goal {
    fn info(&self) -> GoalInfo {
        GoalInfo {
            goal_id: uuid(self.id),
            stamp: self.stamp.clone(),
        }
    }
}

fn later(a: &Time, b: &Time) -> bool {
    (a.sec, a.nanosec) > (b.sec, b.nanosec)
}

fn unknown() -> GetResult::Response {
    GetResult::Response {
        status: GoalStatus::STATUS_UNKNOWN as i8,
        result: LoadResult::default(),
    }
}

/// `uint8[16]` arrives in full.
fn id(message: &UUID) -> Id {
    message.uuid.as_slice().try_into().unwrap_or_default()
}

fn uuid(id: Id) -> UUID {
    UUID { uuid: id.to_vec() }
}
