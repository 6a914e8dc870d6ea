//! A file in a form (`multipart/form-data`, field `file`).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use futures_util::Stream;
use multer::{Field, Multipart};
use tables::Source;
use utoipa::ToSchema;

use crate::body::{Admitted, too_slow};
use crate::content::{Content, Room, Writer, unwritten};
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
    content: Content,
    /// How many bytes it says that it has, inflated.
    pub(crate) inflated: u64,
}

/// The name of a file that came without one.
const UNNAMED: &str = "cars.xlsx";
const FIELD: &str = "file";
/// The longest name of a file, in characters.
const LONGEST_NAME: usize = 255;
/// The longest extension that stays where a name is cut.
const LONGEST_EXTENSION: usize = 10;
/// The most bytes of a part's head, and of what stands before the first part.
const LONGEST_HEAD: usize = 16 << 10;
/// The longest boundary (RFC 2046, 5.1.1).
const LONGEST_BOUNDARY: usize = 70;

impl Upload {
    /// The file as a table.
    pub(crate) fn source(&self) -> Source<'_> {
        self.content.source(&self.name)
    }
}

/// Reads the form's file. The limit of the body is that of the path.
pub(crate) async fn read(state: &State, request: Request) -> Result<Upload, Problem> {
    let Admitted { caller, max_bytes } = Admitted::of(&request)?;
    let boundary = boundary(request.headers())?;
    let head = HeadLimit::default();
    let pieces = Pieces {
        body: request.into_body().into_data_stream(),
        piece: Bytes::new(),
        max_bytes,
        received: 0,
        head: head.clone(),
        has_yielded: false,
    };
    let mut form = Multipart::new(pieces, boundary);
    let mut file = None;
    while let Some(part) = next_part(&mut form, &head).await? {
        match part.name() {
            Some(FIELD) if file.is_none() => file = Some(receive(Room::of_upload(state, caller), part).await?),
            name => return Err(unexpected_part(name.unwrap_or_default())),
        }
    }
    let (name, content) = file.ok_or_else(missing_file)?;
    let measured = tokio::task::spawn_blocking(move || {
        let inflated = tables::inflated_size(&content.source(&name));
        Upload { name, content, inflated }
    });
    measured.await.map_err(|error| Problem::internal(&error))
}

/// The text between the parts of a form.
fn boundary(headers: &HeaderMap) -> Result<String, Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(content_type);
    let boundary = boundary.ok().filter(|boundary| (1..=LONGEST_BOUNDARY).contains(&boundary.len()));
    boundary.ok_or(Problem::UnsupportedMediaType { expected: "multipart/form-data; boundary=…" })
}

/// The next part, once its head is complete.
async fn next_part<'f>(form: &mut Multipart<'f>, head: &HeadLimit) -> Result<Option<Field<'f>>, Problem> {
    head.set(LONGEST_HEAD);
    let part = form.next_field().await.map_err(|error| broken(&error))?;
    head.lift();
    // A head that came with the end of the part before has not been counted.
    let size = |part: &Field<'_>| -> usize {
        part.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
    };
    match part {
        Some(part) if size(&part) > LONGEST_HEAD => Err(head_too_long()),
        part => Ok(part),
    }
}

/// Reads a part to its end.
async fn receive(room: Room, mut part: Field<'_>) -> Result<(String, Content), Problem> {
    let name = part.file_name().map_or_else(|| UNNAMED.to_owned(), file_name);
    let mut writer = Writer::new(room);
    while let Some(piece) = part.chunk().await.map_err(|error| broken(&error))? {
        writer = writer.append(piece).await.map_err(|error| unwritten(&error))?;
    }
    Ok((name, writer.finish()))
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

/// The form has no file.
pub(crate) fn missing_file() -> Problem {
    let msg = "the form needs a field `file` with an .xlsx workbook".to_owned();
    Problem::invalid(FieldError::in_body(&[FIELD.into()], msg, "missing"))
}

fn head_too_long() -> Problem {
    let detail = format!("a part of the form does not begin, or its head does not end, within {LONGEST_HEAD} bytes");
    Problem::MalformedForm { detail }
}

fn broken(error: &multer::Error) -> Problem {
    match error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast_ref() {
            Some(Refused(problem)) => problem.clone(),
            None => Problem::MalformedForm { detail: "the form broke off before its end".to_owned() },
        },
        error => Problem::MalformedForm { detail: error.to_string() },
    }
}

