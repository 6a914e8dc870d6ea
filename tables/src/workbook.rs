//! An XLSX workbook, read strictly: its container checked, its sheets a row at a time.

mod cell;
mod container;
mod count;
mod namespaces;
mod package;
mod sheet;
mod styles;
mod text;
mod xml;

pub(crate) use cell::SheetCell;
pub use container::inflated_size;
pub(crate) use container::{Container, Part, check_directory, plain_name};
pub(crate) use sheet::{EXCEL_COLUMNS, SheetReader, SheetRow, Step, column_letters};
pub(crate) use xml::{attribute, attributes, is_xml_character};

use quick_xml::events::Event;

use crate::error::Fault;
use crate::header::{Candidate, Search};
use crate::limits::{Limits, SEARCHED_ROWS};
use crate::source::Source;
use container::Spent;
use count::{SHORTEST_ROW, has_more_rows};
use package::Package;
use sheet::{References, cell_reference};
use styles::Formats;
use text::SharedTexts;

/// An open workbook.
pub(crate) struct Workbook<'a> {
    container: Container<'a>,
    package: Package,
    texts: SharedTexts,
    formats: Formats,
    limits: Limits,
    spent: Spent,
}

/// The most cells that are searched for a header, over all sheets.
const SEARCHED_CELLS: u64 = 50_000;

/// How far the rows of a sheet reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extent {
    /// The columns of all rows, and of the merged cells below the headers.
    pub(crate) columns: u32,
    /// The number of the last row.
    pub(crate) last_row: u32,
}

impl<'a> Workbook<'a> {
    pub(crate) fn open(source: &Source<'a>, limits: &Limits) -> Result<Self, Fault> {
        let mut container = Container::open(source, limits)?;
        let mut spent = Spent::default();
        let package = Package::read(&mut container, limits, &mut spent)?;
        let mut formats = Formats::default();
        if let Some(part) = package.formats {
            let mut xml = container.xml(part, limits, spent)?;
            formats = Formats::read(&mut xml)?;
            spent.add(&xml);
        }
        let mut texts = SharedTexts::default();
        if let Some(part) = package.texts {
            let mut xml = container.xml(part, limits, spent)?;
            texts = SharedTexts::read(&mut xml, limits)?;
            spent.add(&xml);
        }
        Ok(Self { container, package, texts, formats, limits: limits.clone(), spent })
    }

    /// The first visible sheet with the required columns, or else the best row of headers found.
    pub(crate) fn find_header(&mut self) -> Result<(Option<usize>, Candidate), Fault> {
        let mut nearest = Search::default();
        let mut cells = 0;
        let (hidden, visible): (Vec<usize>, Vec<usize>) =
            (0..self.package.sheets.len()).partition(|sheet| self.package.sheets[*sheet].is_hidden);
        for sheet in visible.into_iter().chain(hidden) {
            let mut search = Search::default();
            let found = self.search(sheet, &mut search, &mut cells)?;
            let is_hidden = self.package.sheets[sheet].is_hidden;
            if found && is_hidden {
                return Err(Fault::HiddenSheet { sheet: self.name(sheet).to_owned() });
            }
            if found {
                return Ok((Some(sheet), search.into_best()));
            }
            if cells > SEARCHED_CELLS {
                break;
            }
            if !is_hidden && (search.recognised() > nearest.recognised() || nearest.is_unused()) {
                nearest = search;
            }
        }
        Ok((None, nearest.into_best()))
    }

    fn search(&mut self, sheet: usize, search: &mut Search, cells_before: &mut u64) -> Result<bool, Fault> {
        let wanted = vec![true; self.limits.max_columns];
        let (mut reader, references) = self.reader(sheet)?;
        reader.begin(|_, _| Ok(()))?;
        let mut found = false;
        while let Some(row) = reader.next_row(references, &wanted, |_, _| Ok(()))? {
            let number = u64::from(row.number);
            if number > SEARCHED_ROWS || *cells_before + reader.cells() > SEARCHED_CELLS {
                break;
            }
            let headers = headers(row.cells);
            if search.look(number, &headers.iter().map(String::as_str)) {
                found = true;
                break;
            }
        }
        *cells_before += reader.cells();
        Ok(found)
    }

