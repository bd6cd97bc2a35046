//! ed25519 public keys as OpenSSH writes them: `id_ed25519.pub` (RFC 4253, section 6.6; RFC 8709).

use std::io::{self, ErrorKind};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::Digest as _;
use tensorgate_verify::PublicKey;

/// What OpenSSH calls keys and signatures of ed25519.
pub(crate) const ALGORITHM: &str = "ssh-ed25519";

/// Reads the one line of a `.pub` file, or says why it is none that can be used here.
pub(crate) fn read(text: &str) -> Result<PublicKey, String> {
    let mut words = text.split_ascii_whitespace();
    let (Some(algorithm), Some(blob)) = (words.next(), words.next()) else {
        return Err("it is no public key of OpenSSH".to_owned());
    };
    if text.trim_end().contains('\n') {
        return Err("it has more than one line".to_owned());
    }
    if algorithm != ALGORITHM {
        return Err(format!(
            "its type is {algorithm:?}; {ALGORITHM} alone signs policies (`ssh-keygen -t ed25519`)"
        ));
    }
    let not_a_blob = || "what stands behind its type is no ed25519 key".to_owned();
    let blob = STANDARD.decode(blob).map_err(|_| not_a_blob())?;
    let key = split(&blob).filter(|(algorithm, _)| *algorithm == ALGORITHM.as_bytes());
    let key = key.and_then(|(_, rest)| split(rest));
    let (bytes, _) = key
        .filter(|(_, end)| end.is_empty())
        .ok_or_else(not_a_blob)?;
    let bytes = bytes.try_into().map_err(|_| not_a_blob())?;
    PublicKey::from_bytes(bytes).map_err(|error| error.to_string())
}

/// The key as OpenSSH sends it: its type, then its bytes.
pub(crate) fn blob(key: &PublicKey) -> Vec<u8> {
    let part = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap_or_default();
        [&length.to_be_bytes(), bytes].concat()
    };
    [part(ALGORITHM.as_bytes()), part(key.as_bytes())].concat()
}

/// As `ssh-add -l` and `ssh-keygen -l` name it.
pub(crate) fn fingerprint(key: &PublicKey) -> String {
    let digest = sha2::Sha256::digest(blob(key));
    format!("SHA256:{}", STANDARD_NO_PAD.encode(digest))
}

/// Bytes with their length in front (RFC 4251, section 5).
pub(crate) fn string(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(bytes.len()).map_err(|_| ErrorKind::FileTooLarge)?;
    Ok([&length.to_be_bytes(), bytes].concat())
}

/// Such bytes, and what comes after them.
pub(crate) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use tensorgate_verify::SigningKey;

    use super::*;

    /// Of `ssh-keygen -t ed25519`, and what `ssh-keygen -l` says of it.
    const LINE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC4voNgHUWDOSOlzmDYqthAIrrxOdt06e4ql4a5J1rgt ops@robot
";
    const FINGERPRINT: &str = "SHA256:AAPJuJSZYILKDeFa2m7yEK/EaGoSJy+OGqm3Jsuwb60";

    #[test]
    fn a_key_is_read_as_it_is_written() {
        assert_eq!(fingerprint(&read(LINE).unwrap()), FINGERPRINT);
        let key = SigningKey::from_seed(&[7; 32]).public();
        let line = format!("{ALGORITHM} {}", STANDARD.encode(blob(&key)));
        assert_eq!(read(&line), Ok(key));
    }

    #[test]
    fn what_is_no_such_key_is_refused_with_its_reason() {
        let key = SigningKey::from_seed(&[7; 32]).public();
        let whole = blob(&key);
        let line = |blob: &[u8]| format!("{ALGORITHM} {}", STANDARD.encode(blob));
        let weak = [&whole[..19], &[0; 32]].concat();
        for (text, why) in [
            (String::new(), "no public key of OpenSSH"),
            ("ssh-ed25519".to_owned(), "no public key of OpenSSH"),
            ("ssh-rsa AAAA".to_owned(), "\"ssh-rsa\""),
            (
                "sk-ssh-ed25519@openssh.com AAAA x".to_owned(),
                "\"sk-ssh-ed25519@openssh.com\"",
            ),
            ("ssh-ed25519 ####".to_owned(), "no ed25519 key"),
            (line(&whole[..50]), "no ed25519 key"),
            (line(&[&whole[..], &[0]].concat()), "no ed25519 key"),
            (line(&[0xff; 51]), "no ed25519 key"),
            (line(&weak), "low order"),
            (format!("{LINE}{LINE}"), "more than one line"),
        ] {
            let refused = read(&text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
