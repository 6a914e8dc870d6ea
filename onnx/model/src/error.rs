//! Errors of model files.

/// An invalid model file, or a failure of the runtime.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not an ONNX file.
    #[error("this is not an ONNX file: {0}")]
    NotOnnx(String),
    /// Part of the metadata is missing or malformed.
    #[error("the metadata `{key}` of the model file is invalid: {reason}; export the model again with `probeg train`")]
    Metadata {
        /// The metadata key.
        key: &'static str,
        /// The reason.
        reason: String,
    },
    /// The graph is invalid.
    #[error("the graph of the model file is invalid: {0}")]
    Graph(String),
    /// The embedding table does not match the vocabularies, so ids would select wrong rows.
    #[error(
        "the vocabularies do not match the graph: the embedding table has {rows} rows for {ids} ids; export the model \
         again with `probeg train`"
    )]
    Vocabulary {
        /// The number of rows of the table.
        rows: u64,
        /// The number of ids of all categories, including the unknown ones.
        ids: u64,
    },
    /// The output of the graph is not a list of ascending prices.
    #[error("the graph returned {0:?}, which are not ascending prices")]
    InvalidPrices(Vec<f32>),
    /// The prices of the golden rows differ from the recorded ones.
    #[error("its prices differ from those recorded during export, by up to {difference:.1e} (relative)")]
    PricesChanged {
        /// The largest relative difference.
        difference: f64,
    },
    /// The native runtime could not be loaded.
    #[error(
        "ORT_DYLIB_PATH={path}: the ONNX Runtime there cannot be loaded: {reason}; unset it to use the built-in runtime"
    )]
    Runtime {
        /// The configured path.
        path: String,
        /// The loader's message.
        reason: String,
    },
    /// The runtime rejected the graph or failed on a batch.
    #[error("the ONNX runtime failed: {0}")]
    Inference(String),
    /// The runtime panicked on the graph or a batch.
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
