//! One X.509 certificate: what its issuer signed, byte for byte, and what it may be used for.
//!
//! <https://www.rfc-editor.org/rfc/rfc5280>, an allowlist of it: version 3, the extensions that
//! are understood here, RSA (PKCS#1 v1.5) and ECDSA signatures over SHA-2.

use der::oid::db::{rfc5280, rfc5912};
use der::oid::{AssociatedOid, ObjectIdentifier};
use der::{Any, Decode, DecodePem, Encode, Reader, SliceReader, asn1::BitString};
use jiff::Timestamp;
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, PublicKey};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tensorgate_verify::KeyId;
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, NameConstraints};
use x509_cert::spki::{AlgorithmIdentifierOwned, DecodePublicKey};

use crate::EcPublicKey;

/// What is wrong with a certificate or chain, in words.
pub(crate) type Fault = String;

/// Bytes of a certificate at the most: 16 KiB; those of real chains have about 1 KiB.
const CERTIFICATE_BYTES: usize = 16 << 10;
/// Bytes of an RSA modulus at the least: 2048 bits (CA/Browser Forum's Code Signing Baseline
/// Requirements, section 6.1.5, and NIST SP 800-131A).
const RSA_BYTES: usize = 256;

/// A certificate, parsed and *not* verified.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// The bytes that the issuer signed.
    signed: Vec<u8>,
    fields: TbsCertificate,
    algorithm: AlgorithmIdentifierOwned,
    signature: Vec<u8>,
    uses: Uses,
}

/// What the extensions say that a certificate may be used for.
#[derive(Clone, Debug, Default)]
struct Uses {
    constraints: Option<BasicConstraints>,
    key: Option<KeyUsage>,
    extended: Option<ExtendedKeyUsage>,
}

impl Certificate {
    pub(crate) fn from_pem(pem: &str) -> Result<Self, Fault> {
        let certificate = x509_cert::Certificate::from_pem(pem).map_err(fault)?;
        Self::from_der(&certificate.to_der().map_err(fault)?)
    }

    pub(crate) fn from_der(der: &[u8]) -> Result<Self, Fault> {
        if der.len() > CERTIFICATE_BYTES {
            return Err(format!("more than {CERTIFICATE_BYTES} bytes"));
        }
        let (signed, algorithm, signature) = split(der).map_err(fault)?;
        let fields = TbsCertificate::from_der(signed).map_err(fault)?;
        if fields.version() != Version::V3 {
            return Err("not of version 3".to_owned());
        }
        if fields.signature() != &algorithm {
            return Err("two different signature algorithms".to_owned());
        }
        let extensions = fields.extensions().map(Vec::as_slice).unwrap_or_default();
        Ok(Self {
            signed: signed.to_vec(),
            uses: Uses::of(extensions)?,
            fields,
            algorithm,
            signature: signature.as_bytes().unwrap_or_default().to_vec(),
        })
    }

    /// The name in the form of RFC 4514.
    pub(crate) fn subject(&self) -> String {
        self.fields.subject().to_string()
    }

    pub(crate) fn key_id(&self) -> Result<KeyId, Fault> {
        Ok(KeyId::from_bytes(Sha256::digest(self.key_der()?).into()))
    }

    /// The key, if it is one that OMS knows.
    pub(crate) fn key(&self) -> Result<EcPublicKey, Fault> {
        EcPublicKey::from_der(&self.key_der()?).map_err(|error| error.to_string())
    }

    /// Whether `issuer` bears the name of the issuer and its key made the signature.
    pub(crate) fn is_issued_by(&self, issuer: &Self) -> bool {
        self.fields.issuer() == issuer.fields.subject()
            && issuer.signed(&self.signed, &self.algorithm, &self.signature) == Ok(true)
    }

    pub(crate) fn refuse_unless_valid_at(&self, now: Timestamp) -> Result<(), Fault> {
        let validity = self.fields.validity();
        let now_seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let (from, to) = (validity.not_before, validity.not_after);
        if (from.to_unix_duration().as_secs()..=to.to_unix_duration().as_secs())
            .contains(&now_seconds)
        {
            return Ok(());
        }
        Err(format!("valid from {from} to {to}, and it is {now}"))
    }

    /// Refuses what may not certify others, or not with so many authorities below it.
    pub(crate) fn refuse_unless_authority(&self, below: usize) -> Result<(), Fault> {
        let no = |why: &str| Err(why.to_owned());
        match &self.uses.constraints {
            Some(constraints) if constraints.ca => match constraints.path_len_constraint {
                Some(most) if below > usize::from(most) => {
                    return no("more authorities below it than it allows");
                }
                _ => {}
            },
            _ => return no("not an authority (basicConstraints)"),
        }
        if self.uses.key.is_some_and(|usage| !usage.key_cert_sign()) {
            return no("may not sign certificates (keyUsage)");
        }
        if self.uses.extended.is_some() && !self.may_sign_code() {
            return no("may not certify signers of code (extendedKeyUsage)");
        }
        Ok(())
    }

