//! Models, data sets and adapters by content: checked and stored here, sent to a provider, fetched from one.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use anyhow::{anyhow, bail, Context as _, Result};
use attune_chain_client::{keys::Account, H256};
use attune_store::{ArtifactId, FetchLimits, Fetcher, LocalStore, ManifestLimits, Materialize, Url};
use attune_trainer::{
    data::{ChatTokenizer, PackedData},
    model::Model,
    spec::ModelSpec,
};

use crate::{account::RequestSigner, profile::Profile, progress::Progress};

/// The files of a Hugging Face directory that belong to a model, besides its weights (`*.safetensors`). Everything else
/// (optimizer states, other formats, git's own files) stays at home.
const MODEL_FILES: [&str; 11] = [
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "README.md",
    "LICENSE",
    "NOTICE",
];
/// Largest adapter that is fetched, in bytes: far above what LoRA makes, far below what fills a disk.
const MAX_ADAPTER_BYTES: u64 = 16 << 30;

/// A model that was checked and stored.
#[derive(Clone, Debug)]
pub struct StoredModel {
    /// Content address of its files.
    pub artifact: H256,
    /// Their size, in bytes.
    pub bytes: u64,
    /// BLAKE3 of its `tokenizer.json`.
    pub tokenizer: H256,
    /// Name of its architecture, such as `LlamaForCausalLM`.
    pub architecture: String,
    /// Number of its parameters.
    pub parameters: u64,
}

/// A packed data set that was stored.
#[derive(Clone, Copy, Debug)]
pub struct StoredData {
    /// Content address.
    pub root: H256,
    /// Size, in bytes.
    pub bytes: u64,
}

/// The artifacts of one profile.
#[derive(Clone, Debug)]
pub struct Artifacts {
    store: LocalStore,
    models: PathBuf,
}

impl Artifacts {
    /// Opens the profile's store.
    ///
    /// # Errors
    /// If its folder cannot be made.
    pub fn open(profile: &Profile) -> Result<Self> {
        let store = LocalStore::open(profile.store())?;
        Ok(Artifacts { store, models: profile.models() })
    }

    /// Checks a Hugging Face directory (shape, weights, tokenizer) and stores its files. Blocks; reads all weights.
    ///
    /// # Errors
    /// If the shape is not supported, a weight is missing or damaged, or the tokenizer is missing or unusable.
    pub fn add_model(&self, dir: &Path) -> Result<StoredModel> {
        if !dir.is_dir() {
            bail!(
                "{} is not a folder; name one with config.json, *.safetensors and tokenizer.json",
                dir.display()
            );
        }
        let spec = ModelSpec::read(dir)?;
        let tokenizer = ChatTokenizer::open(dir)?;
        let vocabulary = usize::try_from(spec.vocab_size).context("a vocabulary of negative size")?;
        if tokenizer.vocab_size() > vocabulary {
            bail!(
                "the tokenizer in {} knows {} tokens, the model {vocabulary}; it belongs to another model",
                dir.display(),
                tokenizer.vocab_size()
            );
        }
        // Reading every weight is the only way to know that none is damaged.
        drop(Model::load(dir)?);
        let id = self.store_model_files(dir)?;
        Ok(StoredModel {
            artifact: H256(*id.as_bytes()),
            bytes: self.size(&id)?,
            tokenizer: H256(*ArtifactId::from_str(tokenizer.blake3())?.as_bytes()),
            architecture: spec.architecture.clone(),
            parameters: u64::try_from(spec.parameters())
                .context("a model with a negative number of parameters")?,
        })
    }

