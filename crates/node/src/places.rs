//! Where the operator keeps what decides: the trust policy, the store, the memory. No ROS in here.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tensorgate_store::{State, Store, StoreError};
use tensorgate_verify::{Sha256, TrustPolicy};

use crate::load::LoadError;
use crate::observer::Observer;
use crate::parameters::Settings;

/// The store and the memory, opened.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) store: Store,
    /// The memory, where it is not the store's own.
    elsewhere: Option<State>,
}

impl Places {
    pub(crate) fn open(
        settings: &Settings,
        observer: &Arc<dyn Observer>,
    ) -> Result<Self, LoadError> {
        let watching = Arc::clone(observer);
        let waiting = move |lock: &Path| watching.waiting(lock);
        let store = Store::open(store(settings)?)?.on_wait(waiting.clone());
        let elsewhere = match &settings.state {
            Some(place) => Some(State::open(place)?.on_wait(waiting)),
            None => None,
        };
        Ok(Self { store, elsewhere })
    }

    pub(crate) fn state(&self) -> &State {
        self.elsewhere
            .as_ref()
            .unwrap_or_else(|| self.store.state())
    }
}

/// Reads the trust policy as it is now.
pub(crate) fn trust(settings: &Settings) -> Result<TrustPolicy, LoadError> {
    let path = &settings.trust;
    let failed = |error: &dyn std::fmt::Display| {
        LoadError::could_not(format!("the trust policy {}: {error}", path.display()))
    };
    let here = File::open(".").map_err(|error| failed(&error))?;
    TrustPolicy::open(here, path).map_err(|error| failed(&error))
}

/// The memory alone, which must be there: nothing is made in the place of one that is gone.
pub(crate) fn state(settings: &Settings) -> Result<State, LoadError> {
    let place = match &settings.state {
        Some(place) => place.clone(),
        None => store(settings)?.join("state"),
    };
    let gone = |why: &str| LoadError::could_not(format!("the memory {}: {why}", place.display()));
    if !place
        .try_exists()
        .map_err(|error| gone(&error.to_string()))?
    {
        return Err(gone("it is gone"));
    }
    let state = State::open(&place)?;
    match state.is_new()? {
        // What runs was recorded there.
        true => Err(gone("it has forgotten everything")),
        false => Ok(state),
    }
}

/// Keeps a policy from ever being loaded again on this machine.
pub(crate) fn revoke(
    settings: &Settings,
    manifest: &Sha256,
    reason: &str,
) -> Result<(), LoadError> {
    Ok(state(settings)?.revoke(manifest, reason)?)
}

fn store(settings: &Settings) -> Result<PathBuf, StoreError> {
    settings
        .store
        .clone()
        .map_or_else(Store::default_location, Ok)
}
