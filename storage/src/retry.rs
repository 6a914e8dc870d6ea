//! Retries while the database is unavailable.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::error::{Error, Result};

/// The delay before the first retry.
const INITIAL_DELAY: Duration = Duration::from_millis(100);
/// The maximum delay between retries.
const MAX_DELAY: Duration = Duration::from_secs(5);
/// The time limit of an attempt, for network failures that are not reported.
const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(10);

/// Retries an operation with exponential backoff while the database is unavailable, until `limit` after the first failure.
///
/// # Errors
/// [`Error::UnavailableTooLong`] after the limit; any other error immediately.
pub async fn retry_while_unavailable<T>(limit: Duration, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let mut unavailable_since = None;
    let mut delay = INITIAL_DELAY;
    loop {
        let result =
            timeout(ATTEMPT_TIMEOUT, attempt()).await.unwrap_or_else(|_| Err(Error::no_response(ATTEMPT_TIMEOUT)));
        let cause = match result {
            Err(error) if error.is_unavailable() && !limit.is_zero() => error,
            done => return done,
        };
        let since = *unavailable_since.get_or_insert_with(|| {
            tracing::warn!(%cause, "The database is unavailable; retrying for up to {} seconds.", limit.as_secs());
            Instant::now()
        });
        if since.elapsed() + delay > limit {
            return Err(Error::UnavailableTooLong { seconds: limit.as_secs(), cause: Box::new(cause) });
        }
        sleep(delay).await;
        delay = MAX_DELAY.min(delay * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable() -> Error {
        Error::Unreachable { address: "somewhere".to_owned(), cause: "gone".to_owned() }
    }

    #[tokio::test]
    async fn a_short_outage_is_hidden() {
        let mut attempts = 0;
        let result = retry_while_unavailable(Duration::from_secs(5), async || {
            attempts += 1;
            if attempts < 3 { Err(unavailable()) } else { Ok(attempts) }
        });
        assert_eq!(result.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_long_outage_is_reported_after_the_limit() {
        let result: Result<()> = retry_while_unavailable(Duration::from_millis(250), async || Err(unavailable())).await;
        assert!(matches!(result, Err(Error::UnavailableTooLong { .. })), "{result:?}");
    }

    #[tokio::test]
    async fn other_errors_are_reported_immediately() {
        let mut attempts = 0;
        let result: Result<()> = retry_while_unavailable(Duration::from_secs(5), async || {
            attempts += 1;
            Err(Error::NoRun(1))
        })
        .await;
        assert!(matches!(result, Err(Error::NoRun(1))));
        assert_eq!(attempts, 1);
    }
}
