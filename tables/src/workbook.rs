//! An XLSX workbook, read strictly: the container is validated, and sheets are streamed row by row.

mod cell;
mod container;
mod count;
mod package;
mod sheet;
mod styles;
mod text;
mod xml;

pub(crate) use cell::{SheetCell, SheetRow};
pub use container::inflated_size;
pub(crate) use container::{Container, Part, Usage, check_directory, normalized_name};
pub(crate) use package::Package;
pub(crate) use sheet::{EXCEL_COLUMNS, SheetEvent, SheetReader, cell_reference, column_letters};
pub(crate) use xml::{attribute, attributes, is_xml_character};

use quick_xml::events::Event;

use crate::error::Fault;
use crate::headings::Headings;
use crate::limits::{Limits, MAX_HEADER_ROW};
use crate::search::{Candidate, Search};
use crate::source::Source;
use count::{MIN_ROW_BYTES, has_more_rows};
use sheet::{References, cell_name};
use styles::Formats;
use text::SharedTexts;

/// An open workbook.
pub(crate) struct Workbook<'a> {
    container: Container<'a>,
    package: Package,
    texts: SharedTexts,
    formats: Formats,
    limits: Limits,
    usage: Usage,
}

/// The maximum number of cells to search for a header, over all sheets.
const MAX_SEARCHED_CELLS: u64 = 50_000;

/// The used range of a sheet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extent {
    /// The number of columns of all rows and of the merged cells below the header.
    pub(crate) columns: u32,
    /// The number of the last row.
    pub(crate) last_row: u32,
}

impl<'a> Workbook<'a> {
    pub(crate) fn open(source: &Source<'a>, limits: &Limits) -> Result<Self, Fault> {
        let mut container = Container::open(source, limits)?;
        let mut usage = Usage::default();
        let package = Package::read(&mut container, limits, &mut usage)?;
        let mut formats = Formats::default();
        if let Some(part) = package.formats {
            let mut xml = container.xml(part, limits, usage)?;
            formats = Formats::read(&mut xml)?;
            usage.add(&xml);
        }
        let mut texts = SharedTexts::default();
        if let Some(part) = package.texts {
            let mut xml = container.xml(part, limits, usage)?;
            texts = SharedTexts::read(&mut xml, limits)?;
            usage.add(&xml);
        }
        Ok(Self { container, package, texts, formats, limits: limits.clone(), usage })
    }

    /// The index of the first visible sheet with the required columns and its header; otherwise the best candidate.
    pub(crate) fn find_header(&mut self, headings: Headings<'_>) -> Result<(Option<usize>, Candidate), Fault> {
        let mut best = Search::new(headings);
        let mut best_sheet = None;
        let mut cells = 0;
        let (hidden, visible): (Vec<usize>, Vec<usize>) =
            (0..self.package.sheets.len()).partition(|sheet| self.package.sheets[*sheet].is_hidden);
        for sheet in visible.into_iter().chain(hidden) {
            let mut search = Search::new(headings);
            self.search_sheet(sheet, &mut search, &mut cells)?;
            let found = search.is_complete();
            let is_hidden = self.package.sheets[sheet].is_hidden;
            if found && is_hidden {
                return Err(Fault::HiddenSheet { sheet: self.name(sheet).to_owned() });
            }
            if found {
                return Ok((Some(sheet), search.into_candidate()));
            }
            if cells > MAX_SEARCHED_CELLS {
                break;
            }
            if !is_hidden && (search.recognized() > best.recognized() || best.is_empty()) {
                (best, best_sheet) = (search, Some(sheet));
            }
        }
        Ok((best_sheet, best.into_candidate()))
    }

    fn search_sheet(&mut self, sheet: usize, search: &mut Search<'_>, cells_before: &mut u64) -> Result<(), Fault> {
        let selected = vec![true; self.limits.max_columns];
        let (mut reader, references) = self.reader(sheet)?;
        reader.start(|_, _| Ok(()))?;
        while let Some(row) = reader.next_row(references, &selected, |_, _| Ok(()))? {
            let number = u64::from(row.number);
            if number > MAX_HEADER_ROW || *cells_before + reader.cells() > MAX_SEARCHED_CELLS {
                break;
            }
            let headers = headers(row.cells);
            if search.inspect(number, &headers.iter().map(String::as_str)) {
                break;
            }
        }
        *cells_before += reader.cells();
        Ok(())
    }

    /// The name of a sheet.
    pub(crate) fn name(&self, sheet: usize) -> &str {
        self.package.sheets.get(sheet).map_or("", |sheet| &sheet.name)
    }

    /// Whether the workbook contains macros (VBA).
    pub(crate) fn has_macros(&self) -> bool {
        self.container.names().iter().any(|name| name.to_lowercase().ends_with("vbaproject.bin"))
    }

    /// Validates all parts except those that are parsed anyway.
    pub(crate) fn check_others(&mut self, sheet: usize) -> Result<(), Fault> {
        let read = [Some(self.part(sheet)?), self.package.texts, self.package.formats];
        for part in 0..self.container.names().len() {
            if !read.contains(&Some(part)) {
                self.container.check(part, &self.limits, &mut self.usage)?;
            }
        }
        Ok(())
    }

