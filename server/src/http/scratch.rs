//! The scratch folder of this process for uploads and results, removed on exit. If the process is killed, the next server
//! removes it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The prefix of the folder names.
const PREFIX: &str = "scratch-";
/// The lock file in each folder, which its server holds.
const LOCK: &str = "lock";
/// The lock file for creating and removing folders.
const FOLDERS_LOCK: &str = "scratch.lock";
/// The prefixes of scratch files of earlier versions, which had no folder of their own.
const OLD_PREFIXES: [&str; 2] = ["upload-", "result-"];

/// A folder that only this process uses.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    /// Locked while it is open.
    _lock: File,
}

impl Scratch {
    /// Creates a scratch folder in `folder`, and removes those of servers that no longer run.
    ///
    /// # Errors
    /// The folder is not writable.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        // Otherwise another server could remove the new folder before it is locked.
        let folders = File::create(folder.join(FOLDERS_LOCK))?;
        folders.lock()?;
        remove_leftovers(folder)?;
        let path = tempfile::Builder::new().prefix(PREFIX).tempdir_in(folder)?.keep();
        let lock = File::create(path.join(LOCK))?;
        lock.lock()?;
        Ok(Self { path, _lock: lock })
    }

    /// A temporary file in the folder.
    pub(crate) fn file(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::debug!(%error, "The scratch folder could not be removed; the next server will remove it.");
        }
    }
}

/// Removes the scratch files of killed servers.
fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let (name, path) = entry.map(|entry| (entry.file_name(), entry.path()))?;
        let Some(name) = name.to_str() else { continue };
        let removed = if OLD_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            fs::remove_file(&path)
        } else if name.starts_with(PREFIX) && path.is_dir() && !is_in_use(&path) {
            fs::remove_dir_all(&path)
        } else {
            continue;
        };
        match removed {
            Ok(()) => tracing::info!("Removed {name}, left by an earlier server."),
            Err(error) => tracing::warn!(%error, "{name}, left by an earlier server, could not be removed."),
        }
    }
    Ok(())
}

/// Whether a running server holds the lock of a folder, or may hold it.
fn is_in_use(path: &Path) -> bool {
    match File::open(path.join(LOCK)) {
        Ok(lock) => match lock.try_lock() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => true,
        },
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn leftovers_are_removed_and_folders_in_use_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("server");
        let living = Scratch::create(&folder).unwrap();
        let used = living.file().unwrap();
        for dead in ["scratch-dead", "scratch-unlocked"] {
            fs::create_dir(folder.join(dead)).unwrap();
            fs::write(folder.join(dead).join("upload"), "x").unwrap();
        }
        fs::write(folder.join("scratch-dead").join(LOCK), "").unwrap();
        for left in ["upload-Ab12", "result-Cd34", "served.onnx"] {
            fs::write(folder.join(left), "x").unwrap();
        }
        let other = Scratch::create(&folder).unwrap();
        let mut left = names(&folder);
        left.retain(|name| !name.starts_with(PREFIX));
        left.sort();
        assert_eq!(left, [FOLDERS_LOCK, "served.onnx"]);
        assert!(used.path().exists() && living.path.is_dir() && other.path.is_dir());
        assert_eq!(names(&folder).len(), 4);
        drop(living);
        drop(other);
        assert_eq!(names(&folder).len(), 2);
    }
}
