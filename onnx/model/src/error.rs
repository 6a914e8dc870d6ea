//! Errors of model files.

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not an ONNX file.
    #[error("this is not an ONNX file: {0}")]
    NotOnnx(String),
    /// Part of the metadata is missing or malformed.
    #[error("the model file's metadata `{key}` cannot be used: {reason}; export the model again with `probeg train`")]
    Metadata {
        /// The metadata key.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The graph's inputs or output are not those of the contract.
    #[error("the model file's graph does not fit: {0}")]
    Graph(String),
    /// The table of embeddings does not fit the vocabularies, so ids would look up wrong rows.
    #[error(
        "its vocabularies do not fit its graph: the table of embeddings has {rows} rows for {ids} ids; export the model \
         again with `probeg train`"
    )]
    Vocabulary {
        /// Rows of the table.
        rows: u64,
        /// Ids of all categories, the unknown ones included.
        ids: u64,
    },
    /// The graph's output is not a price.
    #[error("the graph returns {0:?}, which are not rising prices")]
    Nonsense(Vec<f32>),
    /// The graph gives other prices than those recorded in the file.
    #[error("its prices differ from those recorded when it was exported, by up to {difference:.1e} (relative)")]
    Changed {
        /// The largest relative difference.
        difference: f64,
    },
    /// The native runtime could not be loaded.
    #[error(
        "ORT_DYLIB_PATH={path}: the ONNX Runtime there cannot be loaded: {reason}; unset it to use the built-in runtime"
    )]
    Runtime {
        /// The path that was given.
        path: String,
        /// The loader's message.
        reason: String,
    },
    /// The runtime refused the graph or failed on a batch.
    #[error("the ONNX runtime failed: {0}")]
    Inference(String),
    /// The runtime panicked over the graph or over a batch.
    #[error("the ONNX runtime panicked: {0}")]
    Panicked(String),
}

impl From<ort::Error> for Error {
    fn from(error: ort::Error) -> Self {
        Self::Inference(error.to_string())
    }
}

impl Error {
    /// An error about the graph.
    pub(crate) fn graph(reason: impl Into<String>) -> Self {
        Self::Graph(reason.into())
    }
}
