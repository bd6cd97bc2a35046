//! One file of a policy, and the tensors in it.

use safetensors::tensor::TensorView;

use crate::claim::range;
use crate::error::Rejected;
use crate::header::{Header, Tensor};
use crate::{FileEntry, FilePath, Hold, Kind};

/// One file of a policy, held so that it cannot change.
///
/// It proves something only inside [`Verified<File>`](crate::Verified) or
/// [`Verified<Policy>`](crate::Policy).
#[derive(Debug)]
pub struct File {
    path: FilePath,
    kind: Kind,
    hold: Hold,
    header: Option<Header>,
    /// Indices of the header's tensors, in the order of their names.
    by_name: Vec<usize>,
    /// What the trust policy lets pass, with a word.
    notices: Vec<Rejected>,
}

impl File {
    /// The file of `entry`; that `hold` has its bytes is for the caller to prove.
    pub(crate) fn new(entry: &FileEntry, hold: Hold, header: Option<Header>) -> Self {
        let tensors = header.as_ref().map_or(&[][..], |header| &header.tensors);
        let mut by_name: Vec<usize> = (0..tensors.len()).collect();
        by_name.sort_unstable_by_key(|index| tensors.get(*index).map(|tensor| &tensor.name));
        Self {
            path: entry.path.clone(),
            kind: entry.kind,
            hold,
            header,
            by_name,
            notices: Vec::new(),
        }
    }

    /// The same, with what was found in it and let pass.
    pub(crate) fn with_notices(self, notices: Vec<Rejected>) -> Self {
        Self { notices, ..self }
    }

    /// Its path inside the policy.
    pub const fn path(&self) -> &FilePath {
        &self.path
    }

    /// What it is for.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// All its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.hold
    }

    /// How the bytes are held.
    pub const fn hold(&self) -> &Hold {
        &self.hold
    }

    /// What was found in it and let pass by the trust policy.
    pub fn notices(&self) -> &[Rejected] {
        &self.notices
    }

    /// For safetensors: the table of tensors.
    pub const fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// For safetensors: the tensors, in the order of their bytes.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, TensorView<'_>)> {
        let tensors = self.header.iter().flat_map(|header| &header.tensors);
        tensors.filter_map(|tensor| Some((tensor.name.as_str(), self.view(tensor)?)))
    }

    /// For safetensors: one tensor.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.tensor_at(self.position(name)?)
    }

    /// Where the tensor of this name stands in the table.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        let tensors = &self.header.as_ref()?.tensors;
        let named = |index: &usize| tensors.get(*index).map(|tensor| tensor.name.as_str());
        let at = self
            .by_name
            .binary_search_by(|index| named(index).cmp(&Some(name)))
            .ok()?;
        self.by_name.get(at).copied()
    }

    /// The tensor that stands there in the table.
    pub(crate) fn tensor_at(&self, index: usize) -> Option<TensorView<'_>> {
        self.view(self.header.as_ref()?.tensors.get(index)?)
    }

    fn view(&self, tensor: &Tensor) -> Option<TensorView<'_>> {
        let begin = self.header.as_ref()?.len.checked_add(tensor.begin)?;
        let bytes = range(&self.hold, begin, tensor.byte_len())?;
        TensorView::new(tensor.dtype, tensor.shape.clone(), bytes).ok()
    }
}
