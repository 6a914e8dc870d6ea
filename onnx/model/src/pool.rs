//! Sessions that are lent to one caller at a time.

use crossbeam_channel::{Receiver, Sender};

use crate::Error;
use crate::runtime::Session;

/// What a run costs beyond its rows, in rows: measured.
const RUN: usize = 6;

/// A few sets of sessions, each used by one caller at a time.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Receiver<Vec<Session>>,
    give_back: Sender<Vec<Session>>,
}

impl Pool {
    /// A pool of `sets`, one at least, each a session for every number of rows that `open` is called with.
    pub(crate) fn open(
        sets: usize,
        rows: &[usize],
        mut open: impl FnMut(usize) -> Result<Session, Error>,
    ) -> Result<Self, Error> {
        let (give_back, idle) = crossbeam_channel::bounded(sets.max(1));
        for _ in 0..sets.max(1) {
            let set = rows.iter().map(|rows| open(*rows)).collect::<Result<_, _>>()?;
            // The channel holds as many as are made and its other end lives in `self`.
            let _ = give_back.send(set);
        }
        Ok(Self { idle, give_back })
    }

    /// Runs the graph on so many rows. Blocks while it computes, and while every set is in use.
    pub(crate) fn run(&self, rows: usize, ids: &[i64], numbers: &[f32]) -> Result<Vec<f32>, Error> {
        let closed = || Error::Graph("its sessions are closed".to_owned());
        let mut set = self.idle.recv().map_err(|_| closed())?;
        let quantiles = run(&mut set, rows, ids, numbers);
        self.give_back.send(set).map_err(|_| closed())?;
        quantiles
    }
}

fn run(set: &mut [Session], rows: usize, mut ids: &[i64], mut numbers: &[f32]) -> Result<Vec<f32>, Error> {
    let mut quantiles = Vec::new();
    let mut left = rows;
    while left > 0 {
        let sizes = set.iter().map(Session::rows);
        let best = cheapest(sizes, left).ok_or_else(|| Error::Graph("it has no session".to_owned()))?;
        let count = left.min(set[best].rows());
        let (these_ids, other_ids) = ids.split_at(ids.len() / left * count);
        let (these_numbers, other_numbers) = numbers.split_at(numbers.len() / left * count);
        set[best].run(these_ids, these_numbers, &mut quantiles)?;
        (ids, numbers, left) = (other_ids, other_numbers, left - count);
    }
    if ids.is_empty() && numbers.is_empty() {
        Ok(quantiles)
    } else {
        Err(Error::Graph(format!("{rows} rows leave {} ids and {} numbers over", ids.len(), numbers.len())))
    }
}

/// The place of the size with which so many rows cost least.
fn cheapest(sizes: impl Iterator<Item = usize>, rows: usize) -> Option<usize> {
    let costs = sizes.enumerate().map(|(place, size)| (rows.div_ceil(size) * (RUN + size), place));
    costs.min().map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_computed_where_they_cost_least() {
        let chosen = |rows| cheapest([4, 12, 24].into_iter(), rows).unwrap();
        let places: Vec<_> = [1, 4, 5, 12, 13, 24, 25, 1000].into_iter().map(chosen).collect();
        assert_eq!(places, [0, 0, 1, 1, 2, 2, 1, 2]);
    }
}
