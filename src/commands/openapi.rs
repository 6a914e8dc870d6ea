//! `probeg openapi`: the document, as it is committed under `openapi/`.

use std::io::Write;

use anyhow::Result;

pub fn run() -> Result<()> {
    writeln!(std::io::stdout(), "{}", server::document().to_pretty_json()?)?;
    Ok(())
}
