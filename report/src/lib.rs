//! The data report: what there is to know of the listings before any model is trained on them.
//!
//! [`figures`] are computed from one snapshot, [`findings`] put into sentences what decides how to model, [`page`] writes
//! both as one HTML file.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "counts of listings become shares, bins and places in plots, far below 2^52"
)]

mod error;
mod figures;
mod findings;
mod page;
mod section;
mod words;

use chrono::NaiveDate;
use serde::Serialize;
use storage::Snapshot;

pub use error::Error;
use figures::Figures;
pub use figures::Stage;
pub use findings::{Finding, Severity};
pub use section::Section;
pub use words::{Language, Words};

/// The data report.
#[derive(Debug, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
    #[serde(flatten)]
    figures: Figures,
}

impl Report {
    /// Looks at the listings of a snapshot.
    ///
    /// # Errors
    /// [`Error::NoListings`], or a database that does not answer.
    pub async fn create(
        snapshot: Snapshot,
        today: NaiveDate,
        on_stage: &(dyn Fn(Stage) + Sync),
    ) -> Result<Self, Error> {
        let figures = Figures::compute(snapshot, today, on_stage).await?;
        Ok(Self { findings: findings::find(&figures), figures })
    }

    /// How many listings there are.
    #[must_use]
    pub fn rows(&self) -> i64 {
        self.figures.overview.rows
    }

    /// What to know first, the gravest first.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The report as one HTML file that needs nothing else.
    #[must_use]
    pub fn page(&self) -> String {
        page::render(&self.figures, &self.findings)
    }
}
