//! What a file is judged by, in one pass.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::str::FromStr;

use sha2::Digest as _;
use tensorgate_verify::{Blake3, Sha256};

use crate::listing::{Content, ListedFile};

/// A git object id: SHA-1, as the Hub's listings have it.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct GitId([u8; 20]);

/// What a file is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digests {
    pub(crate) size: u64,
    pub(crate) sha256: Sha256,
    pub(crate) blake3: Blake3,
    /// Of a file that is in the commit itself; of others, the pointer is.
    pub(crate) git: Option<GitId>,
}

pub(crate) struct Hasher {
    size: u64,
    sha256: sha2::Sha256,
    blake3: blake3::Hasher,
    sha1: Option<sha1::Sha1>,
}

impl Hasher {
    /// A hasher for what a file is judged by; git hashes the size before the content.
    pub(crate) fn new(listed: &ListedFile) -> Self {
        let blob = || sha1::Sha1::new().chain_update(format!("blob {}\0", listed.size));
        Self {
            size: 0,
            sha256: sha2::Sha256::new(),
            blake3: blake3::Hasher::new(),
            sha1: matches!(listed.content, Content::Git(_)).then(blob),
        }
    }

    /// Bytes so far.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.size += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.sha256.update(bytes);
        self.blake3.update(bytes);
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(bytes);
        }
    }

    pub(crate) fn finish(self) -> Digests {
        Digests {
            size: self.size,
            sha256: Sha256::from_bytes(self.sha256.finalize().into()),
            blake3: Blake3::from_bytes(self.blake3.finalize().into()),
            git: self.sha1.map(|sha1| GitId(sha1.finalize().into())),
        }
    }
}

impl Digests {
    /// Reads a file that should be this one, and no further than one byte more.
    pub(crate) fn of(file: File, listed: &ListedFile) -> io::Result<Self> {
        let mut hasher = Hasher::new(listed);
        let mut file = file.take(listed.size.saturating_add(1));
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hasher.finish()),
                read => hasher.update(buffer.get(..read).unwrap_or_default()),
            }
        }
    }
}

impl GitId {
    /// The id of a blob.
    pub(crate) fn of_blob(bytes: &[u8]) -> Self {
        Self::of_object("blob", bytes)
    }

    /// The id of an object of that kind: kind, length in decimal, NUL, content.
    pub(crate) fn of_object(kind: &str, bytes: &[u8]) -> Self {
        let sha1 = sha1::Sha1::new().chain_update(format!("{kind} {}\0", bytes.len()));
        Self(sha1.chain_update(bytes).finalize().into())
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl FromStr for GitId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "not 40 lower-case hexadecimal digits";
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut id = [0; 20];
        if pairs.len() != id.len() || !rest.is_empty() {
            return Err(wrong);
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(wrong),
        };
        for (byte, [high, low]) in id.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(id))
    }
}

impl fmt::Display for GitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_git() {
        // `printf 'what is up, doc?' | git hash-object --stdin`, from the Git book, chapter 10.2.
        let id = GitId::of_blob(b"what is up, doc?");
        let expected = "bd9dbf5aae1a3862dd1526723246b20206e5fc37";
        assert_eq!(id.to_string(), expected);
        assert_eq!(expected.parse(), Ok(id));
        assert!(expected.to_uppercase().parse::<GitId>().is_err());
        assert!(expected[1..].parse::<GitId>().is_err());
    }
}
