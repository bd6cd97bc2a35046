//! Environments, good and bad.

use super::*;
use crate::doctor::check::Status::{self, Fail, Ok, Skipped, Warn};

#[track_caller]
fn expect(check: &Check, status: Status, hint: Option<&str>) {
    assert_eq!(
        (check.status, check.hint.as_deref()),
        (status, hint),
        "{check:?}"
    );
}

#[test]
fn domains_are_those_that_have_ports() {
    for (id, status, hint) in [
        ("0", Ok, None),
        ("101", Ok, None),
        ("102", Warn, Some("take one from 0 to 101")),
        ("214", Warn, Some("take one from 0 to 101")),
        ("232", Ok, None),
        ("233", Fail, Some("the last domain is 232")),
        ("-1", Fail, Some("a domain is a number from 0 to 101")),
        ("robot", Fail, Some("a domain is a number from 0 to 101")),
        ("", Ok, None),
    ] {
        expect(
            &domain(&Environment::from([("ROS_DOMAIN_ID", id)])),
            status,
            hint,
        );
    }
}

#[test]
fn a_distribution_is_sourced_as_a_whole() {
    let prefix = [PathBuf::from("/opt/ros/jazzy")];
    let half = "source its setup.bash; the variable ROS_DISTRO alone is not enough";
    for (distribution, version, prefixes, status, hint) in [
        ("jazzy", "2", &prefix[..], Ok, None),
        ("jazzy", "2", &[], Fail, Some(half)),
        (
            "noetic",
            "1",
            &prefix,
            Fail,
            Some("source one of ROS 2 in a new shell"),
        ),
        (
            "humble",
            "2",
            &prefix,
            Warn,
            Some("it was tried with jazzy"),
        ),
        (
            "\u{1b}[2J",
            "2",
            &prefix,
            Warn,
            Some("it was tried with jazzy"),
        ),
    ] {
        let environment = Environment::from([("ROS_VERSION", version)]);
        let check = sourced(distribution, &environment, prefixes);
        expect(&check, status, hint);
        assert!(!check.detail.contains('\u{1b}'));
    }
    let none = checks(&Environment::default());
    let hint = "where the node or a controller runs, source it: source /opt/ros/jazzy/setup.bash; fetching, signing and verifying need none";
    expect(&none[0], Skipped, Some(hint));
    assert_eq!(none.len(), 1);
}

#[test]
fn who_can_be_found_is_said() {
    let range = "ROS_AUTOMATIC_DISCOVERY_RANGE";
    let nobody = "a controller finds no gate, not even on this machine: set LOCALHOST or SUBNET";
    let words = "set SUBNET, LOCALHOST, OFF or SYSTEM_DEFAULT";
    let older = "unset it, and set ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST";
    for (name, value, status, hint) in [
        (range, "SUBNET", Ok, None),
        (range, "LOCALHOST", Ok, None),
        (range, "SYSTEM_DEFAULT", Ok, None),
        (range, "OFF", Warn, Some(nobody)),
        (range, "subnet", Fail, Some(words)),
        ("ROS_LOCALHOST_ONLY", "1", Warn, Some(older)),
        ("ROS_LOCALHOST_ONLY", "0", Ok, None),
    ] {
        expect(
            &discovery(&Environment::from([(name, value)])),
            status,
            hint,
        );
    }
}

#[test]
fn security_that_is_on_has_keys_and_is_enforced() {
    let keystore = tempfile::tempdir().unwrap();
    std::fs::create_dir(keystore.path().join("enclaves")).unwrap();
    let keystore = keystore.path().to_str().unwrap();
    let make = "make one: `ros2 security create_keystore DIR`, then name it there";
    let open = "set ROS_SECURITY_STRATEGY=Enforce: otherwise a node without keys runs in the open";
    for (keystore, strategy, status, hint) in [
        (keystore, "Enforce", Ok, None),
        (keystore, "Permissive", Warn, Some(open)),
        (keystore, "", Warn, Some(open)),
        ("/nowhere", "Enforce", Fail, Some(make)),
        ("", "Enforce", Fail, Some(make)),
    ] {
        let check = security(&Environment::from([
            ("ROS_SECURITY_ENABLE", "true"),
            ("ROS_SECURITY_KEYSTORE", keystore),
            ("ROS_SECURITY_STRATEGY", strategy),
        ]));
        expect(&check, status, hint);
    }
    expect(&security(&Environment::default()), Skipped, None);
}

#[test]
fn a_middleware_is_a_library_and_no_path() {
    let prefix = tempfile::tempdir().unwrap();
    std::fs::create_dir(prefix.path().join("lib")).unwrap();
    std::fs::write(prefix.path().join("lib/librmw_x.so"), "").unwrap();
    std::fs::write(prefix.path().join("x.so"), "").unwrap();
    let prefixes = [prefix.path().to_owned()];
    let other = "install that package, or unset RMW_IMPLEMENTATION";
    for (name, status, hint) in [
        ("rmw_x", Ok, None),
        ("", Ok, None),
        ("rmw_y", Fail, Some(other)),
        ("/../x", Fail, Some(other)),
        ("../x", Fail, Some(other)),
    ] {
        let environment = Environment::from([("RMW_IMPLEMENTATION", name)]);
        expect(&middleware(&environment, &prefixes), status, hint);
    }
}

#[test]
fn packages_and_the_node_are_in_a_prefix() {
    let prefix = tempfile::tempdir().unwrap();
    let prefixes = [prefix.path().to_owned()];
    let workspace = "source the workspace that `colcon build` made: source install/setup.bash";
    let index = prefix
        .path()
        .join("share/ament_index/resource_index/packages");
    expect(&packages(&prefixes), Fail, Some(workspace));
    std::fs::create_dir_all(&index).unwrap();
    std::fs::write(index.join("tensorgate_msgs"), "").unwrap();
    expect(&packages(&prefixes), Warn, Some(workspace));
    std::fs::write(index.join("tensorgate"), "").unwrap();
    expect(&packages(&prefixes), Ok, None);

    expect(&node(&prefixes, None), Warn, Some(workspace));
    let program = prefix.path().join("tensorgate_node");
    std::fs::write(&program, "").unwrap();
    let mode = std::fs::Permissions::from_mode;
    std::fs::set_permissions(&program, mode(0o644)).unwrap();
    expect(&node(&prefixes, Some(prefix.path())), Warn, Some(workspace));
    std::fs::set_permissions(&program, mode(0o755)).unwrap();
    expect(&node(&prefixes, Some(prefix.path())), Ok, None);
}
