//! Digests as types, so that one algorithm's bytes are never compared with another's.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use sha2::Digest as _;

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name([u8; 32]);

        impl $name {
            /// A digest from its 32 bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = NotHex;

            fn from_str(text: &str) -> Result<Self, NotHex> {
                let mut bytes = [0; 32];
                decode_lower_hex(text, &mut bytes)?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

digest! {
    /// A SHA-256 digest (FIPS 180-4): what the Hub lists for a file, and what names a manifest.
    Sha256
}

digest! {
    /// A BLAKE3 digest, or the chaining value of a subtree of one.
    Blake3
}

digest! {
    /// A key's name: SHA-256 of its SubjectPublicKeyInfo DER, so that nobody can choose it.
    KeyId
}

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NotHex;

impl fmt::Display for NotHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not 64 lower-case hexadecimal digits")
    }
}

impl std::error::Error for NotHex {}

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl Blake3 {
    /// The digest of `bytes`, computed on all cores where that pays (above 128 KiB).
    pub fn of(bytes: &[u8]) -> Self {
        // BLAKE3's own documentation gives this threshold for `update_rayon`.
        if bytes.len() < 128 << 10 {
            return Self(blake3::hash(bytes).into());
        }
        Self(blake3::Hasher::new().update_rayon(bytes).finalize().into())
    }
}

/// Decodes lower-case hex of exactly `out`'s size; one spelling for one value.
fn decode_lower_hex(text: &str, out: &mut [u8]) -> Result<(), NotHex> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != out.len() {
        return Err(NotHex);
    }
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Ok(())
}

fn nibble(digit: u8) -> Result<u8, NotHex> {
    match digit {
        b'0'..=b'9' => Ok(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Ok(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => Err(NotHex),
    }
}
