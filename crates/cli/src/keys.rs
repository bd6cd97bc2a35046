//! Private keys on disk: PKCS#8 in PEM (RFC 8410, RFC 5958), plain or encrypted (RFC 8018); on
//! P-256, SEC 1 as well (RFC 5915).

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use pkcs8::der::SecretDocument;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef};
use tensorgate_oms::EcSigningKey;
use tensorgate_verify::{KeyHolder, PublicKey, SigningKey, TrustPolicy};
use zeroize::Zeroizing;

use crate::agent::Agent;
use crate::args::sign::Signing;
use crate::disk;
use crate::failure::Failure;
use crate::openssh;
use crate::terminal;

const PLAIN: &str = "PRIVATE KEY";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const SEC1: &str = "EC PRIVATE KEY";
const FORM: &str = "an ed25519 key in PKCS#8, as `tensorgate keygen` or `openssl genpkey -algorithm ed25519` makes";
const PUBLIC_FORM: &str = "an ed25519 public key: in PEM as `tensorgate keygen` makes it, or the line of `ssh-keygen -t ed25519`";
const P256_FORM: &str =
    "a key on P-256, as `openssl ecparam -name prime256v1 -genkey -noout` makes";
const WRONG_PASSPHRASE: &str = "try it by `openssl pkey -in FILE -noout`; of a --passphrase-file, the first line counts, spaces and all";
/// Bytes of a key, passphrase or token file; an encrypted ed25519 key has about 400.
const MAX_BYTES: usize = 64 << 10;
/// Bytes that scrypt may go through for one key: 1 GiB, eight times what RFC 7914's largest example asks.
const MAX_SCRYPT_BYTES: u64 = 1 << 30;
/// Rounds of PBKDF2 for one key: seconds of work, and 4,800 times what openssl asks by default.
const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;

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

/// A trust policy under which this key alone counts.
pub(crate) fn trust_in(key: &PublicKey) -> Result<TrustPolicy, Failure> {
    let unusable = |why: &dyn std::fmt::Display| {
        Failure::about(Path::new("key"), format!("the key cannot be used: {why}"))
    };
    let pem = key.to_pem().map_err(|error| unusable(&error))?;
    let text = format!("threshold = 1\n[[keys]]\nname = 'signer'\npublic_key = '''{pem}'''");
    let no_file = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    TrustPolicy::parse(&text, no_file).map_err(|error| unusable(&error))
}

/// Who signs: the private key of a file, or the ssh-agent that keeps the one of a public key.
pub(crate) fn signer(options: &Signing) -> Result<Box<dyn KeyHolder + Send + Sync>, Failure> {
    match (&options.key, &options.agent) {
        (_, Some(public)) => Ok(Box::new(Agent::holding(self::public(public)?)?)),
        (Some(key), None) => Ok(Box::new(load(key, options.passphrase_file.as_deref())?)),
        // clap lets this not pass.
        (None, None) => Err(Failure::about(Path::new("key"), "no key was given")),
    }
}

/// Reads a public key: SubjectPublicKeyInfo in PEM, or the line of OpenSSH.
pub(crate) fn public(path: &Path) -> Result<PublicKey, Failure> {
    let refuse = |why: &dyn std::fmt::Display| {
        let detail = format!("the public key {path:?} cannot be used: {why}");
        Failure::about(path, detail).hint(PUBLIC_FORM)
    };
    let file = disk::open_regular(path).map_err(|error| Failure::io("read", path, &error))?;
    let text = read(file, path)?;
    if text.contains("PRIVATE KEY-----") {
        let why = "it is a private key, which belongs to its owner alone";
        return Err(refuse(&why));
    }
    match text.contains(PUBLIC) {
        true => PublicKey::from_pem(&text).map_err(|error| refuse(&error)),
        false => openssh::read(&text).map_err(|error| refuse(&error)),
    }
}

/// Reads a private key that nobody but its owner can.
pub(crate) fn load(path: &Path, passphrase_file: Option<&Path>) -> Result<SigningKey, Failure> {
    let der = unlock(path, passphrase_file, &[PLAIN], FORM)?;
    let key = SigningKey::from_der(der.as_bytes());
    key.map_err(|error| unusable(path, &error).hint(FORM))
}

