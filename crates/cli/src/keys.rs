//! Private keys on disk: PKCS#8 in PEM (RFC 8410, RFC 5958), plain or encrypted (RFC 8018).

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use pkcs8::der::SecretDocument;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef};
use tensorgate_verify::SigningKey;
use zeroize::Zeroizing;

use crate::disk;
use crate::failure::Failure;

const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
/// Bytes of a key or passphrase file at the most; an encrypted ed25519 key has about 400.
const MAX_BYTES: u64 = 64 << 10;
/// Bytes that scrypt may take for one key: 1 GiB, eight times what RFC 7914's largest example asks.
const MAX_SCRYPT_BYTES: u64 = 1 << 30;

/// A new key from the system's random source.
pub(crate) fn generate() -> Result<SigningKey, getrandom::Error> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed)?;
    Ok(SigningKey::from_seed(&seed))
}

/// The key as PEM; with a passphrase, encrypted by AES-256-CBC under a key that scrypt derives,
/// with the largest parameters that openssl takes by default.
pub(crate) fn to_pem(
    key: &SigningKey,
    passphrase: Option<&[u8]>,
) -> Result<Zeroizing<String>, String> {
    let der = key.to_der().map_err(|error| error.to_string())?;
    let pem = PrivateKeyInfoRef::try_from(der.as_bytes()).and_then(|info| {
        // Without the public half, which is version 2 (RFC 5958): openssl 3.0 refuses that.
        let info = PrivateKeyInfoRef::new(info.algorithm, info.private_key);
        Ok(match passphrase {
            Some(passphrase) => info
                .encrypt(passphrase)?
                .to_pem(ENCRYPTED, LineEnding::LF)?,
            None => SecretDocument::encode_msg(&info)?.to_pem(PLAIN, LineEnding::LF)?,
        })
    });
    pem.map_err(|error| error.to_string())
}

/// Reads a private key that nobody but its owner can.
pub(crate) fn load(path: &Path, passphrase_file: Option<&Path>) -> Result<SigningKey, Failure> {
    let refuse = |why: &dyn std::fmt::Display| {
        Failure::about(
            path,
            format!("the private key {path:?} cannot be used: {why}"),
        )
    };
    let file = disk::open_regular(path).map_err(|error| Failure::io("read", path, &error))?;
    let pem = read_secret(file, path)?;
    let (label, document) = SecretDocument::from_pem(&pem)
        .map_err(|error| refuse(&format!("not PEM: {error}")).hint(FORM))?;
    let der = match (label, passphrase_file) {
        (PLAIN, None) => document,
        (PLAIN, Some(_)) => {
            return Err(refuse(&"it is not encrypted").hint("leave out --passphrase-file"));
        }
        (ENCRYPTED, None) => {
            return Err(refuse(&"it is encrypted").hint("give --passphrase-file"));
        }
        (ENCRYPTED, Some(file)) => {
            let passphrase = passphrase(file)?;
            decrypt(&document, &passphrase).map_err(|why| refuse(&why))?
        }
        (other, _) => {
            return Err(refuse(&format!("its PEM label is {other:?}")).hint(FORM));
        }
    };
    SigningKey::from_der(der.as_bytes()).map_err(|error| refuse(&error).hint(FORM))
}

const FORM: &str = "an ed25519 key in PKCS#8, as `tensorgate keygen` or `openssl genpkey -algorithm ed25519` makes";

/// The first line of a passphrase file.
pub(crate) fn passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Not only regular files: a shell's `<(command)` is a pipe.
    let file =
        File::open(path).map_err(|error| Failure::io("read the passphrase", path, &error))?;
    let text = read_secret(file, path)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Failure::about(
            path,
            format!("the first line of the passphrase file {path:?} is empty"),
        ));
    }
    Ok(Zeroizing::new(line.as_bytes().to_vec()))
}

/// Reads a file that its group and others may not open.
fn read_secret(file: File, path: &Path) -> Result<Zeroizing<String>, Failure> {
    let io = |error: std::io::Error| Failure::io("read", path, &error);
    let mode = file.metadata().map_err(io)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let detail = format!("others than its owner may open {path:?} (mode {mode:04o})");
        return Err(Failure::about(path, detail).hint(format!("chmod 600 {path:?}")));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

fn decrypt(document: &SecretDocument, passphrase: &[u8]) -> Result<SecretDocument, String> {
    let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| error.to_string())?;
    refuse_costly(&info)?;
    info.decrypt(passphrase)
        .map_err(|error| format!("wrong passphrase, or a damaged key ({error})"))
}

/// A key file must not be able to take all memory.
fn refuse_costly(info: &EncryptedPrivateKeyInfoRef<'_>) -> Result<(), String> {
    let scheme = info.encryption_algorithm.pbes2();
    let Some(scrypt) = scheme.and_then(|scheme| scheme.kdf.scrypt()) else {
        return Ok(());
    };
    // RFC 7914, section 2: 128 * r * N bytes, and 128 * r * p beside them.
    let blocks = scrypt
        .cost_parameter
        .saturating_add(scrypt.parallelization.into());
    let bytes = blocks.saturating_mul(128 * u64::from(scrypt.block_size));
    if bytes > MAX_SCRYPT_BYTES {
        return Err(format!(
            "its scrypt parameters ask for {bytes} bytes of memory"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pkcs8::pkcs5::EncryptionScheme;
    use pkcs8::pkcs5::pbes2::Kdf;

    use super::*;

    #[test]
    fn a_key_file_cannot_take_all_memory() {
        let pem = to_pem(&generate().unwrap(), Some(b"x")).unwrap();
        let (_, document) = SecretDocument::from_pem(&pem).unwrap();
        assert!(decrypt(&document, b"x").is_ok());
        for (cost, block) in [(1 << 40, 8), (1 << 14, u16::MAX), (u64::MAX, u16::MAX)] {
            let mut info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).unwrap();
            let EncryptionScheme::Pbes2(scheme) = &mut info.encryption_algorithm else {
                panic!("not PBES2");
            };
            let Kdf::Scrypt(scrypt) = &mut scheme.kdf else {
                panic!("not scrypt");
            };
            (scrypt.cost_parameter, scrypt.block_size) = (cost, block);
            let costly = SecretDocument::encode_msg(&info).unwrap();
            let why = decrypt(&costly, b"x").unwrap_err();
            assert!(why.starts_with("its scrypt parameters ask for "), "{why}");
        }
    }
}
