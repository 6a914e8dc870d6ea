//! Locating the PostgreSQL programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

const DEBIAN_FOLDER: &str = "/usr/lib/postgresql";

/// The folder with `initdb`, `pg_ctl` and `postgres`.
#[derive(Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Finds the programs in `folder` if it is set; otherwise those of the major `version` that created the data;
    /// otherwise the newest installed ones.
    #[expect(clippy::disallowed_methods, reason = "PATH is not a variable of the product")]
    pub(crate) fn find(folder: Option<&Path>, version: Option<&str>) -> Result<Self> {
        let missing = |searched: String| Error::NoServer { searched };
        if let Some(folder) = folder {
            let found = check_folder(folder).ok_or_else(|| missing(folder.display().to_string()))?;
            return Ok(Self { folder: found });
        }
        let debian = version.map(|version| Path::new(DEBIAN_FOLDER).join(version).join("bin"));
        debian
            .into_iter()
            .chain(debian_folders())
            .chain(pg_config_folder())
            .chain(std::env::var_os("PATH").iter().flat_map(std::env::split_paths))
            .find_map(|folder| check_folder(&folder))
            .map(|folder| Self { folder })
            .ok_or_else(|| missing(format!("{DEBIAN_FOLDER}, through pg_config, or in PATH")))
    }

    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// The absolute path of the folder, if it contains all the programs.
fn check_folder(folder: &Path) -> Option<PathBuf> {
    let is_complete = ["initdb", "pg_ctl", "postgres"].iter().all(|program| folder.join(program).is_file());
    if is_complete { folder.canonicalize().ok() } else { None }
}

/// The folders of the Debian packages, newest version first.
fn debian_folders() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(DEBIAN_FOLDER).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut versions: Vec<(u32, PathBuf)> = folders
        .filter_map(|folder| {
            let version = folder.file_name()?.to_str()?.parse().ok()?;
            Some((version, folder.join("bin")))
        })
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

fn pg_config_folder() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(folder.trim_end()))
}
