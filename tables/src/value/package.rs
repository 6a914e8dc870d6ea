//! The parts of a workbook: all copied as they are, except the one sheet that is added to.

use std::borrow::Cow;
use std::io::{self, BufWriter, Seek, Write};

use crossbeam_channel::Sender;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::outcome::{Stop, ValuedCounts, Valuer};
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
) -> Result<ValuedCounts, Stop<E>> {
    let sheet_part = sheet.workbook.part(sheet.sheet)?;
    let mut container = Container::open(source, limits)?;
    let mut writer = ZipWriter::new(output);
    for place in 0..sheet_part {
        writer.raw_copy_file(container.raw(place)?).map_err(failed)?;
    }
    let (name, size) = {
        let part = container.raw(sheet_part)?;
        (part.name().map(Cow::into_owned).unwrap_or_default(), part.size())
    };
    // The outcomes add to its size.
    let options = SimpleFileOptions::default().compression_level(FAST).large_file(size > 1 << 30);
    writer.start_file(name, options).map_err(failed)?;
    let summary = compress(&mut writer, |writer| value_sheet(sheet, writer, valuer))?;
    for place in sheet_part + 1..container.names().len() {
        writer.raw_copy_file(container.raw(place)?).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(summary)
}

/// Compresses what is written in another thread.
fn compress<T, E: Send>(
    output: &mut (impl Write + Send),
    write: impl FnOnce(&mut BufWriter<Pieces>) -> Result<T, Stop<E>>,
) -> Result<T, Stop<E>> {
    let (give, pieces) = crossbeam_channel::bounded::<Vec<u8>>(PIECES);
    std::thread::scope(|scope| {
        let compressed = scope.spawn(move || pieces.iter().try_for_each(|piece| output.write_all(&piece)));
        let mut writer = BufWriter::with_capacity(PIECE, Pieces(give));
        let written = write(&mut writer);
        let written = written.and_then(|result| writer.flush().map(|()| result).map_err(|e| Fault::Write(e).into()));
        // The other thread ends with the last piece.
        drop(writer);
        let compressed = compressed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        compressed.map_err(|error| Fault::Write(error).into()).and(written)
    })
}

/// Sends what is written to it.
struct Pieces(Sender<Vec<u8>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE)];
        // The receiver is gone once writing has failed.
        self.0.send(piece.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of a piece, and how many may wait.
const PIECE: usize = 1 << 16;
const PIECES: usize = 8;
/// Below the usual level: compressing the sheet again is the largest part of the work.
const FAST: Option<i64> = Some(3);

fn failed(error: zip::result::ZipError) -> Fault {
    Fault::Write(error.into())
}
