//! Atomic file writes.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::stream::{ignore_broken_pipe, is_stream};

const BUFFER: usize = 1 << 16;

/// A file that is written under a temporary name and renamed once it is complete and synced. If it is dropped before
/// that, it is removed, and an existing file is left unchanged.
///
/// If the target is a stream (a pipe, a device, standard output), the whole content is written to it at the end instead.
#[derive(Debug)]
pub struct AtomicFile {
    file: BufWriter<File>,
    /// `None` once the file has its final name.
    temporary: Option<TempPath>,
    target: PathBuf,
    is_stream: bool,
}

/// Writes a whole file atomically; see [`AtomicFile`].
///
/// # Errors
/// An I/O error: for example, the disk is full or the folder is not writable.
pub fn write_atomic(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(content)?;
    file.finish()
}

impl AtomicFile {
    /// Creates a file. Several processes may write the same file at once; the last to finish wins.
    ///
    /// # Errors
    /// The folder is not writable.
    pub fn create(path: &Path) -> io::Result<Self> {
        let is_stream = is_stream(path);
        // A symbolic link is kept: the file it points to is replaced.
        let target = if path.is_symlink() && !is_stream { path.canonicalize().ok() } else { None };
        let target = target.unwrap_or_else(|| path.to_owned());
        let folder = if is_stream { std::env::temp_dir() } else { folder_of(&target).to_owned() };
        let mut options = OpenOptions::new();
        // The umask applies, as for any new file; `tempfile` would use 0600.
        options.read(true).write(true).create_new(true).mode(0o666);
        let temporary = tempfile::Builder::new()
            .prefix(&temporary_prefix(&target))
            .suffix(".partial")
            .make_in(folder, |path| options.open(path))?;
        Ok(Self::new(temporary, target, is_stream))
    }

    /// Creates a file in a folder that only this process writes to. The temporary name is fixed, so that the next attempt
    /// overwrites leftovers of a killed process.
    ///
    /// # Errors
    /// The folder is not writable.
    pub fn create_in_own_folder(path: &Path) -> io::Result<Self> {
        let temporary = tempfile::Builder::new()
            .prefix(path.file_name().unwrap_or_default())
            .suffix(".partial")
            .rand_bytes(0)
            .make_in(folder_of(path), |path| File::create(path))?;
        Ok(Self::new(temporary, path.to_owned(), false))
    }

    /// Returns another handle to the file.
    ///
    /// # Errors
    /// The limit of open files is reached.
    pub fn try_clone(&self) -> io::Result<File> {
        self.file.get_ref().try_clone()
    }

    /// Renames the file to its final name, replacing an existing file.
    ///
    /// # Errors
    /// An I/O error; an existing file is left unchanged.
    pub fn finish(mut self) -> io::Result<()> {
        self.sync()?;
        if let Some(temporary) = self.temporary.take()
            && !self.is_stream
        {
            temporary.persist(&self.target).map_err(|error| error.error)?;
            sync_folder(&self.target)?;
        }
        Ok(())
    }

    /// Renames the file to its final name or, if that is taken, to the first free numbered one, such as `rejects.2.csv`,
    /// and returns the path. More content may be written and published later under the same name.
    ///
    /// # Errors
    /// An I/O error.
    pub fn publish_new(&mut self) -> io::Result<&Path> {
        self.sync()?;
        let Some(mut temporary) = self.temporary.take().filter(|_| !self.is_stream) else { return Ok(&self.target) };
        let first = self.target.clone();
        for path in std::iter::once(first.clone()).chain(numbered_paths(&first)) {
            match temporary.persist_noclobber(&path) {
                Ok(()) => {
                    sync_folder(&path)?;
                    self.target = path;
                    break;
                }
                Err(taken) if taken.error.kind() == ErrorKind::AlreadyExists && !path.is_dir() => {
                    temporary = taken.path;
                }
                Err(failed) => return Err(failed.error),
            }
        }
        Ok(&self.target)
    }

    fn new(temporary: tempfile::NamedTempFile<File>, target: PathBuf, is_stream: bool) -> Self {
        let (file, temporary) = temporary.into_parts();
        Self { file: BufWriter::with_capacity(BUFFER, file), temporary: Some(temporary), target, is_stream }
    }

    /// Syncs everything written so far to the disk, or copies it to the stream.
    fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        let file = self.file.get_mut();
        if !self.is_stream {
            return file.sync_all();
        }
        file.rewind()?;
        // Append, so that a stream redirected into a file does not truncate it.
        let mut stream = File::options().append(true).open(&self.target)?;
        ignore_broken_pipe(io::copy(file, &mut stream).map(drop))?;
        file.set_len(0)?;
        file.rewind()
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn temporary_prefix(target: &Path) -> String {
    format!("{}.", target.file_name().unwrap_or_default().display())
}

/// A rename is only durable once the folder is synced too.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn numbered_paths(path: &Path) -> impl Iterator<Item = PathBuf> {
    let suffix = path.extension().map_or_else(String::new, |extension| format!(".{}", extension.display()));
    (2_u32..).map(move |number| path.with_extension(format!("{number}{suffix}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_replaced_atomically() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        std::fs::write(&path, "before").unwrap();
        let mut dropped = AtomicFile::create(&path).unwrap();
        dropped.write_all(b"half").unwrap();
        dropped.flush().unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        drop(dropped);
        assert_eq!(names(folder.path()), ["out.csv"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"before");
        write_atomic(&path, b"after").unwrap();
        assert_eq!(names(folder.path()), ["out.csv"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"after");
    }

    #[test]
    fn a_full_disk_leaves_the_existing_file() {
        // Every write to `/dev/full` fails.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        std::fs::write(&path, "the last good one").unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join("checkpoint.partial")).unwrap();
        let mut file = AtomicFile::create_in_own_folder(&path).unwrap();
        file.write_all(b"the next one").unwrap();
        assert_eq!(file.finish().unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "the last good one");
        assert_eq!(names(folder.path()), ["checkpoint"]);
    }

    #[test]
    fn leftovers_of_a_killed_process_are_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        std::fs::write(folder.path().join("spool.partial"), "left by a killed process").unwrap();
        let mut file = AtomicFile::create_in_own_folder(&path).unwrap();
        file.write_all(b"new").unwrap();
        file.finish().unwrap();
        assert_eq!(names(folder.path()), ["spool"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn links_and_devices_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("out.csv"), folder.path().join("link.csv"));
        std::fs::write(&path, "before").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write_atomic(&link, b"after").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read(&path).unwrap(), b"after");
        write_atomic(Path::new("/dev/null"), b"gone").unwrap();
    }

    #[test]
    fn published_files_are_numbered_and_may_grow() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects.csv");
        std::fs::write(&path, "of another import").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"one").unwrap();
        let second = folder.path().join("rejects.2.csv");
        assert_eq!(file.publish_new().unwrap(), second);
        file.write_all(b", two").unwrap();
        assert_eq!(file.publish_new().unwrap(), second);
        drop(file);
        assert_eq!(std::fs::read_to_string(&second).unwrap(), "one, two");
        assert_eq!(names(folder.path()), ["rejects.2.csv", "rejects.csv"]);
    }
}
