//! The files of an artifact that is pinned: listed by the Hub, tied to the commit, and named by
//! SHA-256.

use std::path::Path;

use tensorgate_verify::{External, ExternalFile, RepoType};

use crate::failure::Failure;
use crate::fetch::{self, Session};

impl Session {
    /// The artifact that `field` names is exactly the files of this commit; nothing large is fetched.
    pub(super) async fn pinned(
        &self,
        field: &str,
        name: &str,
        target: &str,
    ) -> Result<External, Failure> {
        let target = fetch::target(target, None)?;
        if target.repo_type != RepoType::Model {
            let detail = format!("{target} is no model");
            return Err(Failure::about(Path::new(field), detail));
        }
        let hub = self.hub.as_ref().ok_or_else(|| {
            let detail =
                format!("{target} would have to be listed, and the network is not to be used");
            Failure::about(Path::new(field), detail)
        })?;
        let revision = self.pin(&target).await?;
        let (repository, progress) = (hub.repository_of(&target), self.progress.as_ref());
        let listing = repository.listing(&revision, progress).await?;
        let mut files = Vec::new();
        for file in &listing.files {
            let sha256 = repository.sha256_of(&revision, file, progress).await?;
            files.push(ExternalFile::new(file.path.clone(), file.size, sha256));
        }
        let pin = (target.repo.clone(), revision);
        Ok(External::pinned(
            field.to_owned(),
            name.to_owned(),
            pin,
            files,
        ))
    }
}
