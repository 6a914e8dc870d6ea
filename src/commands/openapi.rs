//! `probeg openapi`: the document, as it is committed under `openapi/`.

use anyhow::Result;
use chrono::Datelike;

use crate::context::today;
use crate::output::say;

pub fn run() -> Result<()> {
    say!("{}", server::document(today().year()).to_pretty_json()?)?;
    Ok(())
}
