//! The data report: an analysis of the listings before any model is trained on them.
//!
//! [`figures`] are computed from one snapshot, [`findings`] state what matters for modelling, and [`page`] renders both
//! as one HTML file.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "counts of listings, far below 2^52, become shares, bins and coordinates"
)]

mod error;
mod figures;
mod findings;
mod page;
mod section;
mod words;

use chrono::NaiveDate;
use domain::Task;
use serde::Serialize;
use storage::Snapshot;

pub use error::Error;
use figures::Figures;
pub use figures::Stage;
pub use figures::market::{MarketIndex, MarketPoint, market_index};
pub use findings::{Finding, Severity};
pub use page::POLICY;
pub use section::Section;
pub use words::LocalizedText;

/// The data report.
#[derive(Debug, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
    #[serde(flatten)]
    figures: Figures,
}

impl Report {
    /// Analyses the listings of a task, which are those of the snapshot.
    ///
    /// # Errors
    /// [`Error::NoListings`], or a database error.
    pub async fn create(
        snapshot: Snapshot,
        task: &Task,
        today: NaiveDate,
        on_stage: &(dyn Fn(Stage) + Sync),
    ) -> Result<Self, Error> {
        let figures = Figures::compute(snapshot, task, today, on_stage).await?;
        Ok(Self { findings: findings::find(&figures), figures })
    }

    /// The number of listings.
    #[must_use]
    pub fn rows(&self) -> i64 {
        self.figures.overview.rows
    }

    /// The findings, the most severe first.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The report as one self-contained HTML file.
    #[must_use]
    pub fn page(&self) -> String {
        page::render(&self.figures, &self.findings)
    }
}

/// The style sheet of the report without that of a page of its own, for a page that shows the report among other things.
#[must_use]
pub fn style() -> String {
    [plot::STYLE, page::STYLE].concat()
}
