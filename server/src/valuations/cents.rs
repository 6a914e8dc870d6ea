//! Amounts in whole cents.

/// Rounds to two decimals.
pub(super) fn round_to_cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

/// The same as a whole number of cents.
pub(super) fn cents(amount: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "prices in cents are far below 2^53")]
    let cents = (amount * 100.0).round() as i64;
    cents
}

/// The amount of a whole number of cents.
pub(super) fn from_cents(cents: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "prices in cents are far below 2^53")]
    let amount = cents as f64 / 100.0;
    amount
}