/// The same of a key on P-256.
pub(crate) fn load_p256(
    path: &Path,
    passphrase_file: Option<&Path>,
) -> Result<EcSigningKey, Failure> {
    let der = unlock(path, passphrase_file, &[PLAIN, SEC1], P256_FORM)?;
    let key = EcSigningKey::from_der(der.as_bytes());
    key.map_err(|error| unusable(path, &error).hint(P256_FORM))
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    let detail = format!("the private key {path:?} cannot be used: {why}");
    Failure::about(path, detail)
}

/// The DER of a private key in PEM under one of these labels, or encrypted.
fn unlock(
    path: &Path,
    passphrase_file: Option<&Path>,
    labels: &[&str],
    form: &str,
) -> Result<SecretDocument, Failure> {
    let refuse = |why: &dyn std::fmt::Display| unusable(path, why);
    let file = disk::open_regular(path).map_err(|error| Failure::io("read", path, &error))?;
    let pem = read_private(file, path)?;
    let (label, document) = SecretDocument::from_pem(&pem)
        // What the parser says of other files is of bytes that nobody typed.
        .map_err(|_| refuse(&"it is no private key in PEM").hint(form))?;
    match (label, passphrase_file) {
        (plain, None) if labels.contains(&plain) => Ok(document),
        (plain, Some(_)) if labels.contains(&plain) => {
            Err(refuse(&"it is not encrypted").hint("leave out --passphrase-file"))
        }
        (ENCRYPTED, None) if !terminal::is_there() => {
            Err(refuse(&"it is encrypted").hint("give --passphrase-file"))
        }
        (ENCRYPTED, file) => {
            let info = encrypted(&document).map_err(|why| refuse(&why))?;
            let typed = || terminal::secret(&format!("passphrase of {path:?}: "));
            let passphrase = file.map_or_else(typed, passphrase)?;
            info.decrypt(&*passphrase).map_err(|error| {
                let why = format!("wrong passphrase, or a damaged key ({error})");
                refuse(&why).hint(WRONG_PASSPHRASE)
            })
        }
        (other, _) => Err(refuse(&format!("its PEM label is {other:?}")).hint(form)),
    }
}

/// The first line of a passphrase file.
pub(crate) fn passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let text = secret(path, "passphrase")?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Failure::about(
            path,
            format!("the first line of the passphrase file {path:?} is empty"),
        )
        .hint("the passphrase stands there"));
    }
    Ok(Zeroizing::new(line.as_bytes().to_vec()))
}

/// A passphrase or token file that its group and others may not open.
pub(crate) fn secret(path: &Path, what: &str) -> Result<Zeroizing<String>, Failure> {
    // Not only regular files: a shell's `<(command)` is a pipe.
    let file =
        File::open(path).map_err(|error| Failure::io(&format!("read the {what}"), path, &error))?;
    refuse_shared(&file, path)?;
    read(file, path)
}

/// The text of a key file that its group and others may not open. That it is the wrong half of the
/// pair is said first: a public key may be open to all.
fn read_private(file: File, path: &Path) -> Result<Zeroizing<String>, Failure> {
    let shared = refuse_shared(&file, path);
    let text = read(file, path);
    if text.as_ref().is_ok_and(|text| text.contains(PUBLIC)) {
        let detail = format!("{path:?} is a public key, which cannot sign");
        return Err(Failure::about(path, detail).hint("give the private one, NAME.key.pem"));
    }
    shared?;
    text
}

fn refuse_shared(file: &File, path: &Path) -> Result<(), Failure> {
    let stat = file
        .metadata()
        .map_err(|error| Failure::io("read", path, &error))?;
    let mode = stat.mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let detail = format!("others than its owner may open {path:?} (mode {mode:04o})");
    Err(Failure::about(path, detail).hint(format!("chmod 600 {path:?}")))
}

