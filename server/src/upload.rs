//! A file in a form (`multipart/form-data`, field `file`): small ones stay in memory, others go to the disk.

use std::path::Path;

use axum::extract::multipart::{Field, MultipartError, MultipartRejection};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use tables::Source;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio::sync::SemaphorePermit;
use utoipa::ToSchema;

use crate::body::too_large;
use crate::problem::{FieldError, Problem};
use crate::state::State;

/// A form with a workbook.
#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the form is read by hand; this is its description")]
pub(crate) struct WorkbookForm {
    /// The workbook (.xlsx), with at least the columns brand, year and mileage.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    file: Vec<u8>,
}

/// A file that was sent.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Its name, without folders.
    pub(crate) name: String,
    /// All of it.
    pub(crate) content: Content,
}

/// Where a file is. One on the disk is gone with this.
#[derive(Debug)]
pub(crate) enum Content {
    Memory(Vec<u8>),
    Disk(NamedTempFile),
}

/// The name of a file that came without one.
const UNNAMED: &str = "cars.xlsx";
const FIELD: &str = "file";
/// The most bytes of a file that stays in memory.
const IN_MEMORY: usize = 1 << 20;
/// So many files at a time may stay in memory while they arrive.
pub(crate) const MOST_IN_MEMORY: usize = 32;

impl Upload {
    /// The file as a table.
    pub(crate) fn source(&self) -> Source<'_> {
        match &self.content {
            Content::Memory(bytes) => Source::bytes(&self.name, bytes),
            Content::Disk(file) => Source::file(file.path()).named(&self.name),
        }
    }
}

/// Reads the form's file. The body's limit is that of the path, and each piece must come within the idle time.
pub(crate) async fn read(state: &State, request: Request) -> Result<Upload, Problem> {
    let too_large = too_large(&request);
    let broken = |error: &MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large.clone(),
        _ => Problem::MalformedForm { detail: error.body_text() },
    };
    let mut form = Multipart::from_request(request, &()).await.map_err(refused)?;
    let mut upload = None;
    while let Some(part) = in_time(state, form.next_field()).await?.map_err(|error| broken(&error))? {
        match part.name() {
            Some(FIELD) if upload.is_none() => upload = Some(receive(state, part, &broken).await?),
            name => return Err(unexpected_part(name.unwrap_or_default())),
        }
    }
    upload.ok_or_else(missing_file)
}

/// The form has a part that means nothing, or a second file.
fn unexpected_part(name: &str) -> Problem {
    let name: String = name.chars().take(60).collect();
    let (msg, code) = if name == FIELD {
        ("the form has more than one file; send them one by one".to_owned(), "duplicate_field")
    } else {
        (format!("{name:?} is not a field of this form, which has the one field `file`"), "unknown_field")
    };
    Problem::invalid(FieldError::in_body(&[name.as_str().into()], msg, code))
}

async fn receive(
    state: &State,
    mut part: Field<'_>,
    broken: &impl Fn(&MultipartError) -> Problem,
) -> Result<Upload, Problem> {
    let name = part.file_name().map_or(UNNAMED, last_part).to_owned();
    let mut arriving = Arriving::new(state);
    while let Some(chunk) = in_time(state, part.chunk()).await?.map_err(|error| broken(&error))? {
        arriving.add(&chunk).await.map_err(|error| Problem::internal(&error))?;
    }
    let content = arriving.end().await.map_err(|error| Problem::internal(&error))?;
    Ok(Upload { name, content })
}

/// A caller who sends nothing for too long is not waited for.
async fn in_time<T>(state: &State, next: impl Future<Output = T>) -> Result<T, Problem> {
    let limit = state.config().idle_timeout;
    tokio::time::timeout(limit, next).await.map_err(|_| Problem::TooSlow { seconds: limit.as_secs() })
}

/// A file on its way in.
struct Arriving<'s> {
    folder: &'s Path,
    bytes: Vec<u8>,
    /// Without it, there is no room in memory.
    room: Option<SemaphorePermit<'s>>,
    disk: Option<(NamedTempFile, tokio::fs::File)>,
}

impl<'s> Arriving<'s> {
    fn new(state: &'s State) -> Self {
        let room = state.upload_room().try_acquire().ok();
        Self { folder: &state.config().folder, bytes: Vec::new(), room, disk: None }
    }

    async fn add(&mut self, chunk: &[u8]) -> std::io::Result<()> {
        if self.disk.is_none() && self.room.is_some() && self.bytes.len() + chunk.len() <= IN_MEMORY {
            self.bytes.extend_from_slice(chunk);
            return Ok(());
        }
        let mut disk = match self.disk.take() {
            Some(disk) => disk,
            None => self.open().await?,
        };
        disk.1.write_all(chunk).await?;
        self.disk = Some(disk);
        Ok(())
    }

    /// A file with what is in memory.
    async fn open(&mut self) -> std::io::Result<(NamedTempFile, tokio::fs::File)> {
        self.room = None;
        let bytes = std::mem::take(&mut self.bytes);
        let file = temporary_file(self.folder).await?;
        let mut writer = tokio::fs::File::from_std(file.reopen()?);
        writer.write_all(&bytes).await?;
        Ok((file, writer))
    }

    async fn end(mut self) -> std::io::Result<Content> {
        let Some((file, mut writer)) = self.disk.take() else { return Ok(Content::Memory(self.bytes)) };
        writer.flush().await?;
        Ok(Content::Disk(file))
    }
}

/// A file of the server's own, gone when nobody holds it any more.
pub(crate) async fn temporary_file(folder: &Path) -> std::io::Result<NamedTempFile> {
    let folder = folder.to_owned();
    let made = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder)?;
        tempfile::Builder::new().prefix("upload-").tempfile_in(folder)
    });
    made.await.map_err(std::io::Error::other)?
}

/// The form has no file.
pub(crate) fn missing_file() -> Problem {
    let msg = "the form needs a field `file` with an .xlsx workbook".to_owned();
    Problem::invalid(FieldError::in_body(&[FIELD.into()], msg, "missing"))
}

/// Browsers send a bare name; others may send a path.
fn last_part(name: &str) -> &str {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    if name.is_empty() { UNNAMED } else { name }
}

fn refused(rejection: MultipartRejection) -> Problem {
    match rejection {
        MultipartRejection::InvalidBoundary(_) => {
            Problem::UnsupportedMediaType { expected: "multipart/form-data; boundary=…" }
        }
        rejection => Problem::MalformedForm { detail: rejection.body_text() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_folders() {
        assert_eq!(last_part("C:\\Users\\ann\\машины.xlsx"), "машины.xlsx");
        assert_eq!(last_part("../../etc/"), UNNAMED);
    }
}
