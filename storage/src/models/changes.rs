//! Notifications of changed aliases, for servers.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};

const CHANNEL: &str = "probeg_models";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The delay before reconnecting.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Reports when an alias may have changed. Uses a separate connection.
#[derive(Debug)]
pub struct ModelChanges {
    pool: PgPool,
    listener: Option<PgListener>,
}

impl ModelChanges {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, listener: None }
    }

    /// Waits until an alias may have changed: returns once when listening starts, after each change, and after each reconnect,
    /// so no change is missed. While the database is unavailable, it waits.
    ///
    /// Cancel-safe.
    pub async fn changed(&mut self) {
        if let Some(listener) = &mut self.listener {
            if let Ok(Some(_)) = listener.try_recv().await {
                return;
            }
            tracing::warn!("The connection that listens for new models was lost; reconnecting.");
            self.listener = None;
        }
        loop {
            match self.connect().await {
                Ok(listener) => {
                    self.listener = Some(listener);
                    return;
                }
                Err(error) => tracing::debug!(%error, "Cannot listen for new models yet."),
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    async fn connect(&self) -> Result<PgListener, sqlx::Error> {
        let options = (*self.pool.connect_options()).clone();
        // Not from the pool, which may have only one connection and closes old ones.
        let own = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let own = own.acquire_timeout(CONNECT_TIMEOUT).connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&own).await?;
        // A lost connection is reported rather than silently replaced.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }
}
