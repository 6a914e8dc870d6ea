//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file that takes its name, and the place of what had that name before, only when it is complete and on the disk.
/// Dropped before, it is gone; what a killed process left of it is overwritten by the next.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    is_finished: bool,
}

impl AtomicFile {
    /// Begins to write the file.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn create(path: &Path) -> Result<Self> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).map_err(Error::file("write", &partial))?;
        Ok(Self { path: path.to_owned(), partial, file: BufWriter::with_capacity(1 << 16, file), is_finished: false })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// A disk that is full or broken; what had the name before keeps it then.
    pub fn finish(mut self) -> Result<()> {
        self.rename().map_err(Error::file("write", &self.path))?;
        self.is_finished = true;
        Ok(())
    }

    fn rename(&mut self) -> std::io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(&self.partial, &self.path)?;
        // The new name itself is only safe once the folder is.
        match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_file(&self.partial);
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}
