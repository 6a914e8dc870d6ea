//! A file uploaded in a form (`multipart/form-data`, field `file`), with the meaning of its headers (field `mapping`).

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use domain::cell::shorten;
use futures_util::Stream;
use multer::{Field, Multipart};
use tables::{Mapping, Source};
use utoipa::ToSchema;

use crate::http::body::{Admitted, too_slow};
use crate::http::buffers::Buffers;
use crate::http::file::{FileWriter, Quota, StoredFile, write_error};
use crate::http::problem::{FieldError, Problem};

/// A form with a workbook.
#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only a schema; the form is read in parts")]
pub(crate) struct WorkbookForm {
    /// The workbook (.xlsx) or CSV, with at least the columns brand, year and mileage.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    file: Vec<u8>,
    /// What columns mean, chosen by hand: a JSON object from headers to names of columns, or to `ignore`. `#4` stands for the fourth
    /// column, for those without a header or with that of another one.
    #[schema(nullable = false, example = json!(r#"{"Пробек": "mileage", "Цена закупки": "ignore"}"#))]
    mapping: Option<String>,
}

/// An uploaded file.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Its name, without folders.
    pub(crate) name: String,
    file: StoredFile,
    /// The meaning of its headers, where the form says it.
    pub(crate) mapping: Mapping,
    /// The work that it takes, as the inflated size of a workbook in bytes: that declared in its ZIP directory.
    pub(crate) inflated_bytes: u64,
}

/// The name of a file without one.
const DEFAULT_NAME: &str = "cars.xlsx";
const FIELD: &str = "file";
/// The number of inflated workbook bytes that take as much work as a byte of CSV.
const BYTES_PER_CSV_BYTE: u64 = 4;
const MAPPING: &str = "mapping";
/// The maximum size of a mapping in bytes: a table has at most a few hundred columns.
const MAX_MAPPING_BYTES: usize = 64 << 10;
/// The maximum length of a file name in characters.
const MAX_NAME_CHARS: usize = 255;
/// The maximum length of an extension that is preserved when a name is truncated, in characters.
const MAX_EXTENSION_CHARS: usize = 10;
/// The maximum size of a part's head, and of the form's preamble, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// The maximum length of a boundary (RFC 2046, 5.1.1).
const MAX_BOUNDARY_CHARS: usize = 70;

impl Upload {
    /// The file as a table.
    pub(crate) fn source(&self) -> Source<'_> {
        self.file.source(&self.name)
    }
}

/// Receives the file of the form.
pub(crate) async fn receive_file(buffers: &Arc<Buffers>, request: Request) -> Result<Upload, Problem> {
    let Admitted { caller, max_bytes } = Admitted::of(&request)?;
    let boundary = boundary(request.headers())?;
    let head = HeadLimit::default();
    let chunks = FormChunks {
        body: request.into_body().into_data_stream(),
        chunk: Bytes::new(),
        max_bytes,
        received: 0,
        head: head.clone(),
        has_yielded: false,
    };
    let mut form = Multipart::new(chunks, boundary);
    let (mut file, mut mapping) = (None, None);
    while let Some(part) = next_part(&mut form, &head).await? {
        match part.name() {
            Some(FIELD) if file.is_none() => file = Some(store(Quota::for_upload(buffers, caller), part).await?),
            Some(MAPPING) if mapping.is_none() => mapping = Some(read_mapping(part).await?),
            name => return Err(unexpected_part(name.unwrap_or_default())),
        }
    }
    let (name, file, size) = file.ok_or_else(Problem::missing_file)?;
    let measured = tokio::task::spawn_blocking(move || {
        let inflated_bytes = tables::inflated_size(&file.source(&name)).max(size.saturating_mul(BYTES_PER_CSV_BYTE));
        Upload { name, file, mapping: mapping.unwrap_or_default(), inflated_bytes }
    });
    measured.await.map_err(|error| Problem::internal(&error))
}

/// The boundary between the parts of a form.
fn boundary(headers: &HeaderMap) -> Result<String, Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(content_type);
    let boundary = boundary.ok().filter(|boundary| (1..=MAX_BOUNDARY_CHARS).contains(&boundary.len()));
    boundary.ok_or(Problem::UnsupportedMediaType { expected: "multipart/form-data; boundary=…" })
}

/// Reads the head of the next part.
async fn next_part<'f>(form: &mut Multipart<'f>, head: &HeadLimit) -> Result<Option<Field<'f>>, Problem> {
    head.set(MAX_HEAD_BYTES);
    let part = form.next_field().await.map_err(|error| form_error(&error))?;
    head.lift();
    // A head in the same chunk as the end of the previous part has not been counted.
    let size = |part: &Field<'_>| -> usize {
        part.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
    };
    match part {
        Some(part) if size(&part) > MAX_HEAD_BYTES => Err(head_too_long()),
        part => Ok(part),
    }
}

/// Reads a part to its end.
async fn store(quota: Quota, mut part: Field<'_>) -> Result<(String, StoredFile, u64), Problem> {
    let name = part.file_name().map_or_else(|| DEFAULT_NAME.to_owned(), file_name);
    let mut writer = FileWriter::new(quota);
    let mut size = 0;
    while let Some(chunk) = part.chunk().await.map_err(|error| form_error(&error))? {
        size += chunk.len() as u64;
        writer = writer.append(chunk).await.map_err(|error| write_error(&error))?;
    }
    Ok((name, writer.finish(), size))
}

