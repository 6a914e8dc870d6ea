//! Memory and disk for request bodies and files, shared by all callers.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Config;
use crate::http::budget::Budget;
use crate::http::scratch::Scratch;

/// The memory and disk budgets, and the folder for files that are too large for memory.
#[derive(Debug)]
pub(crate) struct Buffers {
    pub(crate) memory: Arc<Budget>,
    pub(crate) disk: Arc<Budget>,
    folder: PathBuf,
    scratch: Mutex<Option<Arc<Scratch>>>,
}

impl Buffers {
    pub(crate) fn new(config: &Config) -> Self {
        // One caller may hold half, and the largest body must fit into that.
        let largest = config.max_upload_bytes.max(config.max_json_bytes);
        let budget = |bytes: usize| Budget::new(bytes.max(largest.saturating_mul(2)) as u64);
        Self {
            memory: budget(config.memory_bytes),
            disk: budget(config.disk_bytes),
            folder: config.folder.clone(),
            scratch: Mutex::default(),
        }
    }

    /// The folder for files, created on first use. Blocks.
    ///
    /// # Errors
    /// The configured folder is not writable.
    pub(crate) fn scratch(&self) -> io::Result<Arc<Scratch>> {
        // After a panic there is either no folder or a complete one.
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scratch) = &*scratch {
            return Ok(Arc::clone(scratch));
        }
        let created = Arc::new(Scratch::create(&self.folder)?);
        *scratch = Some(Arc::clone(&created));
        Ok(created)
    }
}
