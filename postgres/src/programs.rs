//! Where the programs of PostgreSQL are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

const DEBIAN: &str = "/usr/lib/postgresql";

/// The folder of `initdb`, `pg_ctl` and `postgres`.
#[derive(Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Finds the programs: in the `given` folder; else those of the major `version` that the data was made by; else the
    /// newest that are installed.
    #[expect(clippy::disallowed_methods, reason = "the search path of programs, as every program reads it")]
    pub(crate) fn find(given: Option<&Path>, version: Option<&str>) -> Result<Self> {
        let missing = |searched: String| Error::NoServer { searched };
        if let Some(folder) = given {
            let found = with_all_programs(folder).ok_or_else(|| missing(folder.display().to_string()))?;
            return Ok(Self { folder: found });
        }
        let debian = version.map(|version| Path::new(DEBIAN).join(version).join("bin"));
        debian
            .into_iter()
            .chain(debian_folders())
            .chain(pg_config_folder())
            .chain(std::env::var_os("PATH").iter().flat_map(std::env::split_paths))
            .find_map(|folder| with_all_programs(&folder))
            .map(|folder| Self { folder })
            .ok_or_else(|| missing(format!("{DEBIAN}, through pg_config, or in PATH")))
    }

    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// The folder, absolute, if it holds all the programs.
fn with_all_programs(folder: &Path) -> Option<PathBuf> {
    let complete = ["initdb", "pg_ctl", "postgres"].iter().all(|program| folder.join(program).is_file());
    if complete { folder.canonicalize().ok() } else { None }
}

/// The folders of Debian's packages, the newest version first.
fn debian_folders() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path());
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
