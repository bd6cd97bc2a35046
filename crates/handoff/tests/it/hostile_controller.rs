//! What controllers cannot do to a gate.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send,
    socket_with,
};
use tensorgate_handoff::*;
use tensorgate_verify::Limits;

use crate::process::Role;
use crate::support::*;

fn new_socket() -> OwnedFd {
    socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap()
}

pub(crate) fn connect_to(path: &Path) -> OwnedFd {
    let socket = new_socket();
    connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    socket
}

#[test]
fn several_controllers_at_once_get_the_same() {
    let policy = policy();
    let gate = Gate::of(&policy, Peers::default());
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let proven = prove(gate.receive().unwrap()).unwrap();
                    assert_eq!(proven.evidence().manifest, policy.evidence().manifest);
                }
            });
        }
    });
    assert!(gate.event(160).starts_with("handed over to user"));
}

#[test]
fn what_is_not_offered_is_refused_with_a_word() {
    let policy = policy();
    let gate = Gate::empty(Peers::default());
    let refusal = || match gate.receive() {
        Err(HandoffError::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(), Refusal::NothingOffered);
    gate.server
        .offer(Offer::seal(&policy, SESSION, EPOCH).unwrap());
    assert!(prove(gate.receive().unwrap()).is_ok());
    gate.server.withdraw(Refusal::NotSealed);
    assert_eq!(refusal(), Refusal::NotSealed);
    gate.server.withdraw(Refusal::NothingOffered);
    assert_eq!(refusal(), Refusal::NothingOffered);
}

#[test]
fn another_policy_takes_the_place_of_the_first_for_whoever_comes_then() {
    let (first, second) = (policy(), policy_of(1, &weights(500)));
    let gate = Gate::of(&first, Peers::default());
    let early = gate.receive().unwrap();
    gate.server
        .offer(Offer::seal(&second, SESSION, EPOCH + 1).unwrap());
    let late = gate.receive().unwrap();
    assert_eq!((early.epoch(), late.epoch()), (EPOCH, EPOCH + 1));
    // What was handed over stays, though the gate let go of it.
    drop(gate);
    for (handed, policy) in [(early, first), (late, second)] {
        let proven = prove(handed).unwrap();
        assert_eq!(proven.evidence().manifest, policy.evidence().manifest);
    }
}

#[test]
fn who_is_not_named_is_refused_by_the_kernels_word() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT TRIED, wants root: a process of another user");
        return;
    }
    // By default, the mode of the socket already keeps others away.
    let private = Gate::of(&policy(), Peers::default());
    let (said, _role) = Role::start("stranger", &private.path(), Some(65_534));
    assert!(
        said.text("outcome").contains("Permission denied"),
        "{said:?}"
    );

    let shared = Gate::of(&policy(), Peers::of([4242]));
    let (said, _role) = Role::start("stranger", &shared.path(), Some(65_534));
    // The stranger expects its own user or root, and finds root; it is told why not.
    assert_eq!(said.text("outcome"), "refused: not for this user");
    let event = shared.event(1);
    assert!(event.contains("user 65534"), "{event}");
    // Nor root, where it is not named.
    let refused = shared.receive();
    assert!(matches!(
        refused,
        Err(HandoffError::Refused(Refusal::NotAdmitted))
    ));

    let (said, _role) = Role::start("stranger", &shared.path(), Some(4242));
    assert_eq!(said.text("outcome"), "handed over");
}

#[test]
fn a_controller_outside_the_gates_container_is_known_by_its_user() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT TRIED, wants root: process numbers of its own");
        return;
    }
    let (said, mut gate) = Role::start_contained("contained_gate", Path::new("/"));
    assert!(said.number("pid") < 10, "{said:?}");
    // To the gate, this process has the number 0.
    assert!(prove(receive_at(Path::new(said.text("path"))).unwrap()).is_ok());
    assert_eq!(gate.go_on().text("event"), "handed over to user 0");
}

#[test]
fn a_controller_that_never_reads_holds_nobody_up() {
    let gate = Gate::of(&policy(), Peers::default());
    let deaf: Vec<OwnedFd> = (0..200).map(|_| connect_to(&gate.path())).collect();
    let (_, role) = Role::start("deaf_controller", &gate.path(), None);
    assert!(prove(gate.receive().unwrap()).is_ok());
    role.kill();
    drop(deaf);
    assert!(prove(gate.receive().unwrap()).is_ok());
}

