//! The location and ownership of the cluster's files.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use crate::account::Account;
use crate::error::{Error, Result};
use crate::nofollow;

/// Only used in the name of the socket: the server does not listen on a network.
pub(crate) const PORT: u16 = 5432;

const SHARED_PARENT: &str = "/var/lib/probeg";
/// Maximum length of a Unix socket path in bytes, without the terminating NUL.
const MAX_SOCKET_BYTES: usize = 107;
const DATA_DIRECTORY: &str = "data";

/// The folders and files of one cluster.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The parent of the data directory, mode 0700, owned by the server's account.
    pub(crate) directory: PathBuf,
    /// PostgreSQL's data directory; it only exists once it is complete.
    pub(crate) data: PathBuf,
    /// The folder of the socket, mode 0700, owned by the server's account.
    pub(crate) socket: String,
    /// The server's log, in the home folder; opened by this process, not by the server's account.
    pub(crate) log: PathBuf,
}

impl Layout {
    /// Chooses the folders for the cluster of `home` (absolute, without symbolic links) and creates missing ones.
    pub(crate) fn prepare(home: &Path, account: Account) -> Result<Self> {
        let directory = choose_directory(home, account)?;
        claim_directory(&directory, account)?;
        let socket = socket_directory(&directory);
        claim_directory(&socket, account)?;
        let socket = socket.into_os_string().into_string().map_err(|path| Error::PathNotText(path.into()))?;
        Ok(Self { data: directory.join(DATA_DIRECTORY), log: home.join("postgresql.log"), socket, directory })
    }

    /// The major version of PostgreSQL that created the data, if any.
    pub(crate) fn version(&self) -> Option<String> {
        nofollow::read_small(&self.data.join("PG_VERSION")).ok().map(|version| version.trim().to_owned())
    }
}

fn choose_directory(home: &Path, account: Account) -> Result<PathBuf> {
    let inside = home.join("cluster");
    if !account.drops_privileges || account.may_enter(home)? {
        return Ok(inside);
    }
    if inside.join(DATA_DIRECTORY).exists() {
        return Err(Error::HiddenCluster { path: inside, account: account.uid });
    }
    let outside = Path::new(SHARED_PARENT).join(hash_path(home));
    let pointer = home.join("cluster.location");
    if !pointer.exists() {
        move_leftover_aside(&outside)?;
        File::create_new(&pointer)
            .and_then(|mut file| writeln!(file, "{}", outside.display()))
            .map_err(Error::file("write", &pointer))?;
    }
    create_shared_parent()?;
    Ok(outside)
}

/// Moves the data of a deleted home out of the way: a new home must start empty.
fn move_leftover_aside(directory: &Path) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let aside = directory.with_extension(format!("old-{seconds}"));
    tracing::warn!(from = %directory.display(), to = %aside.display(), "The database of a deleted home was moved aside.");
    fs::rename(directory, &aside).map_err(Error::file("move aside", directory))
}

fn create_shared_parent() -> Result<()> {
    let parent = Path::new(SHARED_PARENT);
    if !parent.exists() {
        fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
        // The account must be able to enter it regardless of the umask.
        fs::set_permissions(parent, Permissions::from_mode(0o755))
            .map_err(Error::file("set the permissions of", parent))?;
    }
    Ok(())
}

/// The folder of the socket: inside the cluster, unless that path is too long for a socket.
fn socket_directory(directory: &Path) -> PathBuf {
    let inside = directory.join("socket");
    let name_length = format!("/.s.PGSQL.{PORT}").len();
    if inside.as_os_str().len() + name_length <= MAX_SOCKET_BYTES {
        return inside;
    }
    Path::new("/tmp").join(format!("probeg-{}", hash_path(directory)))
}

/// Ensures that a directory exists, is owned by the account and is closed to others.
fn claim_directory(path: &Path, account: Account) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(cause) if cause.kind() != ErrorKind::AlreadyExists => return Err(Error::file("create", path)(cause)),
        _ => {}
    }
    // All through one handle: in /tmp, anyone may replace the path by a link at any time.
    let folder = nofollow::open_folder(path).map_err(Error::file("open", path))?;
    let metadata = folder.metadata().map_err(Error::file("examine", path))?;
    let own_uid = rustix::process::geteuid().as_raw();
    if metadata.uid() == own_uid && account.uid != own_uid {
        fchown(&folder, Some(account.uid), Some(account.gid)).map_err(Error::file("change the owner of", path))?;
    } else if metadata.uid() != account.uid {
        return Err(Error::ForeignDirectory { path: path.to_owned(), owner: metadata.uid(), expected: account.uid });
    }
    if metadata.mode() & 0o777 != 0o700 {
        folder.set_permissions(Permissions::from_mode(0o700)).map_err(Error::file("set the permissions of", path))?;
    }
    Ok(())
}

/// A hash of a path, as 16 hexadecimal digits.
fn hash_path(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    format!("{:016x}", digest.iter().take(8).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current_account() -> Account {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Account { uid, gid, drops_privileges: false }
    }

    #[test]
    fn a_long_path_moves_the_socket_to_tmp() {
        let short = Path::new("/srv/probeg/cluster");
        assert_eq!(socket_directory(short), short.join("socket"));
        let long = Path::new("/srv").join("x".repeat(100));
        let socket = socket_directory(&long);
        assert!(socket.starts_with("/tmp"), "{}", socket.display());
        assert_ne!(socket, socket_directory(&long.join("y")));
    }

    #[test]
    fn foreign_directories_and_links_are_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let other = Account { uid: 4_000_001, gid: 4_000_001, drops_privileges: false };
        let path = folder.path().join("a");
        claim_directory(&path, current_account()).unwrap();
        claim_directory(&path, current_account()).unwrap();
        if current_account().uid != 0 {
            assert!(claim_directory(&path, other).is_err());
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(claim_directory(&link, current_account()), Err(Error::File { .. })));
    }

    #[test]
    fn a_directory_of_another_account_is_rejected() {
        if current_account().uid != 0 {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        claim_directory(&path, Account { uid: 65_534, gid: 65_534, drops_privileges: true }).unwrap();
        let postgres = Account { uid: 101, gid: 104, drops_privileges: true };
        let result = claim_directory(&path, postgres);
        assert!(matches!(result, Err(Error::ForeignDirectory { owner: 65_534, expected: 101, .. })));
    }
}
