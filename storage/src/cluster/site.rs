//! Where the cluster's files are, and whose they are.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::account::Account;
use super::files;
use super::server::PORT;
use crate::error::{Error, Result};

const SHARED_PARENT: &str = "/var/lib/probeg";
/// The longest path of a Unix socket in bytes, without the closing zero.
const LONGEST_SOCKET: usize = 107;
const DATA: &str = "data";

/// The folders and files of one cluster.
#[derive(Debug)]
pub(super) struct Site {
    /// Holds everything else, mode 0700, owned by the server's account.
    pub(super) directory: PathBuf,
    /// PostgreSQL's data directory; does not exist before it is complete.
    pub(super) data: PathBuf,
    /// The folder of the socket, mode 0700, owned by the server's account.
    pub(super) socket: String,
    /// The server's log; in the home, which is not the account's, as root opens it.
    pub(super) log: PathBuf,
}

impl Site {
    /// Chooses the folders for the cluster of `home` (absolute, without symbolic links) and makes
    /// those that are missing.
    pub(super) fn prepare(home: &Path, account: Account) -> Result<Self> {
        let directory = choose_directory(home, account)?;
        own_directory(&directory, account)?;
        let socket = socket_directory(&directory);
        own_directory(&socket, account)?;
        let socket = socket.into_os_string().into_string().map_err(|path| Error::PathNotText(path.into()))?;
        Ok(Self { data: directory.join(DATA), log: home.join("postgresql.log"), socket, directory })
    }

    /// The major version of PostgreSQL that the data was made by, if there is data.
    pub(super) fn version(&self) -> Option<String> {
        files::read_small(&self.data.join("PG_VERSION")).ok().map(|version| version.trim().to_owned())
    }
}

fn choose_directory(home: &Path, account: Account) -> Result<PathBuf> {
    let inside = home.join("cluster");
    if !account.is_dropped_to || account.may_enter(home)? {
        return Ok(inside);
    }
    if inside.join(DATA).exists() {
        return Err(Error::HiddenCluster { path: inside, account: account.uid });
    }
    let outside = Path::new(SHARED_PARENT).join(hash(home));
    let pointer = home.join("cluster.location");
    if !pointer.exists() {
        set_aside_leftover(&outside)?;
        File::create_new(&pointer)
            .and_then(|mut file| writeln!(file, "{}", outside.display()))
            .map_err(Error::file("write", &pointer))?;
    }
    make_shared_parent()?;
    Ok(outside)
}

/// Whoever deletes a home expects to begin anew, so the data of a deleted home is not found again.
fn set_aside_leftover(directory: &Path) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let aside = directory.with_extension(format!("old-{seconds}"));
    tracing::warn!(from = %directory.display(), to = %aside.display(), "The database of a deleted home was set aside.");
    fs::rename(directory, &aside).map_err(Error::file("set aside", directory))
}

fn make_shared_parent() -> Result<()> {
    let parent = Path::new(SHARED_PARENT);
    if !parent.exists() {
        fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
        // The account must pass through it whatever the umask is.
        fs::set_permissions(parent, Permissions::from_mode(0o755)).map_err(Error::file("open up", parent))?;
    }
    Ok(())
}

fn socket_directory(directory: &Path) -> PathBuf {
    let near = directory.join("socket");
    let name_length = format!("/.s.PGSQL.{PORT}").len();
    if near.as_os_str().len() + name_length <= LONGEST_SOCKET {
        return near;
    }
    Path::new("/tmp").join(format!("probeg-{}", hash(directory)))
}

/// Makes sure that a directory exists, is nobody else's and is closed to others.
fn own_directory(path: &Path, account: Account) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(cause) if cause.kind() != ErrorKind::AlreadyExists => return Err(Error::file("create", path)(cause)),
        _ => {}
    }
    // Through one open folder: in /tmp, anybody may put a link here, at any time.
    let folder = files::open_folder(path).map_err(Error::file("open", path))?;
    let metadata = folder.metadata().map_err(Error::file("examine", path))?;
    let ours = rustix::process::geteuid().as_raw();
    if metadata.uid() == ours && account.uid != ours {
        fchown(&folder, Some(account.uid), Some(account.gid)).map_err(Error::file("give away", path))?;
    } else if metadata.uid() != account.uid {
        return Err(Error::ForeignDirectory { path: path.to_owned(), owner: metadata.uid(), expected: account.uid });
    }
    if metadata.mode() & 0o777 != 0o700 {
        folder.set_permissions(Permissions::from_mode(0o700)).map_err(Error::file("close", path))?;
    }
    Ok(())
}

/// Sixteen hexadecimal digits that tell paths apart.
fn hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    format!("{:016x}", digest.iter().take(8).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current() -> Account {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Account { uid, gid, is_dropped_to: false }
    }

    #[test]
    fn a_long_path_moves_the_socket_but_not_the_data() {
        let short = Path::new("/srv/probeg/cluster");
        assert_eq!(socket_directory(short), short.join("socket"));
        let long = Path::new("/srv").join("x".repeat(100));
        let socket = socket_directory(&long);
        assert!(socket.starts_with("/tmp"), "{}", socket.display());
        assert_ne!(socket, socket_directory(&long.join("y")));
    }

    #[test]
    fn directories_of_others_and_links_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let stranger = Account { uid: 4_000_001, gid: 4_000_001, is_dropped_to: false };
        let path = folder.path().join("a");
        own_directory(&path, current()).unwrap();
        own_directory(&path, current()).unwrap();
        if current().uid != 0 {
            assert!(own_directory(&path, stranger).is_err());
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(own_directory(&link, current()), Err(Error::File { .. })));
    }

    #[test]
    fn a_directory_of_another_account_is_refused() {
        if current().uid != 0 {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        own_directory(&path, Account { uid: 65_534, gid: 65_534, is_dropped_to: true }).unwrap();
        let postgres = Account { uid: 101, gid: 104, is_dropped_to: true };
        let refused = own_directory(&path, postgres);
        assert!(matches!(refused, Err(Error::ForeignDirectory { owner: 65_534, expected: 101, .. })));
    }
}
