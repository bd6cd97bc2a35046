//! Where a gate listens, and where it does not.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use tensorgate_handoff::*;

use crate::support::*;

fn start(path: &Path) -> Result<Server, HandoffError> {
    Server::start(path, Peers::default(), |_| {})
}

#[track_caller]
fn refused(path: &Path, why: &str) {
    let error = start(path).unwrap_err();
    assert!(matches!(error, HandoffError::Place { .. }), "{error}");
    assert!(error.to_string().contains(why), "{error}, expected {why:?}");
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_socket_is_for_its_user_alone_unless_others_are_named() {
    let home = home();
    let path = home.path().join("gate");
    let server = start(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    drop(server);
    let server = Server::start(&path, Peers::of([0, 4242]), |_| {}).unwrap();
    assert_eq!(mode(&path), 0o666);
    drop(server);
}

#[test]
fn the_socket_goes_with_its_server() {
    let home = home();
    let path = home.path().join("gate");
    drop(start(&path).unwrap());
    assert!(!path.exists());
    // Another's in its place stays.
    let server = start(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(server);
    assert!(path.exists());
    drop(other);
}

#[test]
fn a_dead_socket_gives_way_and_nothing_else_does() {
    let home = home();
    let path = home.path().join("gate");
    drop(UnixListener::bind(&path).unwrap());
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    let alive = start(&path).unwrap();
    refused(&path, "another process listens there");
    drop(alive);

    let listener = UnixListener::bind(&path).unwrap();
    refused(&path, "another process listens there");
    drop(listener);
    fs::remove_file(&path).unwrap();

    fs::write(&path, "precious").unwrap();
    refused(&path, "no socket");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_file(&path).unwrap();

    fs::create_dir(&path).unwrap();
    refused(&path, "no socket");
}

#[test]
fn a_link_is_not_followed() {
    let home = home();
    let (path, target) = (home.path().join("gate"), home.path().join("elsewhere"));
    symlink(&target, &path).unwrap();
    refused(&path, "no socket");
    drop(UnixListener::bind(&target).unwrap());
    refused(&path, "no socket");
    assert!(target.exists());
}

#[test]
fn where_others_may_write_nobody_listens() {
    let home = home();
    for mode in [0o777, 0o1777, 0o775, 0o757] {
        fs::set_permissions(home.path(), fs::Permissions::from_mode(mode)).unwrap();
        refused(&home.path().join("gate"), "others may write");
    }
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(home.path(), Some(4242), None).unwrap();
        refused(&home.path().join("gate"), "others may write");
    } else {
        eprintln!("NOT TRIED, wants root: a directory of another user");
    }
}

#[test]
fn paths_that_name_no_socket_are_refused() {
    let home = home();
    refused(&home.path().join("a".repeat(200)), "more than 107 bytes");
    refused(&home.path().join("missing/gate"), "No such file");
    refused(Path::new("/"), "names no file");
    refused(&home.path().join(".."), "names no file");
}

#[test]
fn the_directory_of_a_well_known_place_is_made_for_those_who_may_come() {
    let home = home();
    for (name, peers, expected) in [
        ("own", Peers::default(), 0o700),
        ("others", Peers::of([0, 4242]), 0o711),
    ] {
        let place = home.path().join(name).join("robot1.tensorgate");
        make_directory_of(&place, &peers).unwrap();
        assert_eq!(mode(place.parent().unwrap()), expected);
        // Again, as the gate's next start does; a directory that is there stays as it is.
        make_directory_of(&place, &Peers::default()).unwrap();
        assert_eq!(mode(place.parent().unwrap()), expected);
        drop(Server::start(&place, peers, |_| {}).unwrap());
    }
    let missing = home.path().join("missing/tensorgate/gate");
    let error = make_directory_of(&missing, &Peers::default()).unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
}
