//! A pipeline that reads the rows of a sheet, values them on several threads, and writes them in order. The number of rows
//! in memory is bounded.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io::Write;

use crossbeam_channel::{Receiver, Sender};

use super::outcome::{RowOutcome, ValuedCounts, Valuer, WorkbookError};
use super::splice::{Additions, Insertion, Splicer, write_with_cells};
use super::summary::Figures;
use crate::error::Fault;
use crate::header::Header;
use crate::row::Row;
use crate::workbook::{SheetRow, Workbook};

/// The maximum size of a batch, in rows and in bytes of XML.
const BATCH_ROWS: usize = 256;
const BATCH_BYTES: usize = 256 << 10;

/// A sheet to value, and the additions to it.
pub(super) struct ValuedSheet<'t, 'a> {
    pub(super) workbook: &'t mut Workbook<'a>,
    pub(super) sheet: usize,
    pub(super) header: &'t Header,
    pub(super) additions: Additions,
}

type BatchResult<E> = Result<(Vec<RowOutcome>, ValuedCounts), E>;

/// Rows to value, and the channel for their outcomes.
type WorkItem<E> = (Vec<Row>, Sender<BatchResult<E>>);

/// Copies a sheet with its rows valued.
pub(super) fn value_sheet<E: Send>(
    sheet: ValuedSheet<'_, '_>,
    output: &mut impl Write,
    valuer: &Valuer<'_, E>,
) -> Result<(ValuedCounts, Figures), WorkbookError<E>> {
    let ValuedSheet { workbook, sheet, header, additions } = sheet;
    let threads = valuer.threads.max(1);
    let (work, queue) = crossbeam_channel::unbounded::<WorkItem<E>>();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let queue = queue.clone();
            scope.spawn(move || {
                for (rows, result) in queue {
                    // The receiver is gone once writing has failed.
                    let _ = result.send(valuer.value_rows(header, &rows));
                }
            });
        }
        drop(queue);
        let (mut reader, references) = workbook.reader(sheet)?;
        let selected = header.selected();
        let mut sheet = Pipeline {
            splicer: Splicer::new(&additions),
            header_row: additions.header_row,
            output,
            rows: Vec::new(),
            insertions: Vec::new(),
            work,
            batches: VecDeque::new(),
            max_batches: threads + 1,
            counts: ValuedCounts::default(),
            figures: Figures::default(),
            collects_figures: valuer.presentation.is_some(),
        };
        reader.start(|event, sheet_event| {
            sheet.splicer.copy(event, sheet_event)?;
            sheet.flush_outside_rows()
        })?;
        while let Some(row) =
            reader.next_row(references, &selected, |event, sheet_event| sheet.splicer.copy(event, sheet_event))?
        {
            sheet.add_row(row)?;
        }
        sheet.end_batch()?;
        while !sheet.batches.is_empty() {
            sheet.write_batch()?;
        }
        reader.finish(|event, sheet_event| {
            sheet.splicer.copy(event, sheet_event)?;
            sheet.flush_outside_rows()
        })?;
        let rest = sheet.splicer.take();
        sheet.output.write_all(&rest).map_err(Fault::Write)?;
        Ok((sheet.counts, sheet.figures))
    })
}

/// The state of the pipeline.
struct Pipeline<'s, W, E> {
    splicer: Splicer<'s>,
    header_row: u32,
    output: &'s mut W,
    /// The rows of the next batch.
    rows: Vec<Row>,
    /// Where the outcomes of those rows are inserted.
    insertions: Vec<Insertion>,
    /// The queue of batches to value.
    work: Sender<WorkItem<E>>,
    /// The batches that are being valued, in order.
    batches: VecDeque<Batch<E>>,
    max_batches: usize,
    counts: ValuedCounts,
    figures: Figures,
    collects_figures: bool,
}

/// The XML of rows that are being valued, and the channel for their outcomes.
struct Batch<E> {
    xml: Vec<u8>,
    insertions: Vec<Insertion>,
    result: Receiver<BatchResult<E>>,
}

impl<W: Write, E> Pipeline<'_, W, E> {
    /// Adds a row whose XML has just been copied to the batch.
    fn add_row(&mut self, row: SheetRow) -> Result<(), WorkbookError<E>> {
        match row.number.cmp(&self.header_row) {
            Ordering::Equal => self.splicer.add_headers(),
            Ordering::Greater if row.is_filled => {
                self.insertions.push(self.splicer.take_insertion(row.number));
                self.rows.push(Row::from_sheet(row));
            }
            _ => {}
        }
        if self.rows.len() == BATCH_ROWS || self.splicer.pending_bytes() >= BATCH_BYTES {
            self.end_batch()?;
        }
        Ok(())
    }

    /// Queues the current batch, and writes the oldest one if too many are in flight.
    fn end_batch(&mut self) -> Result<(), WorkbookError<E>> {
        let (sender, result) = crossbeam_channel::bounded(1);
        // If the threads are gone, receiving the result fails.
        let _ = self.work.send((std::mem::take(&mut self.rows), sender));
        let (xml, insertions) = (self.splicer.take(), std::mem::take(&mut self.insertions));
        self.batches.push_back(Batch { xml, insertions, result });
        if self.batches.len() > self.max_batches { self.write_batch() } else { Ok(()) }
    }

    /// Waits for the oldest batch and writes it.
    fn write_batch(&mut self) -> Result<(), WorkbookError<E>> {
        let Some(Batch { xml, insertions, result }) = self.batches.pop_front() else { return Ok(()) };
        // A thread that panicked sends no result; the scope propagates its panic.
        let (outcomes, counts) = result.recv().map_err(|_| Fault::Cancelled)?.map_err(WorkbookError::Value)?;
        self.counts += counts;
        if self.collects_figures {
            for outcome in &outcomes {
                self.figures.add(outcome);
            }
        }
        let splicer = &self.splicer;
        let cells = insertions.into_iter().zip(&outcomes);
        let cells = cells.map(|(insertion, outcome)| (insertion.bytes, splicer.cells(insertion.row, outcome)));
        write_with_cells(self.output, &xml, cells)?;
        Ok(())
    }

    /// Writes the XML before and after the rows, which does not depend on outcomes.
    fn flush_outside_rows(&mut self) -> Result<(), Fault> {
        if self.splicer.pending_bytes() < BATCH_BYTES {
            return Ok(());
        }
        self.output.write_all(&self.splicer.take()).map_err(Fault::Write)
    }
}
