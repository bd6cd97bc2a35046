//! From a signer's certificate to a root that the operator chose.

use jiff::Timestamp;

use crate::certificate::{Certificate, Fault};
use crate::{EcPublicKey, NotAnAnchor, Signer};

/// Certificates of a chain at the most, the root's aside: 8. Real chains have two or three, and
/// each may cost a signature check with each other.
pub(crate) const CHAIN: usize = 8;

/// An authority whose word counts, and, if it is pinned, about whom.
#[derive(Clone, Debug)]
pub struct RootCertificate {
    certificate: Box<Certificate>,
    subject: Option<Box<str>>,
}

impl RootCertificate {
    /// Reads a certificate in PEM.
    ///
    /// # Errors
    /// Not PEM, not an X.509 v3 certificate of a form that is known here, or not one of an
    /// authority. That it is valid is asked when something is authenticated: then there is a now.
    pub fn from_pem(pem: &str) -> Result<Self, NotAnAnchor> {
        let not = |why| NotAnAnchor::new(format!("not a root certificate in PEM: {why}"));
        let certificate = Certificate::from_pem(pem).map_err(not)?;
        certificate.refuse_unless_authority(0).map_err(not)?;
        Ok(Self {
            certificate: Box::new(certificate),
            subject: None,
        })
    }

    /// The same, trusted about one subject alone: a name in the form of RFC 4514.
    #[must_use]
    pub fn only_for(self, subject: &str) -> Self {
        Self {
            subject: Some(subject.into()),
            ..self
        }
    }

    /// The key of the first of `ders`, if they lead from it to this root.
    pub(crate) fn certified(
        &self,
        ders: &[Vec<u8>],
        now: Timestamp,
    ) -> Result<(EcPublicKey, Signer), Fault> {
        let parse = |der: &Vec<u8>| Certificate::from_der(der);
        let given = ders.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let path = self.path(&given)?;
        for (below, authority) in path.iter().skip(1).enumerate() {
            let name = |why| format!("{:?}: {why}", authority.subject());
            authority.refuse_unless_valid_at(now).map_err(name)?;
            authority.refuse_unless_authority(below).map_err(name)?;
        }
        let [leaf, issuers @ ..] = &path[..] else {
            return Err("no certificate".to_owned());
        };
        let name = |why| format!("{:?}: {why}", leaf.subject());
        leaf.refuse_unless_valid_at(now).map_err(name)?;
        leaf.refuse_unless_signer().map_err(name)?;
        self.refuse_other_subjects(&leaf.subject())?;
        let key = leaf.key().map_err(name)?;
        let issuers = issuers.iter().map(|issuer| issuer.key_id());
        let signer = Signer {
            key: key.id(),
            subject: Some(leaf.subject()),
            issuers: issuers.collect::<Result<_, _>>()?,
        };
        Ok((key, signer))
    }

    /// The signer's certificate, those between, and this root, each issued by the next one.
    fn path<'c>(&'c self, given: &'c [Certificate]) -> Result<Vec<&'c Certificate>, Fault> {
        let mut unused: Vec<&Certificate> = given.iter().collect();
        let mut last = match unused.is_empty() {
            true => return Err("no certificate".to_owned()),
            false => unused.remove(0),
        };
        let mut path = vec![last];
        while !last.is_issued_by(&self.certificate) {
            let issuer = unused.iter().position(|other| last.is_issued_by(other));
            let Some(issuer) = issuer else {
                let subject = last.subject();
                return Err(format!("nobody trusted certifies {subject:?}"));
            };
            last = unused.remove(issuer);
            path.push(last);
        }
        path.push(&self.certificate);
        Ok(path)
    }

    fn refuse_other_subjects(&self, subject: &str) -> Result<(), Fault> {
        match &self.subject {
            Some(only) if **only != *subject => {
                Err(format!("signed by {subject:?}, trusted is {only:?}"))
            }
            _ => Ok(()),
        }
    }
}
