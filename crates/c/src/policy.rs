//! A verified policy, for reading.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::ptr::null;
use std::sync::Arc;

use tensorgate_client::Snapshot;
use tensorgate_verify::{File, Header, Verified};

use crate::error::{Failure, ResultCode, result};
use crate::raw::{Bytes, Text};

/// Every file of a policy, as it was signed. It cannot change, and stays readable, with all that
/// was read of it, until `tensorgate_policy_free`. Any thread may use it.
#[derive(Debug)]
pub struct Policy {
    verified: Arc<Verified<tensorgate_verify::Policy>>,
    repo: CString,
    revision: CString,
    manifest_digest: CString,
    policy_type: CString,
    robot: CString,
    /// In the order of the files, and of the bytes in each.
    rows: Vec<Row>,
    /// Indices of `rows`, in the order of their names.
    by_name: Vec<usize>,
}

/// A tensor in C's terms, and where it lies.
#[derive(Debug)]
struct Row {
    file: usize,
    tensor: usize,
    path: Arc<CStr>,
    name: CString,
    dtype: CString,
}

/// What a policy is, as signed. The texts are the policy's own.
#[repr(C)]
#[derive(Debug)]
pub struct Evidence<'a> {
    /// Repository on the Hub, "owner/name".
    repo: Text<'a>,
    /// The commit, 40 hexadecimal digits.
    revision: Text<'a>,
    /// Number of the release.
    sequence: u64,
    /// SHA-256 of the signed payload, in hexadecimal.
    manifest_digest: Text<'a>,
    /// The policy's type, such as "act".
    policy_type: Text<'a>,
    /// The robot that it was made for, such as "unitree-go2"; empty where the signers named none.
    robot: Text<'a>,
}

/// A tensor of a policy. All that it points to is the policy's own.
#[repr(C)]
#[derive(Debug)]
pub struct Tensor<'a> {
    /// Path of the safetensors file in the policy.
    file: Text<'a>,
    /// Its name in that file.
    name: Text<'a>,
    /// Element type by its safetensors name: "F32", "BF16", "I64", ...
    dtype: Text<'a>,
    /// Elements along each of `rank` dimensions, outermost first.
    shape: *const usize,
    /// 0 for a scalar.
    rank: usize,
    /// The elements: row-major, contiguous, little-endian, aligned for their type.
    data: Bytes<'a>,
}

/// What the policy is.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_policy_evidence<'a>(
    policy: Option<&'a Policy>,
    evidence: Option<&mut MaybeUninit<Evidence<'a>>>,
) -> ResultCode {
    answer(policy, evidence, |policy| Ok(policy.evidence()))
}

/// The number of tensors in all files; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_policy_tensor_count(policy: Option<&Policy>) -> usize {
    policy.map_or(0, |policy| policy.rows.len())
}

/// The tensor number `index`, from 0: file by file, and in the order of their bytes.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_policy_tensor<'a>(
    policy: Option<&'a Policy>,
    index: usize,
    tensor: Option<&mut MaybeUninit<Tensor<'a>>>,
) -> ResultCode {
    answer(policy, tensor, |policy| {
        let tensor = policy.rows.get(index).and_then(|row| policy.tensor(row));
        tensor.ok_or_else(|| Failure::misuse(format_args!("there is no tensor {index}")))
    })
}

/// The first tensor called `name`.
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_policy_find_tensor<'a>(
    policy: Option<&'a Policy>,
    name: Text<'_>,
    tensor: Option<&mut MaybeUninit<Tensor<'a>>>,
) -> ResultCode {
    answer(policy, tensor, |policy| {
        let name = name.read().ok_or_else(|| Failure::misuse("name is NULL"))?;
        let tensor = policy.row(name).and_then(|row| policy.tensor(row));
        tensor.ok_or_else(|| Failure::misuse(format_args!("there is no tensor {name:?}")))
    })
}

/// All bytes of the file at `path`, such as "config.json".
#[unsafe(no_mangle)]
pub extern "C" fn tensorgate_policy_file<'a>(
    policy: Option<&'a Policy>,
    path: Text<'_>,
    bytes: Option<&mut MaybeUninit<Bytes<'a>>>,
) -> ResultCode {
    answer(policy, bytes, |policy| {
        let path = path
            .text("path")?
            .ok_or_else(|| Failure::misuse("path is NULL"))?;
        let file = policy.verified.file(path);
        let file =
            file.ok_or_else(|| Failure::misuse(format_args!("there is no file {path:?}")))?;
        Ok(Bytes::of(file.bytes()))
    })
}