    /// Validates a sheet and returns its used range.
    pub(crate) fn measure(&mut self, sheet: usize, header_row: u32) -> Result<Extent, Fault> {
        let Limits { max_rows, max_columns, .. } = self.limits;
        if self.has_too_many_rows(sheet, header_row)? {
            return Err(too_many_rows(max_rows));
        }
        let (mut reader, references) = self.reader(sheet)?;
        let mut extent = Extent { columns: 0, last_row: header_row };
        let mut rows = 0;
        reader.start(|_, _| Ok(()))?;
        while let Some(row) = reader.next_row(references, &[], |_, _| Ok(()))? {
            check_columns(&row, max_columns)?;
            extent = Extent { columns: extent.columns.max(row.columns), last_row: row.number };
            rows += u64::from(row.is_filled && row.number > header_row);
            if rows > max_rows {
                return Err(too_many_rows(max_rows));
            }
        }
        reader.finish(|event, _| {
            if let Event::Start(tag) | Event::Empty(tag) = event
                && tag.local_name().as_ref() == "mergeCell"
                && let Some(range) = attribute(tag, "ref")
                && let Some((column, row)) = range.rsplit(':').next().and_then(cell_reference)
                && row >= header_row
                && (column as usize) < max_columns
            {
                extent.columns = extent.columns.max(column + 1);
            }
            Ok(())
        })?;
        extent.last_row = extent.last_row.max(header_row);
        Ok(extent)
    }

    /// Whether a quick count finds too many rows.
    fn has_too_many_rows(&mut self, sheet: usize, header_row: u32) -> Result<bool, Fault> {
        let max_rows = self.limits.max_rows;
        let part = self.part(sheet)?;
        let (bytes, size) = self.container.bytes(part, &self.limits, self.usage)?;
        if size / MIN_ROW_BYTES <= max_rows {
            return Ok(false);
        }
        has_more_rows(bytes, max_rows.saturating_add(header_row.into())).map_err(Fault::from_read)
    }

    /// A reader at the start of a sheet, and the parts that its cells refer to.
    pub(crate) fn reader(&mut self, sheet: usize) -> Result<(SheetReader<Part<'_, 'a>>, References<'_>), Fault> {
        let part = self.part(sheet)?;
        let xml = self.container.xml(part, &self.limits, self.usage)?;
        let references =
            References { texts: &self.texts, formats: &self.formats, uses_1904_dates: self.package.uses_1904_dates };
        Ok((SheetReader::new(xml, &self.limits), references))
    }

    /// The rows of a sheet, with their cells in the selected columns.
    pub(crate) fn rows(&mut self, sheet: usize, selected: Vec<bool>) -> Result<SheetRows<'_, 'a>, Fault> {
        let max_columns = self.limits.max_columns;
        let (mut reader, references) = self.reader(sheet)?;
        reader.start(|_, _| Ok(()))?;
        Ok(SheetRows { reader, references, selected, max_columns })
    }

    /// The indices of the parts with the cell formats, if any, with the list of sheets, and with its relationships.
    pub(crate) fn listing_parts(&self) -> (Option<usize>, usize, usize) {
        (self.package.formats, self.package.list, self.package.list_relationships)
    }

    /// The index of a sheet's part in the container.
    pub(crate) fn part(&self, sheet: usize) -> Result<usize, Fault> {
        let sheet = self.package.sheets.get(sheet);
        sheet.map(|sheet| sheet.part).ok_or_else(|| Fault::Damaged("the sheet is missing".to_owned()))
    }
}

/// Streams the rows of a sheet.
pub(crate) struct SheetRows<'w, 'a> {
    reader: SheetReader<Part<'w, 'a>>,
    references: References<'w>,
    selected: Vec<bool>,
    max_columns: usize,
}

impl SheetRows<'_, '_> {
    /// The next row that is not empty. After the last row, the rest of the sheet is validated.
    pub(crate) fn next_row(&mut self) -> Result<Option<SheetRow>, Fault> {
        while let Some(row) = self.reader.next_row(self.references, &self.selected, |_, _| Ok(()))? {
            check_columns(&row, self.max_columns)?;
            if row.is_filled {
                return Ok(Some(row));
            }
        }
        self.reader.finish(|_, _| Ok(()))?;
        Ok(None)
    }
}

/// The texts of a row, starting at the first column.
fn headers(cells: Vec<(u32, SheetCell)>) -> Vec<String> {
    let mut headers = Vec::new();
    for (column, cell) in cells {
        headers.resize(column as usize, String::new());
        headers.push(cell.header());
    }
    headers
}

fn check_columns(row: &SheetRow, max_columns: usize) -> Result<(), Fault> {
    if row.columns as usize <= max_columns {
        return Ok(());
    }
    let cell = cell_name(row.number, row.columns - 1);
    Err(Fault::TooLarge(format!("cell {cell} is beyond the limit of {max_columns} columns")))
}

pub(crate) fn too_many_rows(max_rows: u64) -> Fault {
    Fault::TooLarge(format!("it has more than {max_rows} rows"))
}
