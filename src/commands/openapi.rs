//! `probeg openapi`: the document, as it is committed under `openapi/`.

use anyhow::Result;

use crate::output::say;

pub fn run() -> Result<()> {
    say!("{}", server::document().to_pretty_json()?)?;
    Ok(())
}
