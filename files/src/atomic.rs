//! A file that appears complete or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::stream::{ignore_broken_pipe, is_stream};

const BUFFER: usize = 1 << 16;

/// A file that is written under a temporary name beside its own and takes its own once it is complete and on the disk.
/// Dropped before that, it is gone, and what had the name keeps it.
///
/// A stream (a pipe, a device, standard output) receives the whole content at that moment instead.
#[derive(Debug)]
pub struct AtomicFile {
    file: BufWriter<File>,
    /// `None` once the file has its own name.
    temporary: Option<TempPath>,
    target: PathBuf,
    is_stream: bool,
}

/// Writes a whole file: see [`AtomicFile`].
///
/// # Errors
/// The disk is full or broken, or the folder cannot be written to.
pub fn write_atomic(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(content)?;
    file.finish()
}

impl AtomicFile {
    /// Starts a file. Several processes may write the same one at a time: the last to finish wins.
    ///
    /// # Errors
    /// Its folder cannot be written to.
    pub fn create(path: &Path) -> io::Result<Self> {
        let is_stream = is_stream(path);
        // A symbolic link stays: the file that it points to is replaced.
        let target = if path.is_symlink() && !is_stream { path.canonicalize().ok() } else { None };
        let target = target.unwrap_or_else(|| path.to_owned());
        let folder = if is_stream { std::env::temp_dir() } else { folder_of(&target).to_owned() };
        let mut options = OpenOptions::new();
        // Readable to whom the umask lets, as any new file.
        options.read(true).write(true).create_new(true).mode(0o666);
        let temporary = tempfile::Builder::new()
            .prefix(&temporary_prefix(&target))
            .suffix(".partial")
            .make_in(folder, |path| options.open(path))?;
        Ok(Self::new(temporary, target, is_stream))
    }

    /// Starts a file in a folder that only this process writes to. The temporary name is always the same, so that the
    /// next attempt overwrites what a killed process left.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn create_in_own_folder(path: &Path) -> io::Result<Self> {
        let temporary = tempfile::Builder::new()
            .prefix(path.file_name().unwrap_or_default())
            .suffix(".partial")
            .rand_bytes(0)
            .make_in(folder_of(path), |path| File::create(path))?;
        Ok(Self::new(temporary, path.to_owned(), false))
    }

    /// Another handle on the file, for whoever writes it elsewhere.
    ///
    /// # Errors
    /// The system has no room for another open file.
    pub fn try_clone(&self) -> io::Result<File> {
        self.file.get_ref().try_clone()
    }

    /// Gives the file its name, replacing what had it.
    ///
    /// # Errors
    /// The disk is full or broken; what had the name keeps it.
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

    /// Gives the file its name or, where that is taken, the first free numbered one beside it, such as `rejects.2.csv`,
    /// and returns it. More may be written and published later, under the same name.
    ///
    /// # Errors
    /// The disk is full or broken.
    pub fn publish_new(&mut self) -> io::Result<&Path> {
        self.sync()?;
        let Some(mut temporary) = self.temporary.take().filter(|_| !self.is_stream) else { return Ok(&self.target) };
        let wanted = self.target.clone();
        for path in std::iter::once(wanted.clone()).chain(numbered(&wanted)) {
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

    /// Brings everything written so far to the disk, or to the stream.
    fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        let file = self.file.get_mut();
        if !self.is_stream {
            return file.sync_all();
        }
        file.rewind()?;
        // A stream that is redirected into a file keeps what that file holds.
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

/// A new name is only safe once the folder is on the disk too.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn numbered(path: &Path) -> impl Iterator<Item = PathBuf> {
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
    fn a_file_appears_complete_or_not_at_all() {
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
    fn a_full_disk_leaves_what_was_there() {
        // `/dev/full` accepts no byte.
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
    fn the_next_attempt_overwrites_what_a_killed_process_left() {
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
    fn links_and_devices_stay_what_they_are() {
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
    fn a_published_file_is_numbered_and_may_grow() {
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