fn read(file: File, path: &Path) -> Result<Zeroizing<String>, Failure> {
    // Reserved at once: a text that grows leaves copies behind that nobody wipes.
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES + 1));
    let limit = u64::try_from(MAX_BYTES + 1).unwrap_or(u64::MAX);
    file.take(limit)
        .read_to_string(&mut text)
        .map_err(|error| Failure::io("read", path, &error))?;
    if text.len() > MAX_BYTES {
        let detail = format!("{path:?} has more than {MAX_BYTES} bytes, it is something else");
        return Err(Failure::about(path, detail));
    }
    Ok(text)
}

fn encrypted(document: &SecretDocument) -> Result<EncryptedPrivateKeyInfoRef<'_>, String> {
    let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| error.to_string())?;
    refuse_costly(&info)?;
    Ok(info)
}

/// A key file must not be able to take all memory, or all time.
fn refuse_costly(info: &EncryptedPrivateKeyInfoRef<'_>) -> Result<(), String> {
    let Some(scheme) = info.encryption_algorithm.pbes2() else {
        return Ok(());
    };
    if let Some(pbkdf2) = scheme.kdf.pbkdf2() {
        let rounds = pbkdf2.iteration_count;
        if rounds > MAX_PBKDF2_ROUNDS {
            return Err(format!("its PBKDF2 parameters ask for {rounds} rounds"));
        }
    }
    if let Some(scrypt) = scheme.kdf.scrypt() {
        // RFC 7914, section 2: 128 * r * N bytes, gone through p times.
        let blocks = scrypt
            .cost_parameter
            .saturating_mul(scrypt.parallelization.into());
        let bytes = blocks.saturating_mul(128 * u64::from(scrypt.block_size));
        if bytes > MAX_SCRYPT_BYTES {
            return Err(format!("its scrypt parameters ask for {bytes} bytes"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pkcs8::pkcs5::EncryptionScheme;
    use pkcs8::pkcs5::pbes2::{Kdf, Pbkdf2Params};

    use super::*;

    #[test]
    fn a_key_file_cannot_take_all_memory() {
        let pem = to_pem(&generate().unwrap(), Some(b"x")).unwrap();
        let (_, document) = SecretDocument::from_pem(&pem).unwrap();
        assert!(encrypted(&document).unwrap().decrypt(b"x").is_ok());
        for (cost, block, parallel) in [
            (1 << 40, 8, 1),
            (1 << 14, u16::MAX, 1),
            (1 << 14, 8, u16::MAX),
            (u64::MAX, u16::MAX, u16::MAX),
        ] {
            let mut info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).unwrap();
            let EncryptionScheme::Pbes2(scheme) = &mut info.encryption_algorithm else {
                panic!("not PBES2");
            };
            let Kdf::Scrypt(scrypt) = &mut scheme.kdf else {
                panic!("not scrypt");
            };
            (scrypt.cost_parameter, scrypt.block_size) = (cost, block);
            scrypt.parallelization = parallel;
            let costly = SecretDocument::encode_msg(&info).unwrap();
            let why = encrypted(&costly).err().unwrap();
            assert!(why.starts_with("its scrypt parameters ask for "), "{why}");
        }
    }

    #[test]
    fn a_key_file_cannot_take_all_time() {
        let pem = to_pem(&generate().unwrap(), Some(b"x")).unwrap();
        let (_, document) = SecretDocument::from_pem(&pem).unwrap();
        let mut info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).unwrap();
        let EncryptionScheme::Pbes2(scheme) = &mut info.encryption_algorithm else {
            panic!("not PBES2");
        };
        let mut pbkdf2 = Pbkdf2Params::hmac_sha256(2048, b"salt and pepper!").unwrap();
        pbkdf2.iteration_count = MAX_PBKDF2_ROUNDS + 1;
        scheme.kdf = Kdf::Pbkdf2(pbkdf2);
        let costly = SecretDocument::encode_msg(&info).unwrap();
        let why = encrypted(&costly).err().unwrap();
        assert_eq!(why, "its PBKDF2 parameters ask for 10000001 rounds");
    }
}
