//! The folder of this process for uploads and results, gone with it. What a killed server left is removed by the next.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// What the folders are called, before some letters of their own.
const PREFIX: &str = "scratch-";
/// The file in each that its server holds a lock on as long as it lives.
const LOCK: &str = "lock";
/// The file beside them whose lock is held while folders are made and removed.
const MAKING: &str = "scratch.lock";
/// How the files of earlier versions began, which lay beside the model itself.
const EARLIER: [&str; 2] = ["upload-", "result-"];

/// A folder that only this process uses.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    /// Held open, and locked with it.
    _lock: File,
}

impl Scratch {
    /// Makes a folder within another, and removes those of servers that live no more.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        // Between the making of a folder and its lock, another server would take it for a dead one's.
        let making = File::create(folder.join(MAKING))?;
        making.lock()?;
        sweep(folder)?;
        let path = tempfile::Builder::new().prefix(PREFIX).tempdir_in(folder)?.keep();
        let lock = File::create(path.join(LOCK))?;
        lock.lock()?;
        Ok(Self { path, _lock: lock })
    }

    /// A file that is gone when nobody holds it any more.
    pub(crate) fn file(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::debug!(%error, "The server's own folder could not be removed; the next one will.");
        }
    }
}

/// Removes what servers left that were killed.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let (name, path) = entry.map(|entry| (entry.file_name(), entry.path()))?;
        let Some(name) = name.to_str() else { continue };
        let removed = if EARLIER.iter().any(|prefix| name.starts_with(prefix)) {
            fs::remove_file(&path)
        } else if name.starts_with(PREFIX) && path.is_dir() && !is_in_use(&path) {
            fs::remove_dir_all(&path)
        } else {
            continue;
        };
        match removed {
            Ok(()) => tracing::info!("Removed {name}, which an earlier server left."),
            Err(error) => tracing::warn!(%error, "{name}, which an earlier server left, could not be removed."),
        }
    }
    Ok(())
}

/// Whether a server that lives holds the lock of a folder. A lock that cannot be looked at is left alone.
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
    fn what_dead_servers_left_is_removed_and_what_others_use_is_not() {
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
        assert_eq!(left, [MAKING, "served.onnx"]);
        assert!(used.path().exists() && living.path.is_dir() && other.path.is_dir());
        assert_eq!(names(&folder).len(), 4);
        drop(living);
        drop(other);
        assert_eq!(names(&folder).len(), 2);
    }
}
