//! Opening files and folders without following links: as root, a planted link must not redirect us to another file.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// More than the size of PostgreSQL's own status files.
const MAX_SMALL_BYTES: u64 = 64 * 1024;

/// Opens a file for appending, creating it if it is missing.
pub(crate) fn open_for_append(path: &Path) -> Result<File> {
    let file = open_regular(OpenOptions::new().create(true).append(true), path)?;
    // A hard link redirects as well as a symbolic one.
    if file.metadata()?.nlink() > 1 {
        Err(invalid_input("it has another name (a hard link); remove it"))
    } else {
        Ok(file)
    }
}

/// Opens a file for reading.
pub(crate) fn open_for_read(path: &Path) -> Result<File> {
    open_regular(OpenOptions::new().read(true), path)
}

/// Reads a small file.
pub(crate) fn read_small(path: &Path) -> Result<String> {
    let mut text = String::new();
    open_for_read(path)?.take(MAX_SMALL_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Opens a folder.
pub(crate) fn open_folder(path: &Path) -> Result<File> {
    open(OpenOptions::new().read(true), OFlags::DIRECTORY, path)
}

/// Opens a regular file, without blocking on a pipe.
fn open_regular(options: &mut OpenOptions, path: &Path) -> Result<File> {
    let file = open(options, OFlags::NONBLOCK, path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(invalid_input("it is not a regular file; remove it")) }
}

fn open(options: &mut OpenOptions, flags: OFlags, path: &Path) -> Result<File> {
    let flags = (flags | OFlags::NOFOLLOW).bits().cast_signed();
    options.custom_flags(flags).open(path).map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::LOOP.raw_os_error() => invalid_input("it is a symbolic link; remove it"),
        _ => error,
    })
}

fn invalid_input(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, reason)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    #[test]
    fn links_are_not_followed_and_pipes_do_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("secret"), "untouched").unwrap();
        symlink(path("secret"), path("link")).unwrap();
        symlink(path("missing"), path("dangling")).unwrap();
        fs::hard_link(path("secret"), path("second")).unwrap();
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        for name in ["link", "dangling", "second", "pipe", "."] {
            assert!(open_for_append(&path(name)).is_err(), "{name}");
        }
        for name in ["link", "dangling", "pipe", "."] {
            assert!(read_small(&path(name)).is_err(), "{name}");
        }
        assert_eq!(open_for_append(&path("link")).unwrap_err().to_string(), "it is a symbolic link; remove it");
        assert!(open_folder(&path("link")).is_err());
        assert!(!path("missing").exists());
        assert_eq!(fs::read_to_string(path("secret")).unwrap(), "untouched");
        assert!(open_for_append(&path("new")).is_ok() && open_for_append(&path("new")).is_ok());
    }
}
