//! The parts of a workbook: all copied as they are, except the one sheet that is added to.

use std::io::{BufReader, BufWriter, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::sheet::{self, Additions};
use crate::error::Fault;
use crate::source::Source;
use crate::workbook::from_zip;
use crate::workbook::package::{is_same, names, part_of_sheet};

/// Writes the workbook with the additions to the sheet at a place among its sheets.
pub(super) fn rewrite(
    source: &Source<'_>,
    sheet: usize,
    additions: &Additions,
    output: &mut (impl Write + Seek),
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
            let mut buffered = BufWriter::with_capacity(1 << 16, &mut writer);
            sheet::rewrite(BufReader::with_capacity(1 << 16, entry), &mut buffered, additions)?;
            buffered.flush().map_err(Fault::Write)?;
        } else {
            let entry = archive.by_index_raw(place).map_err(from_zip)?;
            writer.raw_copy_file(entry).map_err(failed)?;
        }
    }
    writer.finish().map_err(failed)?;
    Ok(())
}

/// Below the usual level: compressing the sheet again is the largest part of the work.
const FAST: Option<i64> = Some(3);

fn failed(error: zip::result::ZipError) -> Fault {
    Fault::Write(error.into())
}
