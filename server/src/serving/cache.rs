//! The last served model on disk: `served.onnx`, with its version and hash in `served.json`. The hash identifies the registry,
//! since other registries have the same version numbers.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use files::write_atomic;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use storage::MAX_MODEL_BYTES;

const FILE: &str = "served.onnx";
const LABEL: &str = "served.json";

#[derive(Serialize, Deserialize)]
struct Label {
    version: i64,
    sha256: Vec<u8>,
}

/// Stores a model.
///
/// # Errors
/// The disk is full or the folder is not writable.
pub(crate) fn write(folder: &Path, version: i64, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let label = serde_json::to_vec(&Label { version, sha256: Sha256::digest(bytes).to_vec() })?;
    write_atomic(&folder.join(FILE), bytes)?;
    // Until both are written, the hash does not match and neither is used.
    write_atomic(&folder.join(LABEL), &label)
}

/// A stored model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CachedModel {
    /// Its version in the registry.
    pub(crate) version: i64,
    /// The hash of the file.
    pub(crate) sha256: Vec<u8>,
    /// The file.
    pub(crate) bytes: Vec<u8>,
}

/// Whether a model is stored.
#[must_use]
pub fn is_model_cached(folder: &Path) -> bool {
    folder.join(LABEL).exists()
}

/// The stored model, if any.
///
/// # Errors
/// It cannot be read, or is damaged.
pub(crate) fn read(folder: &Path) -> io::Result<Option<CachedModel>> {
    let label = match fs::read(folder.join(LABEL)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        label => label?,
    };
    let Label { version, sha256 } = serde_json::from_slice(&label)?;
    let file = folder.join(FILE);
    if fs::metadata(&file)?.len() > MAX_MODEL_BYTES {
        return Err(io::Error::new(ErrorKind::InvalidData, "it exceeds the maximum model size"));
    }
    let bytes = fs::read(file)?;
    if *Sha256::digest(&bytes) == *sha256 {
        Ok(Some(CachedModel { version, sha256, bytes }))
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
        assert_eq!(read(&folder).unwrap(), None);
        write(&folder, 3, b"three").unwrap();
        write(&folder, 4, b"four").unwrap();
        let kept = CachedModel { version: 4, sha256: Sha256::digest(b"four").to_vec(), bytes: b"four".to_vec() };
        assert_eq!(read(&folder).unwrap(), Some(kept));
        fs::write(folder.join(FILE), b"fou").unwrap();
        assert_eq!(read(&folder).unwrap_err().kind(), ErrorKind::InvalidData);
        // A sparse file, which is not read.
        fs::File::create(folder.join(FILE)).unwrap().set_len(4 << 30).unwrap();
        assert_eq!(read(&folder).unwrap_err().to_string(), "it exceeds the maximum model size");
    }
}
