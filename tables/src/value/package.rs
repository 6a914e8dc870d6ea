//! Copies the parts of a workbook; all except the valued sheet stay byte for byte.

use std::borrow::Cow;
use std::io::{self, BufWriter, Seek, Write};

use crossbeam_channel::Sender;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::outcome::{ValuedCounts, Valuer, WorkbookError};
use super::pipeline::{ValuedSheet, value_sheet};
use crate::error::Fault;
use crate::limits::Limits;
use crate::source::Source;
use crate::workbook::Container;

/// Writes the workbook with its sheet valued.
pub(super) fn write<E: Send>(
    source: &Source<'_>,
    sheet: ValuedSheet<'_, '_>,
    limits: &Limits,
    output: &mut (impl Write + Seek + Send),
    valuer: &Valuer<'_, E>,
) -> Result<ValuedCounts, WorkbookError<E>> {
    let sheet_part = sheet.workbook.part(sheet.sheet)?;
    let mut container = Container::open(source, limits)?;
    let mut writer = ZipWriter::new(output);
    for index in 0..sheet_part {
        writer.raw_copy_file(container.raw(index)?).map_err(failed)?;
    }
    let (name, size) = {
        let part = container.raw(sheet_part)?;
        (part.name().map(Cow::into_owned).unwrap_or_default(), part.size())
    };
    // The sheet grows, so ZIP64 is used early.
    let options = SimpleFileOptions::default().compression_level(COMPRESSION_LEVEL).large_file(size > 1 << 30);
    writer.start_file(name, options).map_err(failed)?;
    let counts = compress(&mut writer, |writer| value_sheet(sheet, writer, valuer))?;
    for index in sheet_part + 1..container.names().len() {
        writer.raw_copy_file(container.raw(index)?).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(counts)
}

/// Runs `write`, and compresses its output on another thread.
fn compress<T, E: Send>(
    output: &mut (impl Write + Send),
    write: impl FnOnce(&mut BufWriter<ChunkWriter>) -> Result<T, WorkbookError<E>>,
) -> Result<T, WorkbookError<E>> {
    let (sender, chunks) = crossbeam_channel::bounded::<Vec<u8>>(MAX_CHUNKS);
    std::thread::scope(|scope| {
        let compressed = scope.spawn(move || chunks.iter().try_for_each(|chunk| output.write_all(&chunk)));
        let mut writer = BufWriter::with_capacity(CHUNK_BYTES, ChunkWriter(sender));
        let written = write(&mut writer);
        let written = written.and_then(|result| writer.flush().map(|()| result).map_err(|e| Fault::Write(e).into()));
        // The other thread ends once the channel is closed.
        drop(writer);
        let compressed = compressed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        compressed.map_err(|error| Fault::Write(error).into()).and(written)
    })
}

/// Sends the bytes that are written to it over a channel.
struct ChunkWriter(Sender<Vec<u8>>);

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = &bytes[..bytes.len().min(CHUNK_BYTES)];
        // The receiver is gone once writing has failed.
        self.0.send(chunk.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The size of a chunk.
const CHUNK_BYTES: usize = 1 << 16;
/// The maximum number of chunks that wait for compression.
const MAX_CHUNKS: usize = 8;
/// Below the default level: compression takes most of the time.
const COMPRESSION_LEVEL: Option<i64> = Some(3);

fn failed(error: zip::result::ZipError) -> Fault {
    Fault::Write(error.into())
}
