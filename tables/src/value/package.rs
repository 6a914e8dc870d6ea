//! The parts of a workbook: all copied as they are, except the one sheet that is added to.

use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use crossbeam_channel::Sender;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::Numbered;
use super::sheet::{self, Additions};
use crate::error::Fault;
use crate::source::Source;
use crate::workbook::from_zip;
use crate::workbook::package::{is_same, names, part_of_sheet};

/// Writes the workbook with the additions, and outcomes in the order of their rows, to the sheet at a place among its
/// sheets.
pub(super) fn rewrite(
    source: &Source<'_>,
    sheet: usize,
    additions: &Additions,
    outcomes: &mut impl Iterator<Item = Numbered>,
    output: &mut (impl Write + Seek + Send),
) -> Result<(), Fault> {
    let mut archive = ZipArchive::new(source.open()?).map_err(from_zip)?;
    let names = names(&archive)?;
    if names.iter().any(|name| name.to_lowercase().ends_with("vbaproject.bin")) {
        let found = "a workbook with macros";
        return Err(Fault::NotATable { found, advice: "save it as .xlsx, without them" });
    }
    let part = part_of_sheet(&mut archive, sheet)?;
    let mut writer = ZipWriter::new(output);
    for (place, name) in names.iter().enumerate() {
        if is_same(name, &part) {
            let entry = archive.by_index(place).map_err(from_zip)?;
            let options = SimpleFileOptions::default().compression_level(FAST).large_file(entry.size() > 1 << 31);
            writer.start_file(name, options).map_err(failed)?;
            rewrite_sheet(entry, &mut writer, additions, outcomes)?;
        } else {
            let entry = archive.by_index_raw(place).map_err(from_zip)?;
            writer.raw_copy_file(entry).map_err(failed)?;
        }
    }
    writer.finish().map_err(failed)?;
    Ok(())
}

/// Parses the sheet in this thread and compresses it again in another.
fn rewrite_sheet(
    entry: impl Read,
    output: &mut (impl Write + Send),
    additions: &Additions,
    outcomes: &mut impl Iterator<Item = Numbered>,
) -> Result<(), Fault> {
    let (give, pieces) = crossbeam_channel::bounded::<Vec<u8>>(PIECES);
    std::thread::scope(|scope| {
        let compressed = scope.spawn(move || pieces.iter().try_for_each(|piece| output.write_all(&piece)));
        let mut writer = BufWriter::with_capacity(PIECE, Pieces(give));
        let rewritten = sheet::rewrite(BufReader::with_capacity(PIECE, entry), &mut writer, additions, outcomes);
        let rewritten = rewritten.and_then(|()| writer.flush().map_err(Fault::Write));
        // The other thread ends with the last piece.
        drop(writer);
        let compressed = compressed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        compressed.map_err(Fault::Write).and(rewritten)
    })
}

/// Hands over what is written to it.
struct Pieces(Sender<Vec<u8>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Nobody takes pieces any more once writing has failed.
        self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
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
