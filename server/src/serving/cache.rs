//! The last served models on disk: `served.onnx` with its version and hash in `served.json`, and for other tasks than `price`
//! `served-TASK.onnx`. The hash identifies the registry, since other registries have the same version numbers.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use domain::task::PRICE;
use files::write_atomic;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use storage::{MAX_MODEL_BYTES, ModelFile};

const NAME: &str = "served";

#[derive(Serialize, Deserialize)]
struct Label {
    version: i64,
    sha256: Vec<u8>,
}

/// The model file and the label of a task.
fn paths(folder: &Path, task: &str) -> [PathBuf; 2] {
    let name = if task == PRICE { NAME.to_owned() } else { format!("{NAME}-{task}") };
    ["onnx", "json"].map(|extension| folder.join(format!("{name}.{extension}")))
}

/// Stores a model.
///
/// # Errors
/// The disk is full or the folder is not writable.
pub(crate) fn write(folder: &Path, task: &str, version: i64, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let [file, label] = paths(folder, task);
    let content = serde_json::to_vec(&Label { version, sha256: Sha256::digest(bytes).to_vec() })?;
    write_atomic(&file, bytes)?;
    // Until both are written, the hash does not match and neither is used.
    write_atomic(&label, &content)
}

/// A stored model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CachedModel {
    /// Its version and hash.
    pub(crate) file: ModelFile,
    /// The file.
    pub(crate) bytes: Vec<u8>,
}

/// Whether a model is stored.
#[must_use]
pub fn is_model_cached(folder: &Path) -> bool {
    labels(folder).is_ok_and(|labels| !labels.is_empty())
}

/// The stored model of a task, if any.
///
/// # Errors
/// It cannot be read, or is damaged.
pub(crate) fn read(folder: &Path, task: &str) -> io::Result<Option<CachedModel>> {
    let [file, label] = paths(folder, task);
    read_labelled(&file, &label)
}

/// The stored models of all tasks that can be read.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn read_all(folder: &Path) -> io::Result<Vec<CachedModel>> {
    let models = labels(folder)?.into_iter().filter_map(|label| {
        read_labelled(&label.with_extension("onnx"), &label).unwrap_or_else(|error| {
            tracing::warn!(%error, "The cached model {} cannot be read.", label.display());
            None
        })
    });
    Ok(models.collect())
}

/// The labels of all stored models.
fn labels(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let is_label = |path: &PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        path.extension().is_some_and(|extension| extension == "json")
            && (name == NAME || name.starts_with(&format!("{NAME}-")))
    };
    let mut labels: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_label).collect();
    labels.sort_unstable();
    Ok(labels)
}

fn read_labelled(file: &Path, label: &Path) -> io::Result<Option<CachedModel>> {
    let label = match fs::read(label) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        label => label?,
    };
    let Label { version, sha256 } = serde_json::from_slice(&label)?;
    if fs::metadata(file)?.len() > MAX_MODEL_BYTES {
        return Err(io::Error::new(ErrorKind::InvalidData, "it exceeds the maximum model size"));
    }
    let bytes = fs::read(file)?;
    if *Sha256::digest(&bytes) == *sha256 {
        Ok(Some(CachedModel { file: ModelFile { version, sha256 }, bytes }))
    } else {
        Err(io::Error::new(ErrorKind::InvalidData, "it is damaged"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_model_is_read_back_unless_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("deeper");
        assert_eq!(read(&folder, PRICE).unwrap(), None);
        assert!(!is_model_cached(&folder) && read_all(&folder).unwrap().is_empty());
        write(&folder, PRICE, 3, b"three").unwrap();
        write(&folder, PRICE, 4, b"four").unwrap();
        write(&folder, "gb-price", 5, b"five").unwrap();
        let model = |version, bytes: &[u8]| {
            let file = ModelFile { version, sha256: Sha256::digest(bytes).to_vec() };
            CachedModel { file, bytes: bytes.to_vec() }
        };
        assert_eq!(read(&folder, PRICE).unwrap(), Some(model(4, b"four")));
        assert_eq!(read_all(&folder).unwrap(), [model(5, b"five"), model(4, b"four")]);
        assert!(is_model_cached(&folder));
        let file = folder.join("served.onnx");
        fs::write(&file, b"fou").unwrap();
        assert_eq!(read(&folder, PRICE).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(read_all(&folder).unwrap(), [model(5, b"five")]);
        // A sparse file, which is not read.
        fs::File::create(file).unwrap().set_len(4 << 30).unwrap();
        assert_eq!(read(&folder, PRICE).unwrap_err().to_string(), "it exceeds the maximum model size");
    }
}
