//! Downloads models of the Hugging Face Hub: the files of a repository that a conversion needs.
//!
//! The crate `hf-hub` keeps them under `HF_HOME`, in the cache of Hugging Face's own programs, so
//! that no file is downloaded twice.

use core::time::Duration;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;

use anyhow::{Context, Result};
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use crate::checkpoint::{sentence, weight_files};
use crate::files::is_bare;
use crate::{json, refuse};

/// The files, besides weights, that a conversion may read.
const FILES: [&str; 21] = [
    "config.json",
    "adapter_config.json",
    "generation_config.json",
    "kinglet.json",
    "modules.json",
    "config_sentence_transformers.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "bpe.codes",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "source.spm",
    "target.spm",
    "tekken.json",
];

/// The number of attempts at a download before it fails.
const ATTEMPTS: u64 = 4;

/// The name of a model on the Hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id {
    /// `org/name`.
    name: String,
    /// A branch, a tag or a commit.
    revision: String,
}

/// Downloaded files of a model.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The folder of the files.
    pub dir: PathBuf,
    /// The name of the model and its commit: `org/name@commit`.
    pub name: String,
}

impl Id {
    /// Parses `org/name` or `org/name@revision`; `None` for other texts.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
        let (org, model) = name.split_once('/')?;
        let is_part = |part: &str| {
            let letters = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            letters && part.starts_with(|first: char| first.is_ascii_alphanumeric())
        };
        let named = revision.split('/').all(|part| is_bare(part) && !part.contains(char::is_whitespace));
        (is_part(org) && is_part(model) && named).then(|| Self { name: name.to_owned(), revision: revision.to_owned() })
    }

    fn repo(&self, revision: &str) -> Repo {
        Repo::with_revision(self.name.clone(), RepoType::Model, revision.to_owned())
    }

    /// Downloads the files of the model that a conversion needs and that are not cached. With
    /// `progress`, a terminal shows a bar for each. Honours `HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN` and
    /// `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// When the model does not exist or may not be read, or a download fails.
    pub fn fetch(&self, progress: bool) -> Result<Snapshot> {
        if env::var_os("HF_HOME").is_none() && env::home_dir().is_none() {
            return Err(refuse("there is no folder to keep models in", "set HF_HOME to one"));
        }
        let cache = Cache::from_env();
        let offline = env::var("HF_HUB_OFFLINE").unwrap_or_default().to_uppercase();
        if ["1", "ON", "YES", "TRUE"].contains(&offline.as_str()) {
            return self.cached(&cache);
        }
        let endpoint = env::var("HF_ENDPOINT").ok().filter(|said| !said.is_empty());
        let endpoint = endpoint.as_deref().unwrap_or("https://huggingface.co").trim_end_matches('/').to_owned();
        let mut builder = ApiBuilder::from_cache(cache.clone()).with_endpoint(endpoint.clone()).with_progress(progress);
        if let Some(token) = env::var("HF_TOKEN").ok().filter(|token| !token.is_empty()) {
            builder = builder.with_token(Some(token));
        }
        let api = builder.build().context("the client of the Hub cannot be made")?;
        let info = again(|| api.repo(self.repo(&self.revision)).info());
        let info = info.map_err(|error| self.explain(error, &endpoint, None))?;
        if info.sha.is_empty() || !info.sha.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(refuse(
                format_args!("{endpoint} does not name a commit of {}", self.name),
                "try another HF_ENDPOINT",
            ));
        }
        let files: Vec<&str> = info.siblings.iter().map(|file| file.rfilename.as_str()).collect();
        let repository = Repository { id: self, api: &api, commit: &info.sha, endpoint: &endpoint, files };
        let dir = repository.download()?;
        // With `HF_HUB_OFFLINE`, the commit is found by the name of the branch.
        cache.repo(self.repo(&self.revision)).create_ref(&info.sha).context("cannot write to HF_HOME")?;
        Ok(Snapshot { dir, name: format!("{}@{}", self.name, info.sha) })
    }

    /// The snapshot that an earlier run or another program has downloaded.
    fn cached(&self, cache: &Cache) -> Result<Snapshot> {
        let named = cache.repo(self.repo(&self.revision));
        let found = FILES.iter().find_map(|file| named.get(file));
        let dir = found.and_then(|file| file.parent().map(Path::to_owned));
        let dir = dir.unwrap_or_else(|| named.pointer_path(&self.revision));
        if !dir.is_dir() {
            return Err(refuse(
                format_args!("{}@{} is not in {}", self.name, self.revision, cache.path().display()),
                "HF_HUB_OFFLINE is set: unset it to download the model",
            ));
        }
        let commit = dir.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Snapshot { dir, name: format!("{}@{commit}", self.name) })
    }

    fn explain(&self, error: ApiError, endpoint: &str, file: Option<&str>) -> anyhow::Error {
        let Self { name, revision } = self;
        let status = match &error {
            ApiError::RequestError(error) => match **error {
                ureq::Error::StatusCode(status) => Some(status),
                _ => None,
            },
            _ => None,
        };
        match (status, file) {
            (Some(status @ (401 | 403)), _) => refuse(
                format_args!("{endpoint} does not show {name} to this user (status {status})"),
                "look at the spelling; for a model that is private or gated set HF_TOKEN to a token that may read it",
            ),
            (Some(404), None) => refuse(
                format_args!(
                    "{name} is not a folder here, and {endpoint} has no such model with a revision {revision}"
                ),
                "name the checkpoint's folder, or a model as org/name or org/name@revision",
            ),
            (Some(status), _) => refuse(
                format_args!("{endpoint} answers status {status} for {}", file.unwrap_or(name)),
                "try again later",
            ),
            (None, None) => refuse(
                format_args!("{name} is not a folder here, and cannot be downloaded from {endpoint}: {error}"),
                "name the checkpoint's folder, or set HF_HUB_OFFLINE=1 to take a model that was downloaded before",
            ),
            (None, Some(file)) => refuse(
                format_args!("{file} cannot be downloaded from {endpoint}: {error}"),
                "run it again to resume the download",
            ),
        }
    }
}

