//! Tables as files: read, refused, valued and written.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod hostile;
mod import;
mod made;
mod splice;
mod template;
mod value;
