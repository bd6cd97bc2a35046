//! Whether a node and controllers would find each other: what `source setup.bash` leaves behind.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::check::Check;
use crate::environment::Environment;

/// Distributions that the node was built and tried with.
const DISTRIBUTIONS: [&str; 1] = ["jazzy"];
const WORKSPACE: &str = "source the workspace that `colcon build` made: source install/setup.bash";
/// UDP ports end at 65535, and a domain has 250 from 7400 on (DDS Interoperability Wire Protocol,
/// 9.6.1).
const LAST_DOMAIN: u32 = 232;
/// Where these domains have their ports, Linux gives ports to whoever connects
/// (`net.ipv4.ip_local_port_range`, 32768 to 60999).
const SHARED_DOMAINS: std::ops::RangeInclusive<u32> = 102..=214;

pub(super) fn checks(environment: &Environment) -> Vec<Check> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent);
    let Some(distribution) = environment.text("ROS_DISTRO") else {
        let seen = "not sourced: ROS_DISTRO is not set";
        let hint = "where the node or a controller runs, source it: source /opt/ros/jazzy/setup.bash; \
             fetching, signing and verifying need none";
        return vec![Check::skipped("ros", seen).hint(hint)];
    };
    let prefixes = environment.paths("AMENT_PREFIX_PATH");
    vec![
        sourced(&distribution, environment, &prefixes),
        packages(&prefixes),
        node(&prefixes, beside),
        middleware(environment, &prefixes),
        domain(environment),
        discovery(environment),
        security(environment),
    ]
}

fn sourced(distribution: &str, environment: &Environment, prefixes: &[PathBuf]) -> Check {
    const NAME: &str = "ros";
    if environment
        .text("ROS_VERSION")
        .is_some_and(|version| version != "2")
    {
        let seen = format!("{distribution:?} is not a distribution of ROS 2");
        return Check::fail(NAME, seen).hint("source one of ROS 2 in a new shell");
    }
    if prefixes.is_empty() {
        let seen = format!("{distribution:?}, and AMENT_PREFIX_PATH names no directory");
        return Check::fail(NAME, seen)
            .hint("source its setup.bash; the variable ROS_DISTRO alone is not enough");
    }
    if DISTRIBUTIONS.contains(&distribution) {
        return Check::ok(NAME, format!("{distribution:?}"));
    }
    let known = DISTRIBUTIONS.join(" and ");
    Check::warn(
        NAME,
        format!("{distribution:?}, with which nobody tried it"),
    )
    .hint(format!("it was tried with {known}"))
}

/// Without its messages nothing is published; without the package, only `ros2 run` finds no node.
fn packages(prefixes: &[PathBuf]) -> Check {
    const NAME: &str = "ros-packages";
    let index = Path::new("share/ament_index/resource_index/packages");
    let is_there = |package: &str| {
        prefixes
            .iter()
            .any(|prefix| prefix.join(index).join(package).exists())
    };
    let missing = |package| format!("{package:?} is in no prefix of AMENT_PREFIX_PATH");
    match (is_there("tensorgate_msgs"), is_there("tensorgate")) {
        (true, true) => Check::ok(NAME, "tensorgate and tensorgate_msgs"),
        (false, _) => Check::fail(NAME, missing("tensorgate_msgs")).hint(WORKSPACE),
        (true, false) => Check::warn(NAME, missing("tensorgate")).hint(WORKSPACE),
    }
}

/// Where `ros2 run` looks, or beside this command, where a build without colcon has it.
fn node(prefixes: &[PathBuf], beside: Option<&Path>) -> Check {
    const NAME: &str = "ros-node";
    let runs = |path: &PathBuf| {
        let stat = path.metadata();
        stat.is_ok_and(|stat| stat.is_file() && stat.permissions().mode() & 0o111 != 0)
    };
    let installed = prefixes.iter().map(|prefix| prefix.join("lib/tensorgate"));
    let folders = installed.chain(beside.map(Path::to_owned));
    let mut programs = folders.map(|folder| folder.join("tensorgate_node"));
    match programs.find(runs) {
        Some(path) => Check::ok(NAME, format!("{path:?}")),
        None => Check::warn(
            NAME,
            "\"tensorgate_node\" is in no prefix, nor beside this command",
        )
        .hint(WORKSPACE),
    }
}