    /// Refuses what was not made for signing code. That it may be an authority, too, is no fault:
    /// the reference tool's own certificates are.
    pub(crate) fn refuse_unless_signer(&self) -> Result<(), Fault> {
        if !self.uses.key.is_some_and(|usage| usage.digital_signature()) {
            return Err("not for digital signatures (keyUsage)".to_owned());
        }
        if !self.may_sign_code() {
            return Err("not for signing code (extendedKeyUsage)".to_owned());
        }
        Ok(())
    }

    fn may_sign_code(&self) -> bool {
        let extended = self.uses.extended.as_ref();
        extended.is_some_and(|usage| usage.0.contains(&rfc5280::ID_KP_CODE_SIGNING))
    }

    fn key_der(&self) -> Result<Vec<u8>, Fault> {
        self.fields
            .subject_public_key_info()
            .to_der()
            .map_err(fault)
    }

    /// Whether this certificate's key made the signature over `message`.
    fn signed(
        &self,
        message: &[u8],
        algorithm: &AlgorithmIdentifierOwned,
        signature: &[u8],
    ) -> Result<bool, Fault> {
        // RFC 4055, section 5, and RFC 5758, section 3.2: NULL, or nothing.
        if !algorithm.parameters.as_ref().is_none_or(Any::is_null) {
            return Ok(false);
        }
        let rsa = |scheme, hash: &[u8]| self.signed_with_rsa(scheme, hash, signature);
        let ecdsa = |hash: &[u8]| Ok(self.key()?.verifies_hash(hash, signature));
        let sha256 = || Sha256::digest(message);
        let sha384 = || Sha384::digest(message);
        let sha512 = || Sha512::digest(message);
        match algorithm.oid {
            rfc5912::SHA_256_WITH_RSA_ENCRYPTION => rsa(Pkcs1v15Sign::new::<Sha256>(), &sha256()),
            rfc5912::SHA_384_WITH_RSA_ENCRYPTION => rsa(Pkcs1v15Sign::new::<Sha384>(), &sha384()),
            rfc5912::SHA_512_WITH_RSA_ENCRYPTION => rsa(Pkcs1v15Sign::new::<Sha512>(), &sha512()),
            rfc5912::ECDSA_WITH_SHA_256 => ecdsa(&sha256()),
            rfc5912::ECDSA_WITH_SHA_384 => ecdsa(&sha384()),
            rfc5912::ECDSA_WITH_SHA_512 => ecdsa(&sha512()),
            _ => Ok(false),
        }
    }

    fn signed_with_rsa(
        &self,
        scheme: Pkcs1v15Sign,
        hash: &[u8],
        signature: &[u8],
    ) -> Result<bool, Fault> {
        let key = PublicKey::from_public_key_der(&self.key_der()?).map_err(fault)?;
        Ok(key.size() >= RSA_BYTES && key.verify(scheme, hash, signature).is_ok())
    }
}

impl Uses {
    fn of(extensions: &[Extension]) -> Result<Self, Fault> {
        let mut uses = Self::default();
        let mut seen: Vec<ObjectIdentifier> = Vec::new();
        for extension in extensions {
            if seen.contains(&extension.extn_id) {
                return Err(format!("the extension {} occurs twice", extension.extn_id));
            }
            seen.push(extension.extn_id);
            uses.read(extension)?;
        }
        Ok(uses)
    }

    fn read(&mut self, extension: &Extension) -> Result<(), Fault> {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            BasicConstraints::OID => self.constraints = Some(parse(value)?),
            KeyUsage::OID => self.key = Some(parse(value)?),
            ExtendedKeyUsage::OID => self.extended = Some(parse(value)?),
            // To overlook it would be to overlook a limit.
            NameConstraints::OID => return Err("name constraints are not supported".to_owned()),
            other if extension.critical => {
                return Err(format!("the critical extension {other} is not known"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// The signed bytes as they lie there, the algorithm and the signature.
fn split(der: &[u8]) -> der::Result<(&[u8], AlgorithmIdentifierOwned, BitString)> {
    let mut reader = SliceReader::new(der)?;
    let parts = reader.sequence(|reader| {
        der::Result::Ok((reader.tlv_bytes()?, reader.decode()?, reader.decode()?))
    })?;
    reader.finish()?;
    Ok(parts)
}

fn parse<'a, T: Decode<'a, Error = der::Error>>(value: &'a [u8]) -> Result<T, Fault> {
    T::from_der(value).map_err(fault)
}

fn fault(error: impl std::fmt::Display) -> Fault {
    error.to_string()
}