/// The name of a file without its folders, which some send as well, and of a length that can be shown and sent back.
fn file_name(given: &str) -> String {
    let name = given.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.chars().count() <= LONGEST_EXTENSION => (stem, format!(".{extension}")),
        _ => (name, String::new()),
    };
    if name.is_empty() { UNNAMED.to_owned() } else { limited_name(stem, &extension) }
}

/// A name with this end, whose beginning is cut where both are too long.
pub(crate) fn limited_name(beginning: &str, end: &str) -> String {
    let room = LONGEST_NAME.saturating_sub(end.chars().count());
    beginning.chars().take(room).chain(end.chars()).collect()
}

/// How many more bytes of a body may be a part's head.
#[derive(Clone, Debug)]
struct HeadLimit(Arc<AtomicUsize>);

impl HeadLimit {
    fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// What comes now is no head.
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

/// Why the reading of a form ended.
#[derive(Debug, thiserror::Error)]
#[error("the form was refused")]
struct Refused(Problem);

/// The bytes of a form as its parser gets them, which keeps everything until a head is complete: while it looks for one,
/// they come a little at a time, and an error where they are too many.
struct Pieces {
    body: BodyDataStream,
    /// What came and was not handed over yet.
    piece: Bytes,
    max_bytes: usize,
    received: usize,
    head: HeadLimit,
    /// Whether the parser is to look at what it was given before it gets more.
    has_yielded: bool,
}

/// Bytes of a head that the parser is given at a time.
const BIT: usize = 2 << 10;

impl Stream for Pieces {
    type Item = Result<Bytes, Refused>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let left = self.head.get();
        if left < usize::MAX && std::mem::take(&mut self.has_yielded) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        while self.piece.is_empty() {
            self.piece = match ready!(Pin::new(&mut self.body).poll_next(cx)) {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => {
                    let broke_off =
                        || Problem::MalformedForm { detail: "the form broke off before its end".to_owned() };
                    return Poll::Ready(Some(Err(Refused(too_slow(&error).unwrap_or_else(broke_off)))));
                }
                None => return Poll::Ready(None),
            };
            self.received = self.received.saturating_add(self.piece.len());
            if self.received > self.max_bytes {
                return Poll::Ready(Some(Err(Refused(Problem::TooLarge { limit: self.max_bytes }))));
            }
        }
        if left == usize::MAX {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.piece))));
        }
        if left == 0 {
            return Poll::Ready(Some(Err(Refused(head_too_long()))));
        }
        let size = self.piece.len().min(left).min(BIT);
        self.head.set(left - size);
        self.has_yielded = true;
        Poll::Ready(Some(Ok(self.piece.split_to(size))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_folders() {
        assert_eq!(file_name("C:\\Users\\ann\\машины.xlsx"), "машины.xlsx");
        assert_eq!(file_name("../../etc/"), UNNAMED);
    }

    #[test]
    fn long_names_are_cut_before_their_extension() {
        let cut = file_name(&format!("{}.xlsx", "ё".repeat(1000)));
        assert_eq!((cut.chars().count(), cut.ends_with("ё.xlsx")), (255, true));
        assert_eq!(file_name(&"x".repeat(300)), "x".repeat(255));
        assert_eq!(file_name(&format!("a.{}", "x".repeat(300))).chars().count(), 255);
    }
}
