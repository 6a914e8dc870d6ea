//! An open table: its header and a stream of its rows.

use domain::{Column, Market};

use crate::delimited::{Delimited, detect_delimiter};
use crate::encoding::Encoding;
use crate::error::{Fault, TableError};
use crate::format::Format;
use crate::header::Header;
use crate::headings::Headings;
use crate::limits::{Limits, MAX_HEADER_ROW};
use crate::mapping::Mapping;
use crate::row::Row;
use crate::search::{Candidate, Search};
use crate::source::Source;
use crate::workbook::{SheetRows, Workbook, too_many_rows};

/// The options for reading a table.
#[derive(Clone, Debug)]
pub struct Options {
    /// The limits on the file.
    pub limits: Limits,
    /// The encoding of a CSV; by default UTF-8, or UTF-16 with a byte order mark.
    pub encoding: Option<Encoding>,
    /// A column that is required besides those of a listing: what an import or an evaluation needs.
    pub target: Option<Column>,
    /// The market, which determines headers, units and spellings.
    pub market: Market,
    /// Headers whose meaning somebody has chosen.
    pub mapping: Mapping,
}

impl Options {
    pub(crate) fn headings(&self) -> Headings<'_> {
        Headings { market: &self.market, mapping: &self.mapping }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            encoding: None,
            target: None,
            market: Market::russia().clone(),
            mapping: Mapping::default(),
        }
    }
}

/// A CSV or XLSX table with all required columns.
pub struct Table<'a> {
    source: Source<'a>,
    options: Options,
    header: Header,
    pub(crate) content: Content<'a>,
}

pub(crate) enum Content<'a> {
    Delimited { format: Format, delimiter: u8 },
    Workbook { workbook: Box<Workbook<'a>>, sheet: usize },
}

impl<'a> Table<'a> {
    /// Opens a table and finds its header; in a workbook, on the first visible sheet that has one.
    ///
    /// # Errors
    /// The file is not a table, is damaged or too large, lacks a required column or has a duplicate one, or cannot be read.
    pub fn open(source: Source<'a>, options: Options) -> Result<Self, TableError> {
        let table = Self::open_any(source, options)?;
        table.header.check(table.options.target).map_err(|fault| fault.in_file(table.source.name()))?;
        Ok(table)
    }

    /// The same for a table that may lack required columns.
    pub(crate) fn open_any(source: Source<'a>, options: Options) -> Result<Self, TableError> {
        let opened = open(&source, &options);
        let (header, content) = opened.map_err(|fault| fault.in_file(source.name()))?;
        Ok(Self { source, options, header, content })
    }

    /// The header of the table.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The format of the file.
    #[must_use]
    pub fn format(&self) -> Format {
        match self.content {
            Content::Delimited { format, .. } => format,
            Content::Workbook { .. } => Format::Xlsx,
        }
    }

    /// The file of the table.
    #[must_use]
    pub fn source(&self) -> &Source<'a> {
        &self.source
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The rows below the header, without blank rows. After an error, the iteration ends.
    ///
    /// # Errors
    /// The same as for [`Table::open`].
    pub fn rows(&mut self) -> Result<Rows<'_, 'a>, TableError> {
        let selected = self.header.selected();
        self.rows_with(selected)
    }

    /// The same with the cells of the selected columns.
    pub(crate) fn rows_with(&mut self, selected: Vec<bool>) -> Result<Rows<'_, 'a>, TableError> {
        let file = self.source.name().to_owned();
        let opened = match &mut self.content {
            Content::Delimited { format, delimiter } => {
                let Options { encoding, limits, .. } = &self.options;
                Delimited::open(&self.source, *format, *delimiter, *encoding, limits)
                    .map(|rows| RowSource::Delimited(Box::new(rows)))
            }
            Content::Workbook { workbook, sheet } => {
                workbook.rows(*sheet, selected).map(|rows| RowSource::Sheet(Box::new(rows)))
            }
        };
        let content = opened.map_err(|fault| fault.in_file(&file))?;
        let limit = self.options.limits.max_rows;
        Ok(Rows { content, header: &self.header, file, count: 0, limit, ended: false })
    }
}

/// The rows of a table.
pub struct Rows<'t, 'a> {
    content: RowSource<'t, 'a>,
    header: &'t Header,
    file: String,
    count: u64,
    limit: u64,
    ended: bool,
}

enum RowSource<'t, 'a> {
    Delimited(Box<Delimited<'a>>),
    Sheet(Box<SheetRows<'t, 'a>>),
}

impl Iterator for Rows<'_, '_> {
    type Item = Result<Row, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_nonempty().map_err(|fault| fault.in_file(&self.file));
        self.ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl Rows<'_, '_> {
    fn next_nonempty(&mut self) -> Result<Option<Row>, Fault> {
        while let Some(row) = self.next_row()? {
            if row.number() <= self.header.row || row.is_empty() {
                continue;
            }
            self.count += 1;
            if self.count > self.limit {
                return Err(too_many_rows(self.limit));
            }
            return Ok(Some(row));
        }
        Ok(None)
    }

    fn next_row(&mut self) -> Result<Option<Row>, Fault> {
        match &mut self.content {
            RowSource::Delimited(rows) => {
                let record = rows.next_record()?;
                Ok(record.map(|record| Row::from_line(record.line, record.fields, self.header)))
            }
            RowSource::Sheet(rows) => {
                let row = rows.next_row()?;
                Ok(row.map(Row::from_sheet))
            }
        }
    }
}

fn open<'a>(source: &Source<'a>, options: &Options) -> Result<(Header, Content<'a>), Fault> {
    let format = Format::detect_content(source)?;
    if format == Format::Xlsx {
        let mut workbook = Workbook::open(source, &options.limits)?;
        let (sheet, candidate) = workbook.find_header(options.headings())?;
        let name = sheet.map(|sheet| workbook.name(sheet).to_owned());
        let header = Header::new(candidate, name, options.headings());
        let sheet = sheet.unwrap_or_default();
        workbook.check_others(sheet)?;
        return Ok((header, Content::Workbook { workbook: Box::new(workbook), sheet }));
    }
    let Options { encoding, limits, .. } = options;
    let delimiter = detect_delimiter(source, format, *encoding, limits, options.headings())?;
    let candidate = find_header(Delimited::open(source, format, delimiter, *encoding, limits)?, options.headings())?;
    let header = Header::new(candidate, None, options.headings());
    Ok((header, Content::Delimited { format, delimiter }))
}

fn find_header(mut rows: Delimited<'_>, headings: Headings<'_>) -> Result<Candidate, Fault> {
    let mut search = Search::new(headings);
    for _ in 0..MAX_HEADER_ROW {
        let Some(record) = rows.next_record()? else { break };
        if search.inspect(record.line, &record.fields.iter()) {
            break;
        }
    }
    Ok(search.into_candidate())
}
