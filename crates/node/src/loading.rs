//! The thread that loads a policy while the gate spins.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tensorgate_handoff::Server;
use tensorgate_verify::Directory;

use crate::announce::Announcement;
use crate::load::{LoadError, Loaded, load};
use crate::news::{News, hold_leases, listen};
use crate::parameters::Params;
use crate::rosout::Level;

/// What the loader says.
pub(crate) enum Progress {
    /// Another process has this lock.
    Waiting(PathBuf),
    /// It listens for controllers of this machine.
    Listening(Server),
    /// A policy, where it lies, and how long proving it took.
    Loaded(Box<Announcement>, Directory, Duration),
    Failed(LoadError),
}

/// Loads beside the spinning. The receiver is gone only when the node stops; then nobody wants to
/// know.
pub(crate) fn start_loading(params: Params, teller: Sender<News>) -> Receiver<Progress> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let loaded = load_and_cut(&params, &teller, &sender);
        drop(sender.send(loaded.unwrap_or_else(Progress::Failed)));
    });
    receiver
}

fn load_and_cut(
    params: &Params,
    teller: &Sender<News>,
    sender: &Sender<Progress>,
) -> Result<Progress, LoadError> {
    let settings = params.settings().map_err(LoadError::could_not)?;
    if let Some(handoff) = &settings.handoff {
        let server = listen(handoff, teller.clone())
            .map_err(|error| LoadError::could_not(format!("parameter `handoff`: {error}")))?;
        drop(sender.send(Progress::Listening(server)));
    }
    let holder = settings.guard.and_then(|signal| {
        let holder = hold_leases(signal, teller.clone());
        let tell = |error: &_| {
            let line = format!("weights are copied, nobody can answer for leases: {error}");
            drop(teller.send(News::Line(Level::Warn, line)));
        };
        holder.inspect_err(tell).ok()
    });
    let waiting = sender.clone();
    let tell = move |lock: &Path| drop(waiting.send(Progress::Waiting(lock.to_owned())));
    let begun = Instant::now();
    let Loaded { policy, directory } = load(&settings, holder.as_ref(), tell)?;
    let took = begun.elapsed();
    let announcement = Announcement::new(policy, settings.fragment_size, settings.latch_limit);
    Ok(Progress::Loaded(Box::new(announcement), directory, took))
}