    /// The name of a sheet.
    pub(crate) fn name(&self, sheet: usize) -> &str {
        self.package.sheets.get(sheet).map_or("", |sheet| &sheet.name)
    }

    /// Whether it runs code, which a workbook of another type than .xlsx may.
    pub(crate) fn has_macros(&self) -> bool {
        self.container.names().iter().any(|name| name.to_lowercase().ends_with("vbaproject.bin"))
    }

    /// Checks all parts but one sheet, which is read anyway.
    pub(crate) fn check_others(&mut self, sheet: usize) -> Result<(), Fault> {
        let read = [Some(self.part(sheet)?), self.package.texts, self.package.formats];
        for part in 0..self.container.names().len() {
            if !read.contains(&Some(part)) {
                self.container.check(part, &self.limits, &mut self.spent)?;
            }
        }
        Ok(())
    }

    /// Validates and measures a sheet, with its headers in a row counted from 1.
    pub(crate) fn measure(&mut self, sheet: usize, header_row: u32) -> Result<Extent, Fault> {
        let Limits { max_rows, max_columns, .. } = self.limits;
        if self.has_too_many_rows(sheet, header_row)? {
            return Err(too_many_rows(max_rows));
        }
        let (mut reader, references) = self.reader(sheet)?;
        let mut extent = Extent { columns: 0, last_row: header_row };
        let mut rows = 0;
        reader.begin(|_, _| Ok(()))?;
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

    /// Whether a sheet has too many rows, as far as a quick count can tell.
    fn has_too_many_rows(&mut self, sheet: usize, header_row: u32) -> Result<bool, Fault> {
        let max_rows = self.limits.max_rows;
        let part = self.part(sheet)?;
        let (bytes, size) = self.container.bytes(part, &self.limits, self.spent)?;
        if size / SHORTEST_ROW <= max_rows {
            return Ok(false);
        }
        has_more_rows(bytes, max_rows.saturating_add(header_row.into())).map_err(Fault::from_read)
    }

    /// A sheet from its beginning, and what its cells refer to.
    pub(crate) fn reader(&mut self, sheet: usize) -> Result<(SheetReader<Part<'_, 'a>>, References<'_>), Fault> {
        let part = self.part(sheet)?;
        let xml = self.container.xml(part, &self.limits, self.spent)?;
        let references = References { texts: &self.texts, formats: &self.formats, is_1904: self.package.is_1904 };
        Ok((SheetReader::new(xml, &self.limits), references))
    }

    /// The rows of a sheet, from the top, with what they hold in the wanted columns.
    pub(crate) fn rows(&mut self, sheet: usize, wanted: Vec<bool>) -> Result<SheetRows<'_, 'a>, Fault> {
        let max_columns = self.limits.max_columns;
        let (mut reader, references) = self.reader(sheet)?;
        reader.begin(|_, _| Ok(()))?;
        Ok(SheetRows { reader, references, wanted, max_columns })
    }

    /// The place of the part of a sheet in the container.
    pub(crate) fn part(&self, sheet: usize) -> Result<usize, Fault> {
        let sheet = self.package.sheets.get(sheet);
        sheet.map(|sheet| sheet.part).ok_or_else(|| Fault::Damaged("it has no such sheet".to_owned()))
    }
}

/// The rows of a sheet as they stream by.
pub(crate) struct SheetRows<'w, 'a> {
    reader: SheetReader<Part<'w, 'a>>,
    references: References<'w>,
    wanted: Vec<bool>,
    max_columns: usize,
}

impl SheetRows<'_, '_> {
    /// The next row that is not empty. At the end, the rest of the sheet is validated.
    pub(crate) fn next_row(&mut self) -> Result<Option<SheetRow>, Fault> {
        while let Some(row) = self.reader.next_row(self.references, &self.wanted, |_, _| Ok(()))? {
            check_columns(&row, self.max_columns)?;
            if row.is_filled {
                return Ok(Some(row));
            }
        }
        self.reader.finish(|_, _| Ok(()))?;
        Ok(None)
    }
}

/// The texts of a row, from the first column on.
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
    let cell = sheet::name(row.number, row.columns - 1);
    Err(Fault::TooLarge(format!("the cell {cell} lies beyond {max_columns} columns")))
}

pub(crate) fn too_many_rows(max_rows: u64) -> Fault {
    Fault::TooLarge(format!("it has more than {max_rows} rows"))
}
