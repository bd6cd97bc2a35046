//! Whose certificates count.

use std::env::split_paths;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Certificate;
use rustls::RootCertStore;
use rustls_native_certs::{CertificateResult, load_certs_from_paths};

use crate::config::ConfigError;

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
        Self::of(&path, load_certs_from_paths(Some(&path), None))
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
                add(Self::of(&path, load_certs_from_paths(None, Some(&path)))?);
            }
        }
        Ok(roots)
    }

    /// Bundles have certificates that no verifier takes; one must be usable, and then counts.
    fn of(path: &Path, found: CertificateResult) -> Result<Self, ConfigError> {
        let refuse = |reason: String| ConfigError::Roots {
            path: path.to_owned(),
            reason: reason.into(),
        };
        if let Some(error) = found.errors.first() {
            return Err(refuse(error.to_string()));
        }
        let usable = |der: &_| RootCertStore::empty().add(Clone::clone(der)).is_ok();
        let certificates = found.certs.iter().filter(|der| usable(*der));
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

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.0.len())
    }
}