fn middleware(environment: &Environment, prefixes: &[PathBuf]) -> Check {
    const NAME: &str = "ros-middleware";
    let Some(name) = environment.text("RMW_IMPLEMENTATION") else {
        return Check::ok(
            NAME,
            "the distribution's own: RMW_IMPLEMENTATION is not set",
        );
    };
    let library = format!("lib{name}.so");
    let there = |prefix: &PathBuf| prefix.join("lib").join(&library).exists();
    let is_name = !name.contains('/');
    if is_name && prefixes.iter().any(there) {
        return Check::ok(NAME, name);
    }
    let seen = format!("RMW_IMPLEMENTATION is {name:?}, and no prefix has {library:?}");
    Check::fail(NAME, seen).hint("install that package, or unset RMW_IMPLEMENTATION")
}

fn domain(environment: &Environment) -> Check {
    const NAME: &str = "ros-domain";
    let Some(text) = environment.text("ROS_DOMAIN_ID") else {
        return Check::ok(NAME, "0: ROS_DOMAIN_ID is not set");
    };
    match text.parse::<u32>() {
        Ok(id) if id > LAST_DOMAIN => Check::fail(NAME, format!("ROS_DOMAIN_ID is {id}"))
            .hint(format!("the last domain is {LAST_DOMAIN}")),
        Ok(id) if SHARED_DOMAINS.contains(&id) => {
            let seen = format!("ROS_DOMAIN_ID is {id}: Linux gives its ports to others, too");
            Check::warn(NAME, seen).hint("take one from 0 to 101")
        }
        Ok(id) => Check::ok(NAME, id.to_string()),
        Err(_) => Check::fail(NAME, format!("ROS_DOMAIN_ID is {text:?}"))
            .hint("a domain is a number from 0 to 101"),
    }
}

/// Who may be found; `ROS_LOCALHOST_ONLY` is the older word, and wins where both are set.
fn discovery(environment: &Environment) -> Check {
    const NAME: &str = "ros-discovery";
    let range = environment.text("ROS_AUTOMATIC_DISCOVERY_RANGE");
    if environment.text("ROS_LOCALHOST_ONLY").as_deref() == Some("1") {
        let check = Check::warn(
            NAME,
            "this machine alone: ROS_LOCALHOST_ONLY is 1, an older word",
        );
        return check.hint("unset it, and set ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST");
    }
    match range.as_deref() {
        None => Check::ok(NAME, "the subnet: ROS_AUTOMATIC_DISCOVERY_RANGE is not set"),
        Some("SUBNET") => Check::ok(NAME, "the subnet"),
        Some("LOCALHOST") => Check::ok(NAME, "this machine alone"),
        Some("SYSTEM_DEFAULT") => Check::ok(NAME, "as the middleware has it"),
        Some("OFF") => Check::warn(NAME, "nobody: ROS_AUTOMATIC_DISCOVERY_RANGE is OFF")
            .hint("a controller finds no gate, not even on this machine: set LOCALHOST or SUBNET"),
        Some(other) => {
            let seen = format!("ROS_AUTOMATIC_DISCOVERY_RANGE is {other:?}, which is no range");
            Check::fail(NAME, seen).hint("set SUBNET, LOCALHOST, OFF or SYSTEM_DEFAULT")
        }
    }
}

/// SROS 2 keeps strangers off the graph; what is published is verified with and without it.
fn security(environment: &Environment) -> Check {
    const NAME: &str = "ros-security";
    let var = |name| environment.text(name);
    if var("ROS_SECURITY_ENABLE").as_deref() != Some("true") {
        let seen = "off: whoever reaches the graph may publish; what counts is signed all the same";
        return Check::skipped(NAME, seen);
    }
    let keystore = var("ROS_SECURITY_KEYSTORE").unwrap_or_default();
    if !Path::new(OsStr::new(&keystore)).join("enclaves").is_dir() {
        let seen = format!("ROS_SECURITY_KEYSTORE is {keystore:?}, where no enclaves are");
        return Check::fail(NAME, seen)
            .hint("make one: `ros2 security create_keystore DIR`, then name it there");
    }
    match var("ROS_SECURITY_STRATEGY").as_deref() {
        Some("Enforce") => Check::ok(NAME, format!("enforced, keys in {keystore:?}")),
        other => {
            let seen = format!("on, and ROS_SECURITY_STRATEGY is {:?}", other.unwrap_or(""));
            Check::warn(NAME, seen).hint(
                "set ROS_SECURITY_STRATEGY=Enforce: otherwise a node without keys runs in the open",
            )
        }
    }
}

#[cfg(test)]
mod tests;
