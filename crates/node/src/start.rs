//! Before there is a gate: ROS, its arguments, a name for the run.

use r2r::{Context, Node};

/// r2r panics where rcl refuses the arguments; for a person at a terminal that is a message.
pub(crate) fn start_ros() -> Result<Node, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let started = std::panic::catch_unwind(|| Node::create(Context::create()?, "tensorgate", ""));
    std::panic::set_hook(hook);
    let why = match started {
        Ok(Ok(node)) => return Ok(node),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "rcl refused the arguments".to_owned(),
    };
    let hint = match std::env::var_os("ROS_SECURITY_ENABLE") {
        Some(secured) if secured == "true" => {
            "has the enclave its keys, and the middleware security? (unset ROS_SECURITY_ENABLE to find out)"
        }
        _ => {
            "are the arguments after --ros-args right, and is ROS_LOG_DIR (or ~/.ros/log) writable?"
        }
    };
    Err(format!("could not start ROS: {why}; hint: {hint}"))
}

/// Drawn anew for each run.
pub(crate) fn session_id() -> Result<[u8; 16], String> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| format!("no randomness for a session id: {error}"))?;
    Ok(id)
}