/// The kernel bounds how many descriptors of one user are on their way (too_many_unix_fds in
/// net/core/scm.c), root's excepted: who never reads can use them up, as long as it stays.
#[test]
fn a_controller_that_hoards_keeps_others_away_until_it_goes() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT TRIED, wants root: a process of another user");
        return;
    }
    let (gate, _role) = Role::start("open_gate", Path::new("/"), Some(4242));
    let path = Path::new(gate.text("path")).to_owned();
    let limits = Limits::default();
    let receive = || receive(&path, &Peers::of([4242]), &limits, PATIENCE);
    let hoard: Vec<OwnedFd> = (0..200).map(|_| connect_to(&path)).collect();
    let received = receive();
    let early = matches!(received, Err(HandoffError::Malformed("it ended early")));
    assert!(early, "{received:?}");
    drop(hoard);
    // The kernel closes in its own time what nobody read.
    let later = (0..100).find_map(|_| {
        thread::sleep(Duration::from_millis(50));
        receive().ok()
    });
    assert!(prove(later.unwrap()).is_ok());
}

#[test]
fn a_controller_that_dies_in_between_changes_nothing() {
    let gate = Gate::of(&policy(), Peers::default());
    for _ in 0..50 {
        let socket = connect_to(&gate.path());
        let mut first = [0; 72];
        recv(&socket, &mut first, rustix::net::RecvFlags::empty()).unwrap();
        drop(socket);
    }
    for _ in 0..3 {
        let (_, role) = Role::start("deaf_controller", &gate.path(), None);
        role.kill();
    }
    assert!(prove(gate.receive().unwrap()).is_ok());
}

#[test]
fn a_controller_that_talks_is_not_listened_to() {
    let gate = Gate::of(&policy(), Peers::default());
    for _ in 0..50 {
        let socket = connect_to(&gate.path());
        // It may be too late to say anything.
        let _sent = send(&socket, &[0xff; 4096], SendFlags::NOSIGNAL);
    }
    assert!(prove(gate.receive().unwrap()).is_ok());
}

#[test]
fn ten_thousand_connections_leave_nothing_behind() {
    let gate = Gate::of(&policy(), Peers::default());
    let before = descriptors();
    for _ in 0..10_000 {
        drop(connect_to(&gate.path()));
    }
    assert!(prove(gate.receive().unwrap()).is_ok());
    // Other tests of this process open some meanwhile.
    assert!(descriptors() < before + 200);
}

#[test]
fn without_descriptors_a_gate_answers_one_after_the_other_or_is_deaf_for_a_while() {
    let (said, mut gate) = Role::start("poor_gate", Path::new("/"), None);
    let path = Path::new(said.text("path")).to_owned();
    assert!(prove(receive_at(&path).unwrap()).is_ok());
    // Until it waits in `accept` again, which has a descriptor set aside (net/socket.c).
    thread::sleep(Duration::from_millis(200));
    assert!(gate.go_on().number("taken") > 0);
    assert!(prove(receive_at(&path).unwrap()).is_ok());
    gate.go_on();
    // The one set aside; from then on there is none.
    assert!(prove(receive_at(&path).unwrap()).is_ok());
    let short = Duration::from_millis(500);
    let received = receive(&path, &Peers::default(), &Limits::default(), short);
    assert!(
        matches!(received, Err(HandoffError::Silent)),
        "{received:?}"
    );
    let said = gate.go_on();
    let event = said.text("event");
    assert!(event.starts_with("nobody can connect for now"), "{said:?}");
    assert!(prove(receive_at(&path).unwrap()).is_ok());
}

#[test]
fn without_descriptors_a_controller_gets_an_error_and_recovers() {
    let gate = Gate::of(&policy(), Peers::default());
    let (said, _role) = Role::start("poor_controller", &gate.path(), None);
    // However many descriptors are missing, it is an error, and each time what came was closed.
    for room in ["room0", "room1", "room2"] {
        assert!(said.text(room).starts_with("not received: "), "{said:?}");
    }
    assert!(
        said.text("room1").ends_with("descriptors that did not fit"),
        "{said:?}"
    );
    assert_eq!(said.text("room7"), "proven", "{said:?}");
}
