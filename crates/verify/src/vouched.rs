//! Weights on the word of the one who handed them over: the choice that gives proof away.

use safetensors::tensor::TensorView;

use crate::{Evidence, File, FilePath, Header, Hold, Manifest, OnDemand, Result, Rules, Verified};

/// A policy whose weights nobody proved here: who handed them over vouches for them.
///
/// Proven is what [`OnDemand`] proves when it opens: signatures, files without weights, headers,
/// what they say together. *Not* proven is a single number of the weights. Whoever sent them could
/// have put other numbers in, NaN among them, into tensors of the signed names and shapes; or have
/// been mistaken, with bytes that a bad disk or bad memory changed.
///
/// It is right where the sender proved them itself and cannot be anybody else: a gate on the same
/// machine, whose user the kernel names at the other end of the socket, and which hands over
/// memory that is sealed. It saves a pass over the weights in each process that gets them. In all
/// other cases, [`OnDemand`] costs as little until something is asked for.
///
/// ```compile_fail,E0308
/// use tensorgate_verify::{Policy, Verified, Vouched};
///
/// // It cannot be published or passed on as verified.
/// fn publish(policy: &Verified<Policy>) {}
/// fn pass_on(policy: &Vouched) {
///     publish(policy);
/// }
/// ```
///
/// ```compile_fail,E0599
/// use tensorgate_verify::{Policy, Verified, Vouched};
///
/// // There is no way from here to proof.
/// fn launder(policy: Vouched) -> Verified<Policy> {
///     policy.finish().unwrap()
/// }
/// ```
#[derive(Debug)]
pub struct Vouched(OnDemand);

impl Verified<Manifest> {
    /// Takes weights on the word of the one who handed them over, without proof: see [`Vouched`]
    /// for what that gives away.
    ///
    /// # Errors
    /// As [`open_holds_on_demand`](Self::open_holds_on_demand).
    pub fn dangerously_trust_sender(
        self,
        holds: Vec<(FilePath, Hold)>,
        rules: &Rules,
    ) -> Result<Vouched> {
        self.open_holds_on_demand(holds, rules).map(Vouched)
    }
}

impl Vouched {
    /// One tensor of the network's weights, of which the name, the type and the shape are proven.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.0.unproven(name)
    }

    /// What was signed.
    pub const fn manifest(&self) -> &Verified<Manifest> {
        self.0.manifest()
    }

    /// What the proof of the manifest and of the files without weights rests on.
    pub fn evidence(&self) -> &Evidence {
        self.0.evidence()
    }

    /// The files that were proven: all that hold no weights.
    pub fn files(&self) -> impl Iterator<Item = &Verified<File>> {
        self.0.files()
    }

    /// The proven tables of the files of weights.
    pub fn headers(&self) -> impl Iterator<Item = (&FilePath, &Header)> {
        self.0.headers()
    }
}