/// Reads the meaning of headers that somebody has chosen.
async fn read_mapping(mut part: Field<'_>) -> Result<Mapping, Problem> {
    let mut text = Vec::new();
    while let Some(chunk) = part.chunk().await.map_err(|error| form_error(&error))? {
        text.extend_from_slice(&chunk);
        if text.len() > MAX_MAPPING_BYTES {
            return Err(invalid_mapping(format!("mapping must be at most {MAX_MAPPING_BYTES} bytes"), "too_long"));
        }
    }
    let choices: BTreeMap<String, String> = serde_json::from_slice(&text).map_err(|error| {
        let msg = format!("mapping must be a JSON object from headers to names of columns or \"ignore\": {error}");
        invalid_mapping(msg, "not_an_object")
    })?;
    let choices = choices.iter().map(|(header, choice)| (header.as_str(), choice.as_str()));
    Mapping::new(choices).map_err(|error| {
        let msg = format!("mapping of {:?}: {:?} is not a column", shorten(&error.header), shorten(&error.choice));
        invalid_mapping(msg, "unknown_column")
    })
}

fn invalid_mapping(msg: String, code: &'static str) -> Problem {
    Problem::invalid(FieldError::in_body(&[MAPPING.into()], msg, code))
}

/// The problem for an unknown part or a second file.
fn unexpected_part(name: &str) -> Problem {
    let name: String = name.chars().take(60).collect();
    let (msg, code) = if name == FIELD {
        ("the form has more than one file; send them one by one".to_owned(), "duplicate_field")
    } else if name == MAPPING {
        ("the form has more than one mapping".to_owned(), "duplicate_field")
    } else {
        (format!("{name:?} is not a field of this form, which has the fields `file` and `mapping`"), "unknown_field")
    };
    Problem::invalid(FieldError::in_body(&[name.as_str().into()], msg, code))
}

fn head_too_long() -> Problem {
    let detail = format!("the head of a part exceeds {MAX_HEAD_BYTES} bytes");
    Problem::MalformedForm { detail }
}

fn form_error(error: &multer::Error) -> Problem {
    match error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast_ref() {
            Some(Refused(problem)) => problem.clone(),
            None => Problem::MalformedForm { detail: "the form ended early".to_owned() },
        },
        error => Problem::MalformedForm { detail: error.to_string() },
    }
}

/// The file name without folders, which some clients send, truncated to the maximum length.
fn file_name(given: &str) -> String {
    let name = given.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.chars().count() <= MAX_EXTENSION_CHARS => (stem, format!(".{extension}")),
        _ => (name, String::new()),
    };
    if name.is_empty() { DEFAULT_NAME.to_owned() } else { limited_name(stem, &extension) }
}

/// A file name with this suffix, its stem truncated if necessary.
pub(crate) fn limited_name(stem: &str, suffix: &str) -> String {
    let room = MAX_NAME_CHARS.saturating_sub(suffix.chars().count());
    stem.chars().take(room).chain(suffix.chars()).collect()
}

/// The number of bytes that the head of a part may still have.
#[derive(Clone, Debug)]
struct HeadLimit(Arc<AtomicUsize>);

impl HeadLimit {
    fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Removes the limit: the following bytes are not a head.
    fn lift(&self) {
        self.set(usize::MAX);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for HeadLimit {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(usize::MAX)))
    }
}

/// The problem that ended the reading of a form.
#[derive(Debug, thiserror::Error)]
#[error("the form was refused")]
struct Refused(Problem);

/// The bytes of a form. The parser buffers everything until a head is complete, so within a head it gets small chunks, and an
/// error if the head is too long.
struct FormChunks {
    body: BodyDataStream,
    /// Bytes that have been received but not passed on.
    chunk: Bytes,
    max_bytes: usize,
    received: usize,
    head: HeadLimit,
    /// Whether the parser has yet to process the last chunk.
    has_yielded: bool,
}

/// The number of bytes to pass to the parser at a time within a head.
const HEAD_CHUNK_BYTES: usize = 2 << 10;

impl Stream for FormChunks {
    type Item = Result<Bytes, Refused>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let left = self.head.get();
        if left < usize::MAX && std::mem::take(&mut self.has_yielded) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        while self.chunk.is_empty() {
            self.chunk = match ready!(Pin::new(&mut self.body).poll_next(cx)) {
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => {
                    let ended_early = || Problem::MalformedForm { detail: "the form ended early".to_owned() };
                    return Poll::Ready(Some(Err(Refused(too_slow(&error).unwrap_or_else(ended_early)))));
                }
                None => return Poll::Ready(None),
            };
            self.received = self.received.saturating_add(self.chunk.len());
            if self.received > self.max_bytes {
                return Poll::Ready(Some(Err(Refused(Problem::TooLarge { limit: self.max_bytes }))));
            }
        }
        if left == usize::MAX {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.chunk))));
        }
        if left == 0 {
            return Poll::Ready(Some(Err(Refused(head_too_long()))));
        }
        let size = self.chunk.len().min(left).min(HEAD_CHUNK_BYTES);
        self.head.set(left - size);
        self.has_yielded = true;
        Poll::Ready(Some(Ok(self.chunk.split_to(size))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_removed_from_names() {
        assert_eq!(file_name("C:\\Users\\ann\\машины.xlsx"), "машины.xlsx");
        assert_eq!(file_name("../../etc/"), DEFAULT_NAME);
    }

    #[test]
    fn long_names_are_truncated_before_their_extension() {
        let cut = file_name(&format!("{}.xlsx", "ё".repeat(1000)));
        assert_eq!((cut.chars().count(), cut.ends_with("ё.xlsx")), (255, true));
        assert_eq!(file_name(&"x".repeat(300)), "x".repeat(255));
        assert_eq!(file_name(&format!("a.{}", "x".repeat(300))).chars().count(), 255);
    }
}
