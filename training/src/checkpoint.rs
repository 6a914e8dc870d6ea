//! The files from which a run is resumed after it was stopped, killed or cut off: one folder per run under
//! `PROBEG_HOME/runs`, removed when the run is complete.
//!
//! A run is a sequence of stages, and everything in it follows from its configuration, the listings and the day it
//! started. So a resumed run repeats the same steps, and only training resumes from the checkpoint of its stage.

use std::fs::{self, File, TryLockError};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use domain::SplitCounts;
use domain::feature::FeatureSchema;
use domain::identity::Split;
use files::AtomicFile;
use onnx_model::reference::Reference;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storage::{Extent, Run};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::Error;
use crate::config::TrainConfig;
use crate::learner::{LearnerState, MemberState};
use crate::model::Statistics;

/// A part of a run in which a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// On the training split, with early stopping.
    Learning,
    /// On all but the newest listings.
    Backtest,
    /// On the training and the validation split.
    Refit,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Learning => "learning",
            Self::Backtest => "backtest",
            Self::Refit => "refit",
        }
    }
}

/// What a run was started with, and is resumed with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunManifest {
    /// The configuration.
    pub config: TrainConfig,
    /// The day of the run.
    pub today: NaiveDate,
    /// The listings.
    pub extent: Extent,
    /// How many they are.
    pub rows: SplitCounts,
}

/// What a stage is trained with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Prepared {
    /// Vocabularies.
    pub schema: FeatureSchema,
    /// Bins, generations, the scale of the prices.
    pub statistics: Statistics,
    /// The distribution of the values in the training data.
    pub reference: Reference,
}

/// The files of a run, locked against other processes while this lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

const RUNS: &str = "runs";
const MANIFEST: &str = "run";
const PREPARED: &str = "prepared";
const LEARNER: &str = "learner";
/// The records of a member: the live weights, the optimizer, the averaged weights, the best of these.
const RECORDS: [&str; 4] = ["weights", "optimizer", "average", "best"];

