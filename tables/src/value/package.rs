//! Copies the parts of a workbook. For programs, all except the valued sheet stay byte for byte; for people, a few have small
//! changes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufWriter, Read as _, Seek, Write};

use crossbeam_channel::Sender;
use domain::Language;
use quick_xml::escape::escape;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::edits;
use super::outcome::{ValuedCounts, Valuer, WorkbookError};
use super::pipeline::{ValuedSheet, value_sheet};
use super::presentation::Presentation;
use super::summary::{self, Figures};
use crate::error::Fault;
use crate::limits::Limits;
use crate::source::Source;
use crate::workbook::{Container, Package, Usage};

/// Writes the workbook with its sheet valued.
pub(super) fn write<E: Send>(
    source: &Source<'_>,
    mut sheet: ValuedSheet<'_, '_>,
    presentation: Option<(&Presentation, Language)>,
    limits: &Limits,
    output: &mut (impl Write + Seek + Send),
    valuer: &Valuer<'_, E>,
) -> Result<ValuedCounts, WorkbookError<E>> {
    let sheet_part = sheet.workbook.part(sheet.sheet)?;
    let header = sheet.header;
    let mut container = Container::open(source, limits)?;
    let changes = match presentation {
        Some((_, language)) => Changes::plan(&mut container, &mut sheet, sheet_part, (limits, language))?,
        None => Changes::default(),
    };
    let mut writer = ZipWriter::new(output);
    let (name, size) = {
        let part = container.raw(sheet_part)?;
        (part.name().map(Cow::into_owned).unwrap_or_default(), part.size())
    };
    let money = sheet.additions.money;
    let mut sheet = Some(sheet);
    let mut written = (ValuedCounts::default(), Figures::default());
    for index in 0..container.names().len() {
        if let Some(sheet) = sheet.take_if(|_| index == sheet_part) {
            // The sheet grows, so ZIP64 is used early.
            let options = options().large_file(size > 1 << 30);
            writer.start_file(&name, options).map_err(failed)?;
            written = compress(&mut writer, |writer| value_sheet(sheet, writer, valuer))?;
        } else if let Some(content) = changes.parts.get(&index) {
            let name = container.names()[index].clone();
            write_part(&mut writer, &name, content)?;
        } else {
            writer.raw_copy_file(container.raw(index)?).map_err(failed)?;
        }
    }
    let (counts, figures) = written;
    if let (Some((presentation, language)), Some(summary)) = (presentation, &changes.summary) {
        let content = summary::sheet(&figures, header, presentation, (&summary.namespace, language, money));
        write_part(&mut writer, &summary.part, &content)?;
    }
    writer.finish().map_err(failed)?;
    Ok(counts)
}

/// The changes to other parts than the valued sheet.
#[derive(Default)]
struct Changes {
    /// The new contents, by the index of the part.
    parts: HashMap<usize, String>,
    summary: Option<SummaryPart>,
}

/// The part of the summary.
struct SummaryPart {
    /// Its name.
    part: String,
    /// The namespace of its elements, which depends on the edition of the standard.
    namespace: String,
}

impl Changes {
    /// Plans the format for money, the extension of tables, and the summary. What a workbook does not have is left out.
    fn plan(
        container: &mut Container<'_>,
        sheet: &mut ValuedSheet<'_, '_>,
        sheet_part: usize,
        (limits, language): (&Limits, Language),
    ) -> Result<Self, Fault> {
        let mut changes = Self::default();
        let additions = &mut sheet.additions;
        let (styles, list, relationships) = sheet.workbook.listing_parts();
        if let Some((styles, part)) = read(container, styles, limits)?
            && let Some((styles, money)) = edits::with_money_format(&styles)
        {
            additions.money = Some(money);
            changes.parts.insert(part, styles);
        }
        for table in Package::tables(container, sheet_part, limits, &mut Usage::default())? {
            if let Some((content, part)) = read(container, Some(table), limits)?
                && let Some(extended) =
                    edits::extended_table(&content, additions.header_row, additions.first_column, &additions.headers)
            {
                changes.parts.insert(part, extended);
            }
        }
        let types = container.find("[Content_Types].xml");
        let parts = (
            read(container, types, limits)?,
            read(container, Some(list), limits)?,
            read(container, Some(relationships), limits)?,
        );
        if let (Some((types, types_part)), Some((list, list_part)), Some((relationships, relationships_part))) = parts {
            let part = (1..).map(|number| format!("xl/worksheets/valuation-summary{number}.xml"));
            let part = part.into_iter().find(|part| container.find(part).is_none()).unwrap_or_default();
            if let Some((contents, namespace)) =
                with_sheet(&part, summary::name(language), [&types, &list, &relationships])
            {
                changes.parts.extend([types_part, list_part, relationships_part].into_iter().zip(contents));
                changes.summary = Some(SummaryPart { part, namespace });
            }
        }
        Ok(changes)
    }
}

/// The content types, the list of sheets and its relationships with another sheet, and the namespace of sheets.
fn with_sheet(part: &str, name: &str, [types, list, relationships]: [&str; 3]) -> Option<([String; 3], String)> {
    let (name, number) = edits::new_sheet(list, name);
    let (id_attribute, kind) = edits::sheet_relationship(list, relationships)?;
    let namespace = edits::namespace(list, "workbook")?;
    let id = format!("valuationSummary{number}");
    let types = edits::insert_before_end(types, "Types", |prefix| {
        format!("<{prefix}Override PartName=\"/{part}\" ContentType=\"{SHEET_TYPE}\"/>")
    })?;
    let list = edits::insert_before_end(list, "sheets", |prefix| {
        format!("<{prefix}sheet name=\"{}\" sheetId=\"{number}\" {id_attribute}=\"{id}\"/>", escape(&name))
    })?;
    let relationships = edits::insert_before_end(relationships, "Relationships", |prefix| {
        format!("<{prefix}Relationship Id=\"{id}\" Type=\"{}\" Target=\"/{part}\"/>", escape(&kind))
    })?;
    Some(([types, list, relationships], namespace))
}

/// The media type of a sheet.
const SHEET_TYPE: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml";
/// The maximum size of a part that is changed, in bytes; a larger one stays as it is.
const MAX_CHANGED_BYTES: u64 = 8 << 20;

/// The text of a part with its index, unless it is missing or too large.
fn read(container: &mut Container<'_>, part: Option<usize>, limits: &Limits) -> Result<Option<(String, usize)>, Fault> {
    let Some(part) = part else { return Ok(None) };
    let (bytes, size) = container.bytes(part, limits, Usage::default())?;
    if size > MAX_CHANGED_BYTES {
        return Ok(None);
    }
    let mut text = String::new();
    bytes.take(MAX_CHANGED_BYTES).read_to_string(&mut text).map_err(Fault::from_read)?;
    // A byte order mark is not XML.
    Ok(Some((text.trim_start_matches('\u{feff}').to_owned(), part)))
}

fn write_part(writer: &mut ZipWriter<impl Write + Seek>, name: &str, content: &str) -> Result<(), Fault> {
    writer.start_file(name, options()).map_err(failed)?;
    writer.write_all(content.as_bytes()).map_err(Fault::Write)
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_level(COMPRESSION_LEVEL)
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
