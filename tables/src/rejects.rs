//! The file of rejected rows.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Fault, TableError};
use crate::row::Rejection;

/// A CSV of what was rejected: `file,row,column,value,reason`, a line for each thing that is wrong.
/// It is created with the first rejection, so that without one there is no file. UTF-8 with a
/// byte order mark, as Excel wants it.
#[derive(Debug)]
pub struct RejectsFile {
    path: PathBuf,
    writer: Option<csv::Writer<BufWriter<File>>>,
    rows: u64,
}

impl RejectsFile {
    /// A file that is to be written at this path, or beside it: a file that is there stays as it is, and this one is
    /// numbered, as in `rejects.2.csv`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), writer: None, rows: 0 }
    }

    /// Where the file is, once something was written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what is wrong with one row.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, file: &str, row: u64, rejections: &[Rejection]) -> Result<(), TableError> {
        self.rows += 1;
        self.write_lines(file, row, rejections).map_err(|error| self.failed(error))
    }

    /// Brings what was written to the disk and tells how many rows were rejected so far.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&mut self) -> Result<u64, TableError> {
        let flushed = self.writer.as_mut().map_or(Ok(()), csv::Writer::flush);
        flushed.map_err(|error| self.failed(error))?;
        Ok(self.rows)
    }

    fn write_lines(&mut self, file: &str, row: u64, rejections: &[Rejection]) -> io::Result<()> {
        let writer = if let Some(writer) = &mut self.writer {
            writer
        } else {
            let (file, path) = create_new(&self.path)?;
            self.path = path;
            self.writer.insert(begin(file)?)
        };
        for rejection in rejections {
            let value = disarm(&rejection.value);
            writer.write_record([file, &row.to_string(), rejection.column, &value, &rejection.reason])?;
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> TableError {
        Fault::Write(error).in_file(&self.path.display().to_string())
    }
}

/// Creates a file at a path or, if it exists, at the first free one of the numbered paths beside it.
fn create_new(path: &Path) -> io::Result<(File, PathBuf)> {
    let numbered = (2_u32..).map(|number| {
        let suffix = path.extension().map_or_else(String::new, |extension| format!(".{}", extension.display()));
        path.with_extension(format!("{number}{suffix}"))
    });
    for path in std::iter::once(path.to_owned()).chain(numbered) {
        match File::create_new(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || path.is_dir() => return Err(error),
            Err(_) if is_stream(&path) => return Ok((File::options().append(true).open(&path)?, path)),
            Err(_) => {}
            Ok(file) => return Ok((file, path)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A device, a pipe or an open file, none of which can lose what it holds.
fn is_stream(path: &Path) -> bool {
    ["/dev", "/proc"].iter().any(|open| path.starts_with(open))
        || path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir())
}

fn begin(file: File) -> io::Result<csv::Writer<BufWriter<File>>> {
    let mut file = BufWriter::new(file);
    file.write_all("\u{feff}".as_bytes())?;
    let mut writer = csv::Writer::from_writer(file);
    writer.write_record(["file", "row", "column", "value", "reason"])?;
    Ok(writer)
}

/// Escapes values that a spreadsheet program would take for a formula, since they come from untrusted files.
fn disarm(value: &str) -> Cow<'_, str> {
    let formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']) && value.parse::<f64>().is_err();
    if formula { Cow::Owned(format!("'{value}")) } else { Cow::Borrowed(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rejection_makes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects.csv");
        assert_eq!(RejectsFile::new(&path).flush().unwrap(), 0);
        assert!(!path.exists());
    }

    #[test]
    fn every_problem_is_a_line_and_no_formula() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects.csv");
        let mut rejects = RejectsFile::new(&path);
        let rejection =
            |column, value: &str| Rejection { column, value: value.to_owned(), reason: "is bad".to_owned() };
        rejects.write("a.csv", 7, &[rejection("year", "-5"), rejection("mileage", "=cmd()")]).unwrap();
        assert_eq!(rejects.flush().unwrap(), 1);
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = "\u{feff}file,row,column,value,reason\na.csv,7,year,-5,is bad\na.csv,7,mileage,'=cmd(),is bad\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_file_that_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cars.rejects.csv");
        let write = |row| {
            let mut rejects = RejectsFile::new(&path);
            for row in [row, row + 1] {
                let rejection = Rejection { column: "", value: String::new(), reason: "is bad".to_owned() };
                rejects.write("a.csv", row, &[rejection]).unwrap();
            }
            rejects.flush().unwrap();
            let written = std::fs::read_to_string(rejects.path()).unwrap();
            (rejects.path().file_name().unwrap().to_owned(), written.lines().count())
        };
        let written = [write(1), write(3), write(5)];
        assert_eq!(
            written,
            ["cars.rejects.csv", "cars.rejects.2.csv", "cars.rejects.3.csv"].map(|name| (name.into(), 3))
        );
        assert!(std::fs::read_to_string(&path).unwrap().contains("a.csv,1,"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let mut rejects = RejectsFile::new("/nonexistent/rejects.csv");
        let error = rejects.write("a", 1, &[]).unwrap_err();
        assert!(!error.is_users_fault());
        assert!(error.to_string().starts_with("/nonexistent/rejects.csv: the result could not be written"));
    }
}
