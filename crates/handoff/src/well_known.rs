//! Where gate and controllers meet without being told: both derive it from the gate's name.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, chmodat, mkdirat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::place::LONGEST;
use crate::{HandoffError, Peers};

/// The runtime directory of services that run as root.
const OF_ROOT: &str = "/run";

/// Where the gate of this fully qualified name, such as `/robot1/tensorgate`, hands over to
/// processes of this user: `/run/tensorgate/robot1.tensorgate` for root, else in
/// `$XDG_RUNTIME_DIR/tensorgate`.
///
/// `None` where there is no such place: the name is none that a node can have, the user has no
/// runtime directory, or the path is longer than a socket's may be.
///
/// ```
/// let place = tensorgate_handoff::well_known("/robot1/tensorgate");
/// assert!(place.is_none_or(|place| place.ends_with("tensorgate/robot1.tensorgate")));
/// assert_eq!(tensorgate_handoff::well_known("/../tensorgate"), None);
/// ```
pub fn well_known(name: &str) -> Option<PathBuf> {
    let runtime = match geteuid().is_root() {
        true => PathBuf::from(OF_ROOT),
        false => PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?),
    };
    below(&runtime, name)
}

/// Where a controller finds the gate of this name: at root's [`well_known`] place where a gate is
/// there, since it may serve every user, else at this user's own. Ask anew for each hand-off: gates
/// come and go. Who really listens, [`receive`](crate::receive) asks the kernel.
pub fn find(name: &str) -> Option<PathBuf> {
    find_below(Path::new(OF_ROOT), name).or_else(|| well_known(name))
}

/// Makes the directory of a well-known place, where it is missing: for this user alone, or to pass
/// through, where others are among `peers`. One that is there stays as it is; whether it can be
/// relied on, [`Server::start`](crate::Server::start) judges.
///
/// # Errors
/// [`Place`](HandoffError::Place): what the system says.
pub fn make_directory_of(place: &Path, peers: &Peers) -> Result<(), HandoffError> {
    let Some(directory) = place.parent() else {
        return Ok(());
    };
    let mode = Mode::from_raw_mode(if peers.has_others() { 0o711 } else { 0o700 });
    let made = match mkdirat(CWD, directory, Mode::RWXU) {
        Ok(()) => chmodat(CWD, directory, mode, AtFlags::empty()),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    };
    made.map_err(|error| HandoffError::Place {
        path: directory.to_owned(),
        source: io::Error::from(error),
    })
}

fn find_below(runtime: &Path, name: &str) -> Option<PathBuf> {
    below(runtime, name).filter(|place| place.exists())
}

fn below(runtime: &Path, name: &str) -> Option<PathBuf> {
    let name = name.strip_prefix('/')?;
    let place = runtime.join("tensorgate").join(name.replace('/', "."));
    // The XDG Base Directory Specification wants relative paths ignored.
    let fits = runtime.is_absolute() && place.as_os_str().as_bytes().len() <= LONGEST;
    (fits && name.split('/').all(is_token)).then_some(place)
}

/// What stands between two slashes of a name (`rmw_validate_full_topic_name`): neither a dot, nor
/// anything else that means something in a path.
fn is_token(token: &str) -> bool {
    let may_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    token.bytes().next().is_some_and(may_start)
        && token
            .bytes()
            .all(|byte| may_start(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_after_the_gate() {
        let place = |name| below(Path::new("/run/user/1000"), name);
        let at = |name| Some(Path::new("/run/user/1000/tensorgate").join(name));
        assert_eq!(place("/tensorgate"), at("tensorgate"));
        assert_eq!(place("/robot1/tensorgate"), at("robot1.tensorgate"));
        assert_eq!(place("/a/_b2/c"), at("a._b2.c"));
    }

    #[test]
    fn roots_place_counts_where_a_gate_is_there() {
        let runtime = tempfile::tempdir().unwrap();
        let name = "/robot1/tensorgate";
        assert_eq!(find_below(runtime.path(), name), None);
        let place = below(runtime.path(), name).unwrap();
        make_directory_of(&place, &Peers::default()).unwrap();
        let _gate = std::os::unix::net::UnixListener::bind(&place).unwrap();
        assert_eq!(find_below(runtime.path(), name), Some(place));
        assert_eq!(find_below(runtime.path(), "/tensorgate"), None);
        assert_eq!(
            find("/test/without/a/gate"),
            well_known("/test/without/a/gate")
        );
    }

    #[test]
    fn what_is_no_name_has_no_place() {
        let names = [
            "",
            "/",
            "tensorgate",
            "//a",
            "/a/",
            "/..",
            "/../a",
            "/a.b",
            "/a b",
            "/1a",
            "/a\0",
            "/ä",
            "~/a",
            "/{node}",
        ];
        for name in names {
            assert_eq!(below(Path::new("/run"), name), None, "{name:?}");
        }
    }

    #[test]
    fn nor_has_one_whose_socket_could_not_be_bound() {
        let fitting = "a".repeat(LONGEST - "/run/tensorgate/".len());
        assert!(below(Path::new("/run"), &format!("/{fitting}")).is_some());
        assert_eq!(below(Path::new("/run"), &format!("/{fitting}a")), None);
        assert_eq!(below(Path::new("run"), "/a"), None);
        assert_eq!(below(Path::new(""), "/a"), None);
    }
}
