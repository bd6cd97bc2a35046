use std::time::Duration;

use tempfile::TempDir;
use tensorgate_handoff::{Handed, Offer, Peers, Server, receive};
use tensorgate_verify::{OnDemand, Policy, Proof, Verified};

use crate::{Result, Signed};

/// A gate that hands a policy over, and the directory of its socket.
#[derive(Debug)]
pub struct Gate {
    _server: Server,
    folder: TempDir,
}

const SOCKET: &str = "handoff";
/// Against hanging.
const PATIENCE: Duration = Duration::from_secs(10);

impl Signed {
    /// A gate that hands this policy over: proven, and moved into sealed memory.
    ///
    /// # Errors
    /// It is not what was signed; no memory.
    pub fn gate(&self) -> Result<Gate> {
        let offer = Offer::seal(&self.open_guarded()?, [0; 16], 1)?;
        let folder = tempfile::tempdir()?;
        let server = Server::start(&folder.path().join(SOCKET), Peers::default(), |_| ())?;
        server.offer(offer);
        Ok(Gate {
            _server: server,
            folder,
        })
    }

    /// A controller's end: from nothing to a policy of which each tensor can be asked for. Between
    /// two processes it is the same system calls and the same pages.
    ///
    /// # Errors
    /// It is not what was signed.
    pub fn receive(&self, gate: &Gate) -> Result<OnDemand> {
        let handed = self.take(gate)?;
        let manifest = self.authenticate(handed.envelope())?;
        let holds = handed.into_holds(&manifest)?;
        Ok(manifest.open_holds_on_demand(holds, self.rules())?)
    }

    /// The same, with every tensor proven.
    ///
    /// # Errors
    /// It is not what was signed.
    pub fn receive_and_prove(&self, gate: &Gate) -> Result<Verified<Policy>> {
        let handed = self.take(gate)?;
        let manifest = self.authenticate(handed.envelope())?;
        let holds = handed.into_holds(&manifest)?;
        Ok(manifest.open_holds(holds, Proof::Tensors, self.rules())?)
    }

    fn take(&self, gate: &Gate) -> Result<Handed> {
        let socket = gate.folder.path().join(SOCKET);
        Ok(receive(
            &socket,
            &Peers::default(),
            self.limits(),
            PATIENCE,
        )?)
    }
}
