//! What a page says that no help does: exit status, environment and files.

use clap::Command;
use roff::{Roff, roman};

use super::{NAME, entry};

pub(super) fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    for (status, meaning) in [
        ("0", "Verified, passed, fetched or done."),
        (
            "1",
            "Rejected: what was checked is not what it has to be. Each finding has a code.",
        ),
        (
            "2",
            "Could not check: wrong usage, a file that is not there, a network that does not answer, a full disk.",
        ),
    ] {
        entry(roff, status, meaning);
    }
    let signals = "A command that a signal ends has the status that the shell gives it, 128 and the signal's number; ";
    let fetch = "while a Hub is asked, SIGINT and SIGTERM end it in good order, with status 2, and fetch --watch with 0. A reader of standard output that has had enough changes nothing.";
    roff.control("PP", []);
    roff.text([roman(format!("{signals}{fetch}"))]);
}

/// What is read from the environment, by the options that each variable stands in for.
pub(super) fn environment(roff: &mut Roff, command: &Command) {
    let whole = command.get_name() == NAME;
    let takes = |ids: &[&str]| {
        let mut options = command.get_arguments();
        whole || options.any(|option| ids.contains(&option.get_id().as_str()))
    };
    roff.control("SH", ["ENVIRONMENT"]);
    for (ids, variables) in VARIABLES {
        if ids.is_empty() || takes(ids) {
            for (name, meaning) in *variables {
                entry(roff, name, meaning);
            }
        }
    }
}

type Variables = [(&'static str, &'static str)];

const VARIABLES: &[(&[&str], &Variables)] = &[
    (
        &["store", "state"],
        &[
            ("TENSORGATE_STORE", "Where the store is."),
            (
                "XDG_DATA_HOME, HOME",
                "Without it, the store is tensorgate in the user's data directory, which is ~/.local/share unless XDG_DATA_HOME says otherwise; for root it is /var/lib/tensorgate.",
            ),
        ],
    ),
    (
        &["endpoint"],
        &[
            ("HF_ENDPOINT", "The Hub or a mirror."),
            (
                "HF_TOKEN, HF_TOKEN_PATH, HF_HOME",
                "The token, the file that it is in, or the directory with a file of the name token. It goes to the endpoint that the environment names, and to no other.",
            ),
            (
                "HF_HUB_DISABLE_IMPLICIT_TOKEN",
                "With 1, no token is used that nobody gave for this command.",
            ),
            (
                "HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE",
                "With 1, no network is used.",
            ),
            (
                "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY",
                "The proxies of every request, but to an endpoint on this machine.",
            ),
            (
                "SSL_CERT_FILE, SSL_CERT_DIR",
                "Root certificates in place of the system's.",
            ),
        ],
    ),
    (
        &["cache"],
        &[(
            "HF_HUB_CACHE, HF_HOME",
            "Where huggingface_hub has its cache.",
        )],
    ),
    (
        &[],
        &[(
            "NO_COLOR, CLICOLOR_FORCE, TERM, CI",
            "Colours are for terminals: none with NO_COLOR, nor with TERM=dumb unless CI is set; with CLICOLOR_FORCE everywhere.",
        )],
    ),
];

pub(super) fn files(roff: &mut Roff, command: &Command) {
    let whole = command.get_name() == NAME;
    roff.control("SH", ["FILES"]);
    for (file, meaning, also) in FILES {
        if *also || whole || mentions(command, file) {
            entry(roff, file, meaning);
        }
    }
}

/// Which files there are, what each is, and whether every page names it.
const FILES: &[(&str, &str, bool)] = &[
    (
        "policy.dsse.json",
        "The manifest in a policy's directory: the signed list of its files.",
        true,
    ),
    (
        "revocations.dsse.json",
        "A signed list of what counts no more.",
        false,
    ),
    (
        "model.sig",
        "A bundle of OpenSSF Model Signing, the weaker evidence.",
        false,
    ),
    (
        "trust.toml",
        "A trust policy, which says whose signatures count. No command looks for it: it is named.",
        true,
    ),
    (
        "/var/lib/tensorgate, ~/.local/share/tensorgate",
        "The store: of root, of any other user.",
        true,
    ),
];

/// Whether the help of a command speaks of a file.
fn mentions(command: &Command, file: &str) -> bool {
    let options = command.get_arguments();
    let helps = options.filter_map(|option| option.get_help().map(ToString::to_string));
    let about = command.get_long_about().map(ToString::to_string);
    let after = command.get_after_help().map(ToString::to_string);
    helps
        .chain(about)
        .chain(after)
        .any(|text| text.contains(file))
}
