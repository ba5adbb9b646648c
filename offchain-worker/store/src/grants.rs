//! Who may have what, kept in memory.
//!
//! Whoever runs a server knows from its jobs which account is entitled to which artifact, and writes it here: one grant
//! per account and **root**. A root is a file or a directory; a grant of a directory covers the files of its manifest, as
//! soon as the manifest is in the store. Grants are not kept on disk: after a restart they are made again from the jobs.

use crate::{
    local::blocking,
    server::{Access, Authorizer},
    ArtifactId, LocalStore, Manifest, ManifestLimits, StoreError,
};
use async_trait::async_trait;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

/// Files of all remembered directories together; beyond it they are forgotten and looked up again.
const MAX_REMEMBERED_FILES: usize = 1_000_000;

/// Sizes of the files of a directory; `None` for a root that is a plain file.
type Children = Option<Arc<HashMap<ArtifactId, u64>>>;

#[derive(Debug, Clone, Copy, Default)]
struct Grant {
    read: bool,
    /// Bytes that may be uploaded for this root in all; 0 for none.
    write_max_bytes: u64,
}

#[derive(Debug, Default)]
struct State {
    /// By account, then root. The account `None` stands for everyone who signs.
    grants: BTreeMap<Option<[u8; 32]>, BTreeMap<ArtifactId, Grant>>,
    count: usize,
    /// What roots hold, once it was looked up in the store.
    children: HashMap<ArtifactId, Children>,
}

/// An [`Authorizer`] with a bounded table of grants. Share it in an `Arc`.
#[derive(Debug)]
pub struct Grants {
    store: LocalStore,
    max: usize,
    state: RwLock<State>,
}

impl Grants {
    /// An empty table for at most `max` grants. Manifests are looked up in `store`.
    pub fn new(store: LocalStore, max: usize) -> Self {
        Self { store, max, state: RwLock::new(State::default()) }
    }

    /// Lets an account read a file, or a directory with its files.
    ///
    /// # Errors
    /// [`StoreError::TooManyGrants`].
    pub fn allow_read(&self, account: [u8; 32], root: ArtifactId) -> Result<(), StoreError> {
        self.change(Some(account), root, |grant| grant.read = true)
    }

    /// Lets every account that signs read a file or a directory: for what is public anyway, such as a base model.
    ///
    /// # Errors
    /// [`StoreError::TooManyGrants`].
    pub fn allow_read_to_all(&self, root: ArtifactId) -> Result<(), StoreError> {
        self.change(None, root, |grant| grant.read = true)
    }

    /// Lets an account upload a file, or a directory with its files, of at most `max_bytes` in all, and read it back.
    ///
    /// # Errors
    /// [`StoreError::TooManyGrants`].
    pub fn allow_write(&self, account: [u8; 32], root: ArtifactId, max_bytes: u64) -> Result<(), StoreError> {
        self.change(Some(account), root, |grant| {
            grant.read = true;
            grant.write_max_bytes = max_bytes;
        })
    }

    /// Takes back what an account may do with a root. Transfers under way end by themselves.
    pub fn revoke(&self, account: &[u8; 32], root: &ArtifactId) {
        self.edit(|state| {
            let Some(roots) = state.grants.get_mut(&Some(*account)) else { return };
            state.count -= usize::from(roots.remove(root).is_some());
        });
    }

    /// Takes back what anyone may do with a root: for a job that is over.
    pub fn revoke_all(&self, root: &ArtifactId) {
        self.edit(|state| {
            for roots in state.grants.values_mut() {
                state.count -= usize::from(roots.remove(root).is_some());
            }
        });
    }

