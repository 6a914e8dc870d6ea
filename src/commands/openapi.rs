//! `probeg openapi`: the OpenAPI document, which is committed under `openapi/`.

use anyhow::Result;
use chrono::Datelike;

use crate::context::today;
use crate::output::out;

pub fn run() -> Result<()> {
    out!("{}", server::document(today().year()).to_pretty_json()?)?;
    Ok(())
}