/// Repeats `work` after a lost connection, but not after an answer of the server.
fn again<T>(work: impl Fn() -> Result<T, ApiError>) -> Result<T, ApiError> {
    let mut attempt = 1;
    loop {
        match work() {
            Err(ApiError::RequestError(error)) if matches!(*error, ureq::Error::StatusCode(_)) => {
                return Err(ApiError::RequestError(error));
            }
            Err(ApiError::IoError(_) | ApiError::RequestError(_)) if attempt < ATTEMPTS => {
                sleep(Duration::from_millis(200 * attempt));
                attempt += 1;
            }
            done => return done,
        }
    }
}

/// A commit of a model, with the names of its files.
struct Repository<'a> {
    id: &'a Id,
    api: &'a Api,
    commit: &'a str,
    endpoint: &'a str,
    files: Vec<&'a str>,
}

impl Repository<'_> {
    /// Downloads the files that are needed, and returns their folder.
    fn download(&self) -> Result<PathBuf> {
        let repo = self.api.repo(self.id.repo(self.commit));
        let mut root = None;
        let mut folders = vec![String::new()];
        if self.files.contains(&"modules.json") {
            let modules = json::required(&self.get(&repo, "modules.json")?)?;
            let paths = modules.as_array().into_iter().flatten().filter_map(|module| module["path"].as_str());
            folders.extend(paths.filter(|path| is_bare(path)).map(|path| format!("{path}/")));
        }
        for folder in &folders {
            for file in FILES.iter().chain(&sentence::CONFIG_FILES) {
                let name = format!("{folder}{file}");
                if self.files.contains(&name.as_str()) {
                    let path = self.get(&repo, &name)?;
                    root = root.or_else(|| folder.is_empty().then(|| path.parent().map(Path::to_owned)).flatten());
                }
            }
        }
        let root = root.ok_or_else(|| {
            refuse(
                format_args!("{} has no config.json", self.id.name),
                "Kinglet converts models of `transformers`, and this one is of another program",
            )
        })?;
        for folder in &folders {
            let mut names = weight_files().map(|file| format!("{folder}{file}"));
            let Some(weights) = names.find(|name| self.files.contains(&name.as_str())) else { continue };
            let path = self.get(&repo, &weights)?;
            if weights.ends_with(".index.json") {
                let index = json::required(&path)?;
                let mut shards: Vec<&str> = index["weight_map"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter_map(|(_, file)| file.as_str())
                    .collect();
                shards.sort_unstable();
                shards.dedup();
                for shard in shards.into_iter().filter(|shard| is_bare(shard)) {
                    self.get(&repo, &format!("{folder}{shard}"))?;
                }
            }
        }
        Ok(root)
    }

    fn get(&self, repo: &ApiRepo, file: &str) -> Result<PathBuf> {
        let path = again(|| repo.get(file)).map_err(|error| self.id.explain(error, self.endpoint, Some(file)))?;
        let len = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
        if len == 0 {
            return Err(refuse(format_args!("{file} of {} is empty", self.id.name), "name another revision"));
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_an_owner_a_name_and_perhaps_a_revision() {
        let id = |name: &str, revision: &str| Some(Id { name: name.to_owned(), revision: revision.to_owned() });
        assert_eq!(Id::parse("org/name"), id("org/name", "main"));
        assert_eq!(Id::parse("a-b/all-MiniLM-L6_v2.1@v2.0"), id("a-b/all-MiniLM-L6_v2.1", "v2.0"));
        assert_eq!(Id::parse("org/name@refs/pr/1"), id("org/name", "refs/pr/1"));
        for other in [
            "name",
            "./org/name",
            "/org/name",
            "../name",
            "org/../name",
            "org/name/more",
            "org/",
            "/name",
            "org/na me",
            "org/name@",
            "org/name@../x",
            "org/name@a b",
            "C:\\org/name",
            "org/name@x/",
        ] {
            assert_eq!(Id::parse(other), None, "{other}");
        }
    }
}
