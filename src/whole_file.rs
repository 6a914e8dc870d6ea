//! Output files that are there whole or not at all, whatever ends the command that writes them.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::NamedTempFile;

use crate::output::{is_stream, unless_unread};

/// A file that takes its name once it is complete. Dropped before, it is gone, and what had the name keeps it.
#[derive(Debug)]
pub struct WholeFile {
    temporary: NamedTempFile,
    target: PathBuf,
    is_stream: bool,
}

impl WholeFile {
    /// Begins the file.
    ///
    /// # Errors
    /// Its folder cannot be written to.
    pub fn create(path: &Path) -> Result<Self> {
        let is_stream = is_stream(path);
        // A link stays where it is: what it leads to is replaced.
        let target = if is_stream { None } else { path.canonicalize().ok() }.unwrap_or_else(|| path.to_owned());
        let folder = if is_stream {
            std::env::temp_dir()
        } else {
            let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
            folder.unwrap_or(Path::new(".")).to_owned()
        };
        let mut temporary = tempfile::Builder::new();
        // As any other new file, for all whom the umask lets.
        let temporary = temporary.permissions(Permissions::from_mode(0o666)).tempfile_in(folder);
        let temporary = temporary.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { temporary, target, is_stream })
    }

    /// Writes a file in one go.
    ///
    /// # Errors
    /// The disk is full or broken, or the folder cannot be written to.
    pub fn write(path: &Path, content: &[u8]) -> Result<()> {
        let mut file = Self::create(path)?;
        file.temporary.write_all(content).with_context(|| format!("{} cannot be written", path.display()))?;
        file.finish()
    }

    /// Where to write to.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn writer(&self) -> Result<File> {
        self.temporary.reopen().with_context(|| format!("{} cannot be written", self.target.display()))
    }

    /// Gives the file its name. A pipe, a device or a standard stream gets the content instead.
    ///
    /// # Errors
    /// The disk is full or broken.
    pub fn finish(self) -> Result<()> {
        let Self { temporary, target, is_stream } = self;
        let finished = if is_stream {
            // Whatever an open file holds already stays.
            let stream = File::options().append(true).open(&target);
            unless_unread(stream.and_then(|mut stream| io::copy(&mut temporary.reopen()?, &mut stream).map(drop)))
        } else {
            temporary.persist(&target).map(drop).map_err(|error| error.error)
        };
        finished.with_context(|| format!("{} cannot be written", target.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        std::fs::write(&path, "before").unwrap();
        let left = WholeFile::create(&path).unwrap();
        left.writer().unwrap().write_all(b"half").unwrap();
        drop(left);
        assert_eq!(std::fs::read(&path).unwrap(), b"before");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        WholeFile::write(&path, b"after").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"after");
    }

    #[test]
    fn links_and_devices_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("out.csv"), folder.path().join("link.csv"));
        std::fs::write(&path, "before").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        WholeFile::write(&link, b"after").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read(&path).unwrap(), b"after");
        WholeFile::write(Path::new("/dev/null"), b"gone").unwrap();
    }
}