/// Writes what `work` answers to where the caller wants it; nothing where it fails.
fn answer<'a, T>(
    policy: Option<&'a Policy>,
    place: Option<&mut MaybeUninit<T>>,
    work: impl FnOnce(&'a Policy) -> Result<T, Failure>,
) -> ResultCode {
    result(|| {
        let policy = policy.ok_or_else(|| Failure::misuse("policy is NULL"))?;
        let place = place.ok_or_else(|| Failure::misuse("there is no place for the answer"))?;
        place.write(work(policy)?);
        Ok(())
    })
}

impl Policy {
    /// The policy of `snapshot`: the one of `before` where that is it.
    pub(crate) fn of(
        snapshot: &Snapshot,
        before: Option<Arc<Self>>,
    ) -> Result<Option<Arc<Self>>, Failure> {
        let Some(verified) = snapshot.policy() else {
            return Ok(None);
        };
        match before {
            Some(before) if Arc::ptr_eq(&before.verified, verified) => Ok(Some(before)),
            _ => Self::new(verified).map(Arc::new).map(Some),
        }
    }

    fn new(verified: &Arc<Verified<tensorgate_verify::Policy>>) -> Result<Self, Failure> {
        let (evidence, about) = (verified.evidence(), &verified.manifest().policy);
        let rows = rows(verified)?;
        let mut by_name: Vec<usize> = (0..rows.len()).collect();
        by_name.sort_by_key(|index| rows.get(*index).map(|row| &row.name));
        Ok(Self {
            repo: text(evidence.repo.as_str())?,
            revision: text(evidence.revision.as_str())?,
            manifest_digest: text(evidence.manifest.to_string())?,
            policy_type: text(about.policy_type.as_str())?,
            robot: text(about.robot.as_deref().unwrap_or_default())?,
            verified: Arc::clone(verified),
            rows,
            by_name,
        })
    }

    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            repo: Text::of(&self.repo),
            revision: Text::of(&self.revision),
            sequence: self.verified.evidence().sequence,
            manifest_digest: Text::of(&self.manifest_digest),
            policy_type: Text::of(&self.policy_type),
            robot: Text::of(&self.robot),
        }
    }

    fn row(&self, name: &CStr) -> Option<&Row> {
        let row = |index: &usize| self.rows.get(*index);
        let is_before = |index: &usize| row(index).is_some_and(|row| row.name.as_c_str() < name);
        let first = self.by_name.partition_point(is_before);
        let found = self.by_name.get(first).and_then(row);
        found.filter(|row| row.name.as_c_str() == name)
    }

    fn tensor<'a>(&'a self, row: &'a Row) -> Option<Tensor<'a>> {
        let file = self.verified.files().get(row.file)?;
        let tensor = file.header()?.tensors.get(row.tensor)?;
        let offset = |at: u64| usize::try_from(file.header()?.len.checked_add(at)?).ok();
        let data = file
            .bytes()
            .get(offset(tensor.begin)?..offset(tensor.end)?)?;
        Some(Tensor {
            file: Text::of(&row.path),
            name: Text::of(&row.name),
            dtype: Text::of(&row.dtype),
            shape: match tensor.shape.is_empty() {
                true => null(),
                false => tensor.shape.as_ptr(),
            },
            rank: tensor.shape.len(),
            data: Bytes::of(data),
        })
    }
}

fn rows(policy: &tensorgate_verify::Policy) -> Result<Vec<Row>, Failure> {
    let files = policy.files().iter().enumerate();
    let with_tensors = files.filter_map(|(index, file)| Some((index, file, file.header()?)));
    let rows = with_tensors.map(|(index, file, header)| rows_of(index, file, header));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(rows.into_iter().flatten().collect())
}

fn rows_of(file: usize, of: &File, header: &Header) -> Result<Vec<Row>, Failure> {
    let path: Arc<CStr> = text(of.path().as_str())?.into();
    let tensors = header.tensors.iter().enumerate();
    let rows = tensors.map(|(tensor, signed)| {
        Ok(Row {
            file,
            tensor,
            path: Arc::clone(&path),
            name: text(signed.name.as_str())?,
            dtype: text(signed.dtype.to_string())?,
        })
    });
    rows.collect()
}

/// No name in a verified policy has a zero in it (`tensor-name-unsafe`, `file-name-unsafe`).
fn text(text: impl Into<Vec<u8>>) -> Result<CString, Failure> {
    CString::new(text).map_err(Failure::failed)
}