impl RunFolder {
    /// Creates the parent folder of all runs.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn prepare(home: &Path) -> Result<(), Error> {
        let path = home.join(RUNS);
        fs::create_dir_all(&path).map_err(failed("create", &path))
    }

    /// Whether a run was started here.
    pub fn exists(home: &Path, run: &Run) -> bool {
        folder(home, run).exists()
    }

    /// Opens the folder of a run, or creates it.
    ///
    /// # Errors
    /// A folder that cannot be written to, or [`Error::RunIsBusy`].
    pub fn open(home: &Path, run: &Run) -> Result<Self, Error> {
        let path = folder(home, run);
        fs::create_dir_all(&path).map_err(failed("create", &path))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::RunIsBusy(run.id)),
            Err(TryLockError::Error(cause)) => Err(failed("lock", &lock_path)(cause)),
        }
    }

    /// The manifest; `None` if the run was killed before it was written, or was started elsewhere.
    pub fn manifest(&self) -> Result<Option<RunManifest>, Error> {
        let path = self.path.join(MANIFEST);
        match File::open(&path) {
            Ok(file) => Ok(Some(read_value(&path, BufReader::new(file))?)),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(failed("read", &path)(cause)),
        }
    }

    /// Writes the manifest.
    pub fn begin(&self, manifest: &RunManifest) -> Result<(), Error> {
        let path = self.path.join(MANIFEST);
        let mut file = AtomicFile::create_in_own_folder(&path).map_err(failed("write", &path))?;
        write_value(&path, manifest, &mut file)?;
        file.finish().map_err(failed("write", &path))
    }

    /// The checkpoint of a stage; `None` before its vocabularies are fitted.
    pub fn load(&self, stage: Stage) -> Result<Option<(Prepared, Option<LearnerState>)>, Error> {
        let path = self.checkpoint(stage);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(failed("read", &path)(cause)),
        };
        let damaged = |cause: zip::result::ZipError| damaged(&path, cause);
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
        let prepared: Prepared = read_value(&path, archive.by_name(PREPARED).map_err(damaged)?)?;
        if archive.index_for_name(LEARNER).is_none() {
            return Ok(Some((prepared, None)));
        }
        let mut learner: LearnerState = read_value(&path, archive.by_name(LEARNER).map_err(damaged)?)?;
        while archive.index_for_name(&record_name(learner.members.len(), RECORDS[0])).is_some() {
            let number = learner.members.len();
            let mut records = RECORDS.map(|_| Vec::new());
            for (record, name) in records.iter_mut().zip(RECORDS) {
                let mut entry = archive.by_name(&record_name(number, name)).map_err(damaged)?;
                entry.read_to_end(record).map_err(failed("read", &path))?;
            }
            let [weights, optimizer, average, best] = records;
            learner.members.push(MemberState { weights, optimizer, average, best });
        }
        Ok(Some((prepared, Some(learner))))
    }

    /// Writes the checkpoint of a stage. The previous one stays until the new one is complete and on disk.
    pub fn save(&self, stage: Stage, prepared: &Prepared, learner: Option<&LearnerState>) -> Result<(), Error> {
        let path = self.checkpoint(stage);
        let failed_zip = |cause: zip::result::ZipError| failed("write", &path)(cause.into());
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
        let mut archive = ZipWriter::new(AtomicFile::create_in_own_folder(&path).map_err(failed("write", &path))?);
        archive.start_file(PREPARED, options).map_err(failed_zip)?;
        write_value(&path, prepared, &mut archive)?;
        if let Some(learner) = learner {
            archive.start_file(LEARNER, options).map_err(failed_zip)?;
            write_value(&path, learner, &mut archive)?;
            for (number, member) in learner.members.iter().enumerate() {
                let MemberState { weights, optimizer, average, best } = member;
                for (name, record) in RECORDS.into_iter().zip([weights, optimizer, average, best]) {
                    archive.start_file(record_name(number, name), options).map_err(failed_zip)?;
                    archive.write_all(record).map_err(failed("write", &path))?;
                }
            }
        }
        archive.finish().map_err(failed_zip)?.finish().map_err(failed("write", &path))
    }

    fn checkpoint(&self, stage: Stage) -> PathBuf {
        self.path.join(format!("{}.checkpoint", stage.name()))
    }

    /// The file that a stage spools a split to.
    pub fn spool(&self, stage: Stage, split: Split) -> PathBuf {
        self.path.join(format!("{}.{}.arrow", stage.name(), split.name()))
    }

    /// Removes what a stage has spooled.
    pub fn remove_spools(&self, stage: Stage) {
        for split in [Split::Train, Split::Validation] {
            // At worst it takes up space until the run is complete.
            let _ = fs::remove_file(self.spool(stage, split));
        }
    }

    /// Removes the folder: the run is complete.
    pub fn remove(self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, "{} is no longer needed but could not be removed.", self.path.display());
        }
    }
}

/// The time distinguishes runs with the same number in several databases.
fn folder(home: &Path, run: &Run) -> PathBuf {
    home.join(RUNS).join(format!("{}-{}", run.id, run.started_at.format("%Y%m%dT%H%M%S%6f")))
}

fn record_name(member: usize, record: &str) -> String {
    format!("member-{member}/{record}")
}

fn read_value<T: DeserializeOwned>(path: &Path, from: impl Read) -> Result<T, Error> {
    ciborium::from_reader(from).map_err(|cause| damaged(path, cause))
}

fn write_value(path: &Path, value: &impl Serialize, into: impl Write) -> Result<(), Error> {
    ciborium::into_writer(value, into).map_err(|cause| match cause {
        ciborium::ser::Error::Io(cause) => failed("write", path)(cause),
        ciborium::ser::Error::Value(cause) => damaged(path, cause),
    })
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |cause| storage::Error::File { action, path: path.to_owned(), cause }.into()
}

fn damaged(path: &Path, cause: impl std::fmt::Display) -> Error {
    Error::DamagedCheckpoint { path: path.to_owned(), cause: cause.to_string() }
}
