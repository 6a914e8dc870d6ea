//! Checkpoints to resume an interrupted run: one folder per run under `PROBEG_HOME/runs`, removed when the run is complete.
//!
//! A run is a sequence of stages, and is determined by its configuration, the listings and its date. So a resumed run repeats
//! the same steps, except that training resumes from the checkpoint of its stage.

use std::fs::{self, File, TryLockError};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use domain::SplitCounts;
use domain::accuracy::Accuracy;
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

/// A stage of a run that trains a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Trains on the training split with early stopping.
    Training,
    /// Trains on the listings before the cut day with this number.
    Origin(usize),
    /// Trains on the training and validation splits.
    Refit,
}

impl Stage {
    /// The name in files and in the database.
    pub fn name(self) -> String {
        match self {
            Self::Training => "learning".to_owned(),
            Self::Origin(number) => format!("origin-{number}"),
            Self::Refit => "refit".to_owned(),
        }
    }
}

/// The inputs of a run, with which it is resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunManifest {
    /// The configuration.
    pub config: TrainConfig,
    /// The date of the run.
    pub today: NaiveDate,
    /// The snapshot of the listings.
    pub extent: Extent,
    /// The number of listings by split.
    pub rows: SplitCounts,
}

/// The preprocessing that a stage has fitted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PreparedData {
    /// The vocabularies.
    pub schema: FeatureSchema,
    /// The bins, the generations and the scale of the prices.
    pub statistics: Statistics,
    /// The distribution of the values in the training data.
    pub reference: Reference,
}

/// The folder of a run, locked against other processes until it is dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

const RUNS: &str = "runs";
const MANIFEST: &str = "run";
const FLOOR: &str = "floor";
const PREPARED: &str = "prepared";
const LEARNER: &str = "learner";
/// The records of a member: the current weights, the optimizer state, the averaged weights, and the best averaged weights.
const RECORDS: [&str; 4] = ["weights", "optimizer", "average", "best"];

impl RunFolder {
    /// Creates the parent folder of all runs.
    ///
    /// # Errors
    /// The folder is not writable.
    pub fn prepare(home: &Path) -> Result<(), Error> {
        let path = home.join(RUNS);
        fs::create_dir_all(&path).map_err(failed("create", &path))
    }

    /// Whether the run has a folder here.
    pub fn exists(home: &Path, run: &Run) -> bool {
        folder(home, run).exists()
    }

    /// Opens the folder of a run, or creates it.
    ///
    /// # Errors
    /// The folder is not writable, or [`Error::RunIsBusy`].
    pub fn open(home: &Path, run: &Run) -> Result<Self, Error> {
        Self::open_at(folder(home, run), run)
    }

    /// The same for a part of a run, which has a folder of its own, since several parts may run here.
    ///
    /// # Errors
    /// Those of [`RunFolder::open`].
    pub fn open_part(home: &Path, run: &Run, part: &str) -> Result<Self, Error> {
        let mut path = folder(home, run).into_os_string();
        path.push(format!("-{part}"));
        Self::open_at(path.into(), run)
    }

    fn open_at(path: PathBuf, run: &Run) -> Result<Self, Error> {
        fs::create_dir_all(&path).map_err(failed("create", &path))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::RunIsBusy(run.id)),
            Err(TryLockError::Error(cause)) => Err(failed("lock", &lock_path)(cause)),
        }
    }

    /// Reads the manifest; `None` if the run was killed before writing it, or was started elsewhere.
    pub fn read_manifest(&self) -> Result<Option<RunManifest>, Error> {
        self.read(MANIFEST)
    }

    /// Writes the manifest.
    pub fn write_manifest(&self, manifest: &RunManifest) -> Result<(), Error> {
        self.write(MANIFEST, manifest)
    }

    /// Reads the accuracy of the linear model; `None` if it has not been measured.
    pub fn read_floor(&self) -> Result<Option<Accuracy>, Error> {
        self.read(FLOOR)
    }

    /// Writes the accuracy of the linear model.
    pub fn write_floor(&self, floor: &Accuracy) -> Result<(), Error> {
        self.write(FLOOR, floor)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let path = self.path.join(name);
        match File::open(&path) {
            Ok(file) => Ok(Some(read_value(&path, BufReader::new(file))?)),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(failed("read", &path)(cause)),
        }
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let path = self.path.join(name);
        let mut file = AtomicFile::create_in_own_folder(&path).map_err(failed("write", &path))?;
        write_value(&path, value, &mut file)?;
        file.finish().map_err(failed("write", &path))
    }

    /// Loads the checkpoint of a stage; `None` if its preprocessing has not been fitted.
    pub fn load(&self, stage: Stage) -> Result<Option<(PreparedData, Option<LearnerState>)>, Error> {
        let path = self.checkpoint_path(stage);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(failed("read", &path)(cause)),
        };
        let damaged = |cause: zip::result::ZipError| damaged(&path, cause);
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
        let prepared: PreparedData = read_value(&path, archive.by_name(PREPARED).map_err(damaged)?)?;
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

    /// Saves the checkpoint of a stage, replacing the previous one atomically.
    pub fn save(&self, stage: Stage, prepared: &PreparedData, learner: Option<&LearnerState>) -> Result<(), Error> {
        let path = self.checkpoint_path(stage);
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

    /// Reads the checkpoint of a stage as a file; `None` if there is none.
    pub fn read_checkpoint(&self, stage: Stage) -> Result<Option<Vec<u8>>, Error> {
        let path = self.checkpoint_path(stage);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(failed("read", &path)(cause)),
        }
    }

    /// Writes the checkpoint of a stage that another process has saved.
    pub fn write_checkpoint(&self, stage: Stage, bytes: &[u8]) -> Result<(), Error> {
        let path = self.checkpoint_path(stage);
        let mut file = AtomicFile::create_in_own_folder(&path).map_err(failed("write", &path))?;
        file.write_all(bytes).map_err(failed("write", &path))?;
        file.finish().map_err(failed("write", &path))
    }

    fn checkpoint_path(&self, stage: Stage) -> PathBuf {
        self.path.join(format!("{}.checkpoint", stage.name()))
    }

    /// The path of the spool of a split in a stage.
    pub fn spool_path(&self, stage: Stage, split: Split) -> PathBuf {
        self.path.join(format!("{}.{}.arrow", stage.name(), split.name()))
    }

    /// Removes the spools of a stage.
    pub fn remove_spools(&self, stage: Stage) {
        for split in [Split::Train, Split::Validation] {
            // Otherwise it is removed with the folder.
            let _ = fs::remove_file(self.spool_path(stage, split));
        }
    }

    /// Removes the folder after the run is complete.
    pub fn remove(self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, "{} could not be removed; it is no longer needed.", self.path.display());
        }
    }
}

/// The path of a run's folder. The start time distinguishes runs with the same number in different databases.
fn folder(home: &Path, run: &Run) -> PathBuf {
    home.join(RUNS).join(format!("{}-{}", run.id, run.started_at.format("%Y%m%dT%H%M%S%6f")))
}

fn record_name(member: usize, record: &str) -> String {
    format!("member-{member}/{record}")
}

fn read_value<T: DeserializeOwned>(path: &Path, reader: impl Read) -> Result<T, Error> {
    ciborium::from_reader(reader).map_err(|cause| damaged(path, cause))
}

fn write_value(path: &Path, value: &impl Serialize, writer: impl Write) -> Result<(), Error> {
    ciborium::into_writer(value, writer).map_err(|cause| match cause {
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
