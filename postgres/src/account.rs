//! The account that runs the server: PostgreSQL refuses to run as root.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Error, Result};

const PASSWD: &str = "/etc/passwd";
const ROOT: u32 = 0;

/// The user and group that the server runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether this process is root and drops privileges to run the server.
    pub(crate) drops_privileges: bool,
}

impl Account {
    /// The account that the server of this process runs as.
    pub(crate) fn for_server() -> Result<Self> {
        let uid = rustix::process::geteuid().as_raw();
        if uid != ROOT {
            return Ok(Self { uid, gid: rustix::process::getegid().as_raw(), drops_privileges: false });
        }
        let passwd = fs::read_to_string(PASSWD).map_err(Error::file("read", Path::new(PASSWD)))?;
        ["postgres", "nobody"].into_iter().find_map(|name| find_account(&passwd, name)).ok_or(Error::NoAccount)
    }

    /// Whether this account may enter `path` and all of its ancestors.
    pub(crate) fn may_enter(self, path: &Path) -> Result<bool> {
        for folder in path.ancestors() {
            let metadata = fs::metadata(folder).map_err(Error::file("examine", folder))?;
            if !self.may_traverse(&metadata) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn may_traverse(self, folder: &Metadata) -> bool {
        let execute = if folder.uid() == self.uid {
            0o100
        } else if folder.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        folder.mode() & execute != 0
    }
}

fn find_account(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok().filter(|uid| *uid != ROOT)?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { uid, gid, drops_privileges: true })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_match_by_full_name() {
        let passwd = "root:x:0:0::/:/bin/sh\npostgres2:x:7:8::/:\npostgres:x:101:104:a,b:/var/lib:/bin/sh\n";
        assert_eq!(find_account(passwd, "postgres"), Some(Account { uid: 101, gid: 104, drops_privileges: true }));
        assert_eq!(find_account(passwd, "nobody"), None);
        assert_eq!(find_account(passwd, "root"), None, "root is no account to drop to");
    }
}
