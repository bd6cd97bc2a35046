//! Whose certificates count.

use std::env::split_paths;
use std::ffi::OsString;
use std::fmt;
use std::fs::read_dir;
use std::path::{Path, PathBuf};

use reqwest::Certificate;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::config::{ConfigError, file};

/// Bytes of a file of certificates; a distribution's bundle has about 220 KiB.
const MAX_BYTES: u64 = 16 << 20;

type Found = Result<Vec<CertificateDer<'static>>, String>;

/// Certificates that may vouch for a server, in place of the system's.
#[derive(Clone, Default)]
pub struct Roots(Vec<Certificate>);

impl Roots {
    /// The certificates of a file in PEM.
    ///
    /// # Errors
    /// [`ConfigError::Roots`] if it cannot be read, or has no certificate that can be used.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let path = path.into();
        Self::of(&path, in_file(&path))
    }

    /// What `SSL_CERT_FILE`, and `SSL_CERT_DIR` with its directories, name: in place of the
    /// system's, as OpenSSL and so Python have it. `None` where neither is set.
    pub(crate) fn from_vars(
        var: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Self>, ConfigError> {
        let mut roots = None::<Self>;
        let mut add = |more: Self| roots.get_or_insert_default().0.extend(more.0);
        if let Some(path) = var("SSL_CERT_FILE") {
            add(Self::from_file(path)?);
        }
        if let Some(paths) = var("SSL_CERT_DIR") {
            for path in split_paths(&paths) {
                add(Self::of(&path, in_directory(&path))?);
            }
        }
        Ok(roots)
    }

    /// Bundles have certificates that no verifier takes; one must be usable, and then counts.
    fn of(path: &Path, found: Found) -> Result<Self, ConfigError> {
        let refuse = |reason: String| ConfigError::Roots {
            path: path.to_owned(),
            reason: reason.into(),
        };
        let found = found.map_err(refuse)?;
        let usable = |der: &_| RootCertStore::empty().add(Clone::clone(der)).is_ok();
        let certificates = found.iter().filter(|der| usable(*der));
        let certificates: Vec<_> = certificates
            .filter_map(|der| Certificate::from_der(der).ok())
            .collect();
        match certificates.is_empty() {
            true => Err(refuse("it has no certificate that can be used".into())),
            false => Ok(Self(certificates)),
        }
    }

    pub(crate) fn certificates(&self) -> impl Iterator<Item = Certificate> {
        self.0.iter().cloned()
    }
}

fn in_file(path: &Path) -> Found {
    let bytes = file::read(path, MAX_BYTES).map_err(|error| error.to_string())?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>();
    certificates.map_err(|error| format!("it is no PEM: {error}"))
}

/// Those of every file in it; links of `openssl rehash` lead to files once more.
fn in_directory(path: &Path) -> Found {
    let mut found = Vec::new();
    for entry in read_dir(path).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        // A link that leads nowhere, a directory, a FIFO: none of them has a certificate.
        if path.is_file() {
            let more = in_file(&path).map_err(|why| format!("{path:?}: {why}"))?;
            found.extend(more);
        }
    }
    found.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
    found.dedup();
    Ok(found)
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.0.len())
    }
}