    /// Stores the files that belong to a model. They are gathered first: a download of Hugging Face's own tools is a
    /// folder of links, and the folder may hold what is nobody's business.
    fn store_model_files(&self, dir: &Path) -> Result<ArtifactId> {
        let gathered = tempfile::Builder::new()
            .prefix("model-")
            .tempdir_in(self.store.root())
            .context("making a folder for the model's files")?;
        let entries = fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("listing {}", dir.display()))?;
            let name = entry.file_name();
            let Some(text) = name.to_str() else { continue };
            if !text.ends_with(".safetensors") && !MODEL_FILES.contains(&text) && !text.starts_with("LICENSE")
            {
                continue;
            }
            let source = entry
                .path()
                .canonicalize()
                .with_context(|| format!("resolving {}", entry.path().display()))?;
            if !source.is_file() {
                continue;
            }
            let target = gathered.path().join(&name);
            if fs::hard_link(&source, &target).is_err() {
                fs::copy(&source, &target).with_context(|| format!("copying {}", source.display()))?;
            }
        }
        Ok(self.store.put_dir(gathered.path())?)
    }

    /// True if the artifact is stored here (of a folder: its manifest).
    pub fn has(&self, artifact: &H256) -> bool {
        self.store.has(&ArtifactId::from(artifact.0))
    }

    /// The folder of a stored model; `None` if the model is not stored here.
    ///
    /// # Errors
    /// If a stored file is damaged or the disk full.
    pub fn model_dir(&self, artifact: &H256) -> Result<Option<PathBuf>> {
        let id = ArtifactId::from(artifact.0);
        if !self.store.has(&id) {
            return Ok(None);
        }
        let dir = self.models.join(id.to_string());
        self.store.materialize_dir(&id, &dir, Materialize::Link)?;
        Ok(Some(dir))
    }

    /// Stores a packed data set.
    ///
    /// # Errors
    /// If it breaks a rule of its format, or the disk is full.
    pub fn add_data(&self, data: &PackedData) -> Result<StoredData> {
        let folder = tempfile::Builder::new()
            .prefix("data-")
            .tempdir_in(self.store.root())
            .context("making a folder for the packed data")?;
        data.write(folder.path())?;
        let id = self.store.put_dir(folder.path())?;
        Ok(StoredData { root: H256(*id.as_bytes()), bytes: self.size(&id)? })
    }

    fn size(&self, id: &ArtifactId) -> Result<u64> {
        Ok(self.store.manifest(id, &ManifestLimits::default())?.total_bytes())
    }

    /// Sends a stored folder to the provider at `endpoint`. What is there already is not sent again.
    ///
    /// # Errors
    /// If the provider cannot be reached or refuses; the error has its reason.
    pub async fn send(
        &self,
        signer: &Account,
        endpoint: &str,
        artifact: &H256,
        what: &str,
        progress: Progress,
    ) -> Result<()> {
        let id = ArtifactId::from(artifact.0);
        let peer = peer(endpoint)?;
        let bar = progress.bytes(0, format!("sending {what}"));
        let report = |p: attune_store::Progress| {
            bar.set_length(p.total_bytes);
            bar.set_position(p.done_bytes);
        };
        let sent = self.fetcher(signer)?.push_dir(&id, &peer, &report).await;
        bar.finish_and_clear();
        sent.with_context(|| format!("sending {what} to {endpoint}"))
    }

    /// Fetches an adapter from whichever of the endpoints has it, and puts a copy at `dest`.
    ///
    /// # Errors
    /// If none of them delivers the right bytes, one reason per endpoint; if `dest` holds something else.
    pub async fn fetch_adapter(
        &self,
        signer: &Account,
        endpoints: &[String],
        adapter: &H256,
        dest: &Path,
        progress: Progress,
    ) -> Result<()> {
        let id = ArtifactId::from(adapter.0);
        let peers: Vec<Url> = endpoints.iter().filter_map(|endpoint| peer(endpoint).ok()).collect();
        if peers.is_empty() && !self.store.has(&id) {
            bail!("no provider is known that could have adapter {id}; expected at least one endpoint");
        }
        let bar = progress.bytes(0, "fetching the adapter");
        let report = |p: attune_store::Progress| {
            bar.set_length(p.total_bytes);
            bar.set_position(p.done_bytes);
        };
        let limits = ManifestLimits { max_total_bytes: MAX_ADAPTER_BYTES, ..ManifestLimits::default() };
        let fetched = self.fetcher(signer)?.fetch_dir_into_store(&id, &peers, &limits, &report).await;
        bar.finish_and_clear();
        fetched.context("fetching the adapter")?;
        let (store, dest) = (self.store.clone(), dest.to_path_buf());
        let placed =
            tokio::task::spawn_blocking(move || store.materialize_dir(&id, &dest, Materialize::Copy));
        placed.await.map_err(|e| anyhow!("placing the adapter was interrupted: {e}"))??;
        Ok(())
    }

    fn fetcher(&self, signer: &Account) -> Result<Fetcher> {
        let signer = Arc::new(RequestSigner(signer.clone()));
        Ok(Fetcher::new(self.store.clone(), signer, FetchLimits::default())?)
    }
}

fn peer(endpoint: &str) -> Result<Url> {
    Url::parse(endpoint).with_context(|| format!("the provider's endpoint {endpoint:?} is not an address"))
}
