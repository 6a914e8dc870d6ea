//! Retries while the database is unavailable.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::error::{Error, Result};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The limit of an attempt: a broken network reports nothing.
const ATTEMPT: Duration = Duration::from_mins(10);

/// Retries an operation with growing pauses while the database is unavailable, until `limit` after the first failure.
///
/// # Errors
/// [`Error::StillAway`] after the limit; any other error at once.
pub async fn retried<T>(limit: Duration, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let mut away_since = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let result = timeout(ATTEMPT, attempt()).await.unwrap_or_else(|_| Err(Error::silence(ATTEMPT)));
        let cause = match result {
            Err(error) if error.is_unavailable() && !limit.is_zero() => error,
            done => return done,
        };
        let since = *away_since.get_or_insert_with(|| {
            tracing::warn!(%cause, "The database is unavailable; retrying for up to {} seconds.", limit.as_secs());
            Instant::now()
        });
        if since.elapsed() + pause > limit {
            return Err(Error::StillAway { seconds: limit.as_secs(), cause: Box::new(cause) });
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> Error {
        Error::Unreachable { place: "somewhere".to_owned(), cause: "gone".to_owned() }
    }

    #[tokio::test]
    async fn what_comes_back_in_time_is_not_noticed() {
        let mut attempts = 0;
        let result = retried(Duration::from_secs(5), async || {
            attempts += 1;
            if attempts < 3 { Err(away()) } else { Ok(attempts) }
        });
        assert_eq!(result.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn what_stays_away_is_told_after_the_limit() {
        let result: Result<()> = retried(Duration::from_millis(250), async || Err(away())).await;
        assert!(matches!(result, Err(Error::StillAway { .. })), "{result:?}");
    }

    #[tokio::test]
    async fn what_is_no_outage_is_told_at_once() {
        let mut attempts = 0;
        let result: Result<()> = retried(Duration::from_secs(5), async || {
            attempts += 1;
            Err(Error::NoRun(1))
        })
        .await;
        assert!(matches!(result, Err(Error::NoRun(1))));
        assert_eq!(attempts, 1);
    }
}
