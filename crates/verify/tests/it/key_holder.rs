//! Whoever keeps a key signs, and is not believed.

use std::io;

use tensorgate_verify::*;

use crate::support::{Fixture, context, key, trust};

/// Says that it is the first key, and answers with what the closure makes of the message.
struct Keeper<F>(F);

impl<F: Fn(&[u8]) -> io::Result<[u8; 64]>> KeyHolder for Keeper<F> {
    fn public(&self) -> PublicKey {
        key(1).public()
    }

    fn sign(&self, message: &[u8]) -> io::Result<[u8; 64]> {
        (self.0)(message)
    }
}

#[test]
fn who_keeps_a_key_signs_as_the_key_does() {
    let fixture = Fixture::new();
    let limits = Limits::default();
    let kept = key(1);
    let keeper = Keeper(|message: &[u8]| kept.sign(message));
    let signed = SignedManifest::sign(&fixture.manifest, &keeper, &limits).unwrap();
    assert_eq!(signed.to_bytes(), fixture.signed().to_bytes());
    assert!(signed.is_signed_by(&key(1).public()));
    assert!(!signed.is_signed_by(&key(2).public()));
    trust(1, &[1]).authenticate(&signed, &context()).unwrap();
}

#[test]
fn what_is_no_signature_of_the_key_reaches_no_envelope() {
    let fixture = Fixture::new();
    let limits = Limits::default();
    let other = key(2);
    let mut signed = SignedManifest::sign(&fixture.manifest, &other, &limits).unwrap();
    let before = signed.to_bytes();
    let of_other = Keeper(|message: &[u8]| other.sign(message));
    let over_less = Keeper(|message: &[u8]| key(1).sign(&message[1..]));
    let nothing = Keeper(|_: &[u8]| Ok([0; 64]));
    let failing = Keeper(|_: &[u8]| Err(io::ErrorKind::TimedOut.into()));
    let keepers: [&dyn KeyHolder; 4] = [&of_other, &over_less, &nothing, &failing];
    for keeper in keepers {
        let refused = signed.add_signature(keeper, &limits);
        assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
        assert_eq!(signed.to_bytes(), before);
        assert!(SignedManifest::sign(&fixture.manifest, keeper, &limits).is_err());
    }
}

#[test]
fn a_public_key_is_the_same_in_every_form() {
    let public = key(1).public();
    let again = PublicKey::from_bytes(public.as_bytes()).unwrap();
    assert_eq!((again.id(), &again), (public.id(), &public));
    assert_eq!(PublicKey::from_pem(&public.to_pem().unwrap()), Ok(public));
    assert_eq!(key(1).public_pem(), again.to_pem());
    // The neutral element, and a point that is none (y = 2 has no x).
    let mut one = [0; 32];
    one[0] = 1;
    assert!(
        PublicKey::from_bytes(&one)
            .unwrap_err()
            .to_string()
            .contains("low order")
    );
    one[0] = 2;
    assert!(
        PublicKey::from_bytes(&one)
            .unwrap_err()
            .to_string()
            .contains("not an ed25519 public key")
    );
}
