//! The file of rejected rows.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use files::AtomicFile;

use crate::error::{Fault, TableError};
use crate::row::Rejection;

/// A CSV of rejections with the columns `file,row,column,value,reason`, in UTF-8 with a byte order mark for Excel. It is
/// created with the first rejection.
#[derive(Debug)]
pub struct RejectsFile {
    path: PathBuf,
    writer: Option<csv::Writer<AtomicFile>>,
    rows: u64,
}

impl RejectsFile {
    /// A file at this path. An existing file is never overwritten: the new one is numbered, as in `rejects.2.csv`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), writer: None, rows: 0 }
    }

    /// The path of the published file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the rejections of a row.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, file: &str, row: u64, rejections: &[Rejection]) -> Result<(), TableError> {
        self.rows += 1;
        self.write_lines(file, row, rejections).map_err(|error| self.failed(error))
    }

    /// Publishes everything written so far under the final name, and returns the number of rejected rows. More may follow.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn publish(&mut self) -> Result<u64, TableError> {
        self.publish_lines().map_err(|error| self.failed(error))?;
        Ok(self.rows)
    }

    fn publish_lines(&mut self) -> io::Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let mut file = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
        file.publish_new()?.clone_into(&mut self.path);
        self.writer = Some(csv::Writer::from_writer(file));
        Ok(())
    }

    fn write_lines(&mut self, file: &str, row: u64, rejections: &[Rejection]) -> io::Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            empty => empty.insert(start_csv(AtomicFile::create(&self.path)?)?),
        };
        for rejection in rejections {
            let value = escape_formula(&rejection.value);
            writer.write_record([file, &row.to_string(), rejection.column, &value, &rejection.reason])?;
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> TableError {
        Fault::Write(error).in_file(&self.path.display().to_string())
    }
}

fn start_csv(mut file: AtomicFile) -> io::Result<csv::Writer<AtomicFile>> {
    file.write_all("\u{feff}".as_bytes())?;
    let mut writer = csv::Writer::from_writer(file);
    writer.write_record(["file", "row", "column", "value", "reason"])?;
    Ok(writer)
}

/// Escapes values that a spreadsheet program would interpret as a formula, since they come from untrusted files.
fn escape_formula(value: &str) -> Cow<'_, str> {
    let is_formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']) && value.parse::<f64>().is_err();
    if is_formula { Cow::Owned(format!("'{value}")) } else { Cow::Borrowed(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_rejections_there_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects.csv");
        assert_eq!(RejectsFile::new(&path).publish().unwrap(), 0);
        assert!(!path.exists());
    }

    #[test]
    fn every_rejection_is_a_line_and_formulas_are_escaped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects.csv");
        let mut rejects = RejectsFile::new(&path);
        let rejection = |column, value: &str| Rejection {
            column,
            value: value.to_owned(),
            code: "bad",
            reason: "is bad".to_owned(),
        };
        rejects.write("a.csv", 7, &[rejection("year", "-5"), rejection("mileage", "=cmd()")]).unwrap();
        assert_eq!(rejects.publish().unwrap(), 1);
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = "\u{feff}file,row,column,value,reason\na.csv,7,year,-5,is bad\na.csv,7,mileage,'=cmd(),is bad\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_existing_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cars.rejects.csv");
        let write = |row| {
            let mut rejects = RejectsFile::new(&path);
            for row in [row, row + 1] {
                let rejection =
                    Rejection { column: "", value: String::new(), code: "bad", reason: "is bad".to_owned() };
                rejects.write("a.csv", row, &[rejection]).unwrap();
            }
            rejects.publish().unwrap();
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
    fn a_missing_folder_is_reported() {
        let mut rejects = RejectsFile::new("/nonexistent/rejects.csv");
        let error = rejects.write("a", 1, &[]).unwrap_err();
        assert!(!error.is_invalid_file());
        assert!(error.to_string().starts_with("/nonexistent/rejects.csv: the result could not be written"));
    }
}