    fn edit(&self, work: impl FnOnce(&mut State)) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        work(&mut state);
        state.grants.retain(|_, roots| !roots.is_empty());
        let State { grants, children, .. } = &mut *state;
        children.retain(|root, _| grants.values().any(|roots| roots.contains_key(root)));
    }

    fn change(
        &self,
        account: Option<[u8; 32]>,
        root: ArtifactId,
        work: impl FnOnce(&mut Grant),
    ) -> Result<(), StoreError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let known = state.grants.get(&account).is_some_and(|roots| roots.contains_key(&root));
        if !known {
            if state.count >= self.max {
                return Err(StoreError::TooManyGrants { max: self.max });
            }
            state.count += 1;
        }
        work(state.grants.entry(account).or_default().entry(root).or_default());
        Ok(())
    }

    /// The account's grants and everyone's.
    fn grants_of(&self, account: &[u8; 32]) -> Vec<(ArtifactId, Grant)> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let of = |who: &Option<[u8; 32]>| state.grants.get(who).cloned().unwrap_or_default();
        of(&Some(*account)).into_iter().chain(of(&None)).collect()
    }

    /// What a root holds; remembered once the root is in the store.
    async fn children(&self, root: ArtifactId) -> Children {
        if let Some(known) = self.state.read().unwrap_or_else(PoisonError::into_inner).children.get(&root) {
            return known.clone();
        }
        if !self.store.has(&root) {
            return None;
        }
        let store = self.store.clone();
        let found = match blocking(move || Ok(read_children(&store, &root))).await {
            Ok(Ok(found)) => found,
            // Not remembered: the disk may answer next time.
            Ok(Err(e)) | Err(e) => {
                tracing::warn!(%root, error = %e, "looking up a granted artifact failed");
                return None;
            }
        };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let files = |children: &Children| children.as_ref().map_or(0, |files| files.len());
        if state.children.values().map(files).sum::<usize>() + files(&found) > MAX_REMEMBERED_FILES {
            state.children.clear();
        }
        state.children.insert(root, found.clone());
        found
    }
}

fn read_children(store: &LocalStore, root: &ArtifactId) -> Result<Children, StoreError> {
    let limits = ManifestLimits::default();
    let bytes = match store.read(root, limits.max_manifest_bytes) {
        Ok(bytes) if Manifest::looks_like(&bytes) => bytes,
        Ok(_) | Err(StoreError::TooLarge { .. }) => return Ok(None),
        Err(e) => return Err(e),
    };
    match Manifest::from_bytes(&bytes, &limits) {
        Ok(manifest) => Ok(Some(Arc::new(manifest.files().iter().map(|f| (f.blake3, f.size)).collect()))),
        // A hostile manifest is a file like any other: nobody gets anything through it.
        Err(_) => Ok(None),
    }
}

fn denied(reason: &str) -> Access {
    Access::Denied { reason: reason.into() }
}

#[async_trait]
impl Authorizer for Grants {
    async fn may_read(&self, account: &[u8; 32], artifact: &ArtifactId) -> Access {
        let grants = self.grants_of(account);
        if grants.iter().any(|(root, grant)| grant.read && root == artifact) {
            return Access::Allowed;
        }
        for (root, _) in grants.into_iter().filter(|(_, grant)| grant.read) {
            if self.children(root).await.is_some_and(|files| files.contains_key(artifact)) {
                return Access::Allowed;
            }
        }
        denied("no job of this account names the artifact")
    }

    async fn may_write(&self, account: &[u8; 32], artifact: &ArtifactId, size_bytes: u64) -> Access {
        let grants = self.grants_of(account);
        for (root, grant) in grants.into_iter().filter(|(_, grant)| grant.write_max_bytes > 0) {
            if root == *artifact {
                return match size_bytes <= grant.write_max_bytes {
                    true => Access::Allowed,
                    false => denied("it is larger than the job says"),
                };
            }
            let Some(files) = self.children(root).await else { continue };
            let Some(size) = files.get(artifact) else { continue };
            let total = files.values().fold(0u64, |sum, size| sum.saturating_add(*size));
            return match (*size == size_bytes, total <= grant.write_max_bytes) {
                (true, true) => Access::Allowed,
                (false, _) => denied("it has another size than the manifest says"),
                (_, false) => denied("the directory is larger than the job says"),
            };
        }
        denied("no job of this account lets it upload the artifact")
    }
}
