//! A file in a form (`multipart/form-data`, field `file`).

use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use utoipa::ToSchema;

use crate::body::too_large;
use crate::problem::{FieldError, Problem};

/// A form with a workbook.
#[derive(ToSchema)]
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
    pub(crate) bytes: Vec<u8>,
}

/// The name of a file that came without one.
const UNNAMED: &str = "cars.xlsx";
const FIELD: &str = "file";

/// Reads the form's file whole. The body's limit is that of the path.
pub(crate) async fn read(request: Request) -> Result<Upload, Problem> {
    let too_large = too_large(&request);
    let broken = |error: &MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large.clone(),
        _ => Problem::MalformedForm { detail: error.body_text() },
    };
    let mut form = Multipart::from_request(request, &()).await.map_err(refused)?;
    while let Some(part) = form.next_field().await.map_err(|error| broken(&error))? {
        if part.name() != Some(FIELD) {
            continue;
        }
        let name = part.file_name().map_or(UNNAMED, last_part).to_owned();
        let bytes = part.bytes().await.map_err(|error| broken(&error))?.to_vec();
        return Ok(Upload { name, bytes });
    }
    Err(missing_file())
}

/// The form has no file.
pub(crate) fn missing_file() -> Problem {
    let msg = "the form needs a field `file` with an .xlsx workbook".to_owned();
    Problem::Invalid(vec![FieldError::in_body(&[FIELD.into()], msg, "missing")])
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
