//! `probeg predict --on slurm`: cuts a CSV file into parts that the nodes of a cluster value, and puts them together in order.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytesize::ByteSize;
use files::AtomicFile;

use super::part::{PartIndex, rows_path};
use super::valuation::{Arguments, report, report_unused};
use crate::commands::train::PROGRAM;
use crate::context::{Context, today};
use crate::output::err;
use crate::process::Process;
use crate::slurm::{Job, Jobs, TASK};
use crate::variables;

/// The memory limit of a part: a model and some batches of rows.
const MEMORY: ByteSize = ByteSize::mib(768);
/// The time that a part may take besides that for its rows.
const MIN_TIME: Duration = Duration::from_mins(20);
/// The bytes of a file that a part reads and values in a second at least, on a slow processor.
const MIN_BYTES_PER_SECOND: u64 = 1 << 18;
/// How much smaller a compressed file is at most.
const MAX_COMPRESSION: u64 = 16;
/// The time between looks at the queue.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long Slurm may not answer.
const PATIENCE: Duration = Duration::from_mins(2);

pub fn predict(process: &Process, arguments: &Arguments) -> Result<()> {
    require_shared_database()?;
    let context = Context::open_read_only(process)?;
    let version = match &arguments.model {
        Some(name) => context.version(name)?,
        None => context.version(&storage::champion_of(&context.task(arguments.task.as_deref())?.name))?,
    };
    let output = arguments.output()?;
    let folder = PathBuf::from(format!("{}.parts", output.display()));
    // What an earlier attempt has left may be of another model.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be created", folder.display()))?;
    let valued = submit_and_follow(&context, arguments, version, &folder)
        .and_then(|()| put_together(&folder, arguments.parts.get(), output));
    // What failed jobs have said is in this folder.
    let indices = valued?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    let total = |count: fn(&PartIndex) -> u64| indices.iter().map(count).sum();
    report(output, total(|part| part.valued), total(|part| part.rows), version)?;
    report_unused(&indices[0].unused);
    Ok(())
}

/// The nodes of a cluster reach no private database.
pub fn require_shared_database() -> Result<()> {
    ensure!(
        variables::DATABASE_URL.value()?.is_some(),
        "DATABASE_URL is not set: the nodes of the cluster load the model from a database that all of them reach"
    );
    Ok(())
}

fn submit_and_follow(context: &Context, arguments: &Arguments, version: i64, folder: &Path) -> Result<()> {
    let mut jobs = Jobs::new(folder, arguments.cluster.sbatch.clone())?;
    let count = arguments.parts.get();
    jobs.submit(&job(part_arguments(arguments, version, folder)?, count, time_of_rows(arguments.file()?)?))?;
    follow(context, jobs, count, || {
        Ok((0..count).filter(|part| matches!(PartIndex::read(folder, *part), Ok(Some(_)))).count())
    })
}

/// Waits until all parts are valued.
pub fn follow(context: &Context, mut jobs: Jobs, count: usize, done: impl Fn() -> Result<usize>) -> Result<()> {
    let mut shown = 0;
    loop {
        let done = done()?;
        if done > shown {
            err!("{done} of {count} parts valued");
            shown = done;
        }
        if done == count {
            jobs.end();
            return Ok(());
        }
        let tasks = jobs.tasks(PATIENCE)?;
        if let Some(failure) = jobs.failure(&tasks) {
            return Err(failure);
        }
        jobs.report(&tasks);
        context.sleep(POLL_INTERVAL)?;
    }
}

/// The arguments of a part: those of the command, with what may change until it starts, in full.
fn part_arguments(arguments: &Arguments, version: i64, folder: &Path) -> Result<Vec<String>> {
    let path = |path: &Path| -> Result<String> {
        let path = path.canonicalize().with_context(|| format!("{} cannot be found", path.display()))?;
        Ok(path.to_str().with_context(|| format!("{} is not valid UTF-8", path.display()))?.to_owned())
    };
    let (file, folder) = (path(arguments.file()?)?, path(folder)?);
    let mut words: Vec<&str> = vec!["predict", &file, "--output", &folder];
    let common = common_arguments(arguments, version);
    words.extend(common.iter().map(String::as_str));
    if let Some(encoding) = &arguments.encoding {
        words.extend(["--encoding", encoding]);
    }
    Ok(words.into_iter().map(str::to_owned).collect())
}

/// The arguments of every part, of a file or of a query.
pub fn common_arguments(arguments: &Arguments, version: i64) -> Vec<String> {
    let (parts, version, day) = (arguments.parts.to_string(), version.to_string(), today().to_string());
    let words = ["--parts", &parts, "--part", TASK, "--model", &version, "--day", &day, "--program", PROGRAM];
    let words = words.into_iter().chain(arguments.allow_unknown.then_some("--allow-unknown"));
    words.map(str::to_owned).collect()
}

/// The limits of a job with a part.
pub fn job(arguments: Vec<String>, parts: usize, work: Duration) -> Job {
    Job {
        name: "probeg-predict".to_owned(),
        arguments,
        tasks: Some(0..=parts - 1),
        after: Vec::new(),
        cpus: 1,
        memory: MEMORY,
        time: MIN_TIME + work,
    }
}

/// The time that the rows of a file take at most.
fn time_of_rows(file: &Path) -> Result<Duration> {
    let bytes = std::fs::metadata(file).with_context(|| format!("{} cannot be read", file.display()))?.len();
    let is_compressed = file.extension().is_some_and(|extension| extension == "gz");
    let bytes = if is_compressed { bytes * MAX_COMPRESSION } else { bytes };
    Ok(Duration::from_secs(bytes / MIN_BYTES_PER_SECOND))
}

/// Writes the batches of all parts in their order in the file.
fn put_together(folder: &Path, count: usize, output: &Path) -> Result<Vec<PartIndex>> {
    let failed = || format!("{} cannot be written", output.display());
    let mut indices = Vec::new();
    let mut parts = Vec::new();
    for part in 0..count {
        let path = rows_path(folder, part);
        let missing = || format!("{} cannot be read", path.display());
        indices.push(PartIndex::read(folder, part)?.with_context(missing)?);
        parts.push(BufReader::with_capacity(1 << 20, File::open(&path).with_context(missing)?));
    }
    let file = AtomicFile::create(output).with_context(failed)?;
    let mut writer = BufWriter::with_capacity(1 << 20, file.try_clone().with_context(failed)?);
    for batch in 0.. {
        let part = batch % count;
        let Some(size) = indices[part].sizes.get(batch / count) else { break };
        let copied = std::io::copy(&mut parts[part].by_ref().take(*size), &mut writer).with_context(failed)?;
        ensure!(copied == *size, "{} is not complete", rows_path(folder, part).display());
    }
    writer.flush().with_context(failed)?;
    file.finish().with_context(failed)?;
    Ok(indices)
}
