//! The last model that served, on the disk of the server: `served.onnx` with its version and hash in `served.json`. The
//! registry tells by the hash whether it is the champion: another registry has versions of the same numbers.

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

/// Keeps a model.
///
/// # Errors
/// The disk is full or the folder cannot be written to.
pub(crate) fn write(folder: &Path, version: i64, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let label = serde_json::to_vec(&Label { version, sha256: Sha256::digest(bytes).to_vec() })?;
    write_atomic(&folder.join(FILE), bytes)?;
    // Between the two, the label does not fit the file, and neither is used.
    write_atomic(&folder.join(LABEL), &label)
}

/// A model that was kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The version that it was registered as.
    pub(crate) version: i64,
    /// Of the file.
    pub(crate) sha256: Vec<u8>,
    /// The file.
    pub(crate) bytes: Vec<u8>,
}

/// Whether a model was kept.
#[must_use]
pub fn holds_model(folder: &Path) -> bool {
    folder.join(LABEL).exists()
}

/// The model that was kept last, if any.
///
/// # Errors
/// It cannot be read, or is not whole.
pub(crate) fn read(folder: &Path) -> io::Result<Option<Kept>> {
    let label = match fs::read(folder.join(LABEL)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        label => label?,
    };
    let Label { version, sha256 } = serde_json::from_slice(&label)?;
    let file = folder.join(FILE);
    if fs::metadata(&file)?.len() > MAX_MODEL_BYTES {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is larger than any model"));
    }
    let bytes = fs::read(file)?;
    if *Sha256::digest(&bytes) == *sha256 {
        Ok(Some(Kept { version, sha256, bytes }))
    } else {
        Err(io::Error::new(ErrorKind::InvalidData, "it is not the file that was written"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_model_comes_back_and_a_damaged_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("deeper");
        assert_eq!(read(&folder).unwrap(), None);
        write(&folder, 3, b"three").unwrap();
        write(&folder, 4, b"four").unwrap();
        let kept = Kept { version: 4, sha256: Sha256::digest(b"four").to_vec(), bytes: b"four".to_vec() };
        assert_eq!(read(&folder).unwrap(), Some(kept));
        fs::write(folder.join(FILE), b"fou").unwrap();
        assert_eq!(read(&folder).unwrap_err().kind(), ErrorKind::InvalidData);
        // Nothing of it is on the disk, and none of it is read.
        fs::File::create(folder.join(FILE)).unwrap().set_len(4 << 30).unwrap();
        assert_eq!(read(&folder).unwrap_err().to_string(), "it is larger than any model");
    }
}
