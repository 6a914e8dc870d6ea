//! The last model that served, on the disk of the server: `served.onnx` with its version and hash in `served.json`.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

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
    replace(folder, FILE, bytes)?;
    // Between the two, the label does not fit the file, and neither is used.
    replace(folder, LABEL, &label)
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
pub(crate) fn read(folder: &Path) -> io::Result<Option<(i64, Vec<u8>)>> {
    let label = match fs::read(folder.join(LABEL)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        label => label?,
    };
    let Label { version, sha256 } = serde_json::from_slice(&label)?;
    let bytes = fs::read(folder.join(FILE))?;
    if *Sha256::digest(&bytes) == *sha256 {
        Ok(Some((version, bytes)))
    } else {
        Err(io::Error::new(ErrorKind::InvalidData, "it is not the file that was written"))
    }
}

/// A file is there whole or not at all, also where several servers of one folder write it at the same time.
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(name)).map_err(|error| error.error)?;
    Ok(())
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
        assert_eq!(read(&folder).unwrap(), Some((4, b"four".to_vec())));
        fs::write(folder.join(FILE), b"fou").unwrap();
        assert_eq!(read(&folder).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
