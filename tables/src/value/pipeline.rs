//! The pipeline of a sheet's rows: read, valued in threads, and written in order, each with its outcome. Only as many are
//! in memory as keep the threads busy.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io::Write;

use crossbeam_channel::{Receiver, Sender};

use super::outcome::{RowOutcome, Stop, ValuedCounts, Valuer};
use super::splice::{Additions, Place, Splicer, write_with};
use crate::error::Fault;
use crate::header::Header;
use crate::row::Row;
use crate::workbook::{SheetRow, Workbook};

/// The size of a batch, in rows and in bytes of XML, whichever is reached first.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 256 << 10;

/// A sheet that is to be valued, and what is added to it.
pub(super) struct ValuedSheet<'t, 'a> {
    pub(super) workbook: &'t mut Workbook<'a>,
    pub(super) sheet: usize,
    pub(super) header: &'t Header,
    pub(super) additions: &'t Additions,
}

type Valued<E> = Result<(Vec<RowOutcome>, ValuedCounts), E>;

/// Rows to be valued, and where to send their outcomes.
type Question<E> = (Vec<Row>, Sender<Valued<E>>);

/// Copies a sheet, its rows valued.
pub(super) fn value_sheet<E: Send>(
    sheet: ValuedSheet<'_, '_>,
    output: &mut impl Write,
    valuer: &Valuer<'_, E>,
) -> Result<ValuedCounts, Stop<E>> {
    let ValuedSheet { workbook, sheet, header, additions } = sheet;
    let threads = valuer.threads.max(1);
    let (ask, questions) = crossbeam_channel::unbounded::<Question<E>>();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let questions = questions.clone();
            scope.spawn(move || {
                for (rows, answer) in questions {
                    // The receiver is gone once writing has failed.
                    let _ = answer.send(valuer.value_rows(header, &rows));
                }
            });
        }
        drop(questions);
        let (mut reader, references) = workbook.reader(sheet)?;
        let wanted = header.wanted();
        let mut sheet = Progress {
            splicer: Splicer::new(additions),
            header_row: additions.header_row,
            output,
            rows: Vec::new(),
            places: Vec::new(),
            ask,
            batches: VecDeque::new(),
            max_batches: threads + 1,
            summary: ValuedCounts::default(),
        };
        reader.begin(|event, step| {
            sheet.splicer.copy(event, step)?;
            sheet.write_outside()
        })?;
        while let Some(row) = reader.next_row(references, &wanted, |event, step| sheet.splicer.copy(event, step))? {
            sheet.add(row)?;
        }
        sheet.end_batch()?;
        while !sheet.batches.is_empty() {
            sheet.write_batch()?;
        }
        reader.finish(|event, step| {
            sheet.splicer.copy(event, step)?;
            sheet.write_outside()
        })?;
        let rest = sheet.splicer.take();
        sheet.output.write_all(&rest).map_err(Fault::Write)?;
        Ok(sheet.summary)
    })
}

/// The state of copying a sheet.
struct Progress<'s, W, E> {
    splicer: Splicer<'s>,
    header_row: u32,
    output: &'s mut W,
    /// Rows that have been read, and where their outcomes go.
    rows: Vec<Row>,
    places: Vec<Place>,
    ask: Sender<Question<E>>,
    /// Those that are being valued, in order.
    batches: VecDeque<Batch<E>>,
    max_batches: usize,
    summary: ValuedCounts,
}

/// The XML of rows that are being valued.
struct Batch<E> {
    xml: Vec<u8>,
    places: Vec<Place>,
    valued: Receiver<Valued<E>>,
}

impl<W: Write, E> Progress<'_, W, E> {
    /// Takes in a row whose XML has just been copied.
    fn add(&mut self, row: SheetRow) -> Result<(), Stop<E>> {
        match row.number.cmp(&self.header_row) {
            Ordering::Equal => self.splicer.add_titles(),
            Ordering::Greater if row.is_filled => {
                self.places.push(self.splicer.take_place(row.number));
                self.rows.push(Row::of_sheet(row));
            }
            _ => {}
        }
        if self.rows.len() == BATCH || self.splicer.waiting() >= BATCH_BYTES {
            self.end_batch()?;
        }
        Ok(())
    }

    /// Sends the rows read so far to be valued, and writes an earlier batch if too many are in flight.
    fn end_batch(&mut self) -> Result<(), Stop<E>> {
        let (answer, valued) = crossbeam_channel::bounded(1);
        // If the threads are gone, waiting for the answer fails.
        let _ = self.ask.send((std::mem::take(&mut self.rows), answer));
        let (xml, places) = (self.splicer.take(), std::mem::take(&mut self.places));
        self.batches.push_back(Batch { xml, places, valued });
        if self.batches.len() > self.max_batches { self.write_batch() } else { Ok(()) }
    }

    /// Writes the earliest of the rows that are being valued.
    fn write_batch(&mut self) -> Result<(), Stop<E>> {
        let Some(Batch { xml, places, valued }) = self.batches.pop_front() else { return Ok(()) };
        // A thread that panicked sends no answer; the scope passes its panic on.
        let (outcomes, summary) = valued.recv().map_err(|_| Fault::Abandoned)?.map_err(Stop::Value)?;
        self.summary += summary;
        let splicer = &self.splicer;
        let cells = places.into_iter().zip(&outcomes);
        let cells = cells.map(|(place, outcome)| (place.bytes, splicer.cells(place.row, outcome)));
        write_with(self.output, &xml, cells)?;
        Ok(())
    }

    /// Writes the XML outside of the rows, which waits for no outcome.
    fn write_outside(&mut self) -> Result<(), Fault> {
        if self.splicer.waiting() < BATCH_BYTES {
            return Ok(());
        }
        self.output.write_all(&self.splicer.take()).map_err(Fault::Write)
    }
}
