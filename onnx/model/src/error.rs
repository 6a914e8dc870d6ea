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
    /// A node has an operator that neither runtime may run: its cost or its lookups cannot be checked before it runs.
    #[error(
        "the node `{node}` uses the operator {operator}, which is not supported, even with a native ONNX Runtime \
         (ORT_DYLIB_PATH): its cost cannot be checked before it runs; express it by arithmetic, matrix products, lookups or \
         trees (TreeEnsembleRegressor)"
    )]
    Operator {
        /// The name of the node.
        node: String,
        /// The operator with its domain.
        operator: String,
    },
    /// A node has an operator that only the native runtime has.
    #[error(
        "the node `{node}` uses the operator {operator}, which the built-in runtime does not have; set ORT_DYLIB_PATH to a \
         native ONNX Runtime, here and for every server, or export the model without it"
    )]
    NativeOperator {
        /// The name of the node.
        node: String,
        /// The operator with its domain.
        operator: String,
    },
    /// A file of another program that cannot become a model file.
    #[error(transparent)]
    Foreign(#[from] ForeignError),
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

/// Why a file of another program cannot become a model file.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// The inputs are not those of a model file.
    #[error(
        "its inputs are {found}; they must be `categorical` int64 [N, {categorical}] and `numeric` float32 [N, {numeric}], as \
         `probeg.schema` describes them"
    )]
    Inputs {
        /// The inputs of the file.
        found: String,
        /// The number of ids per listing.
        categorical: usize,
        /// The number of numbers per listing.
        numeric: usize,
    },
    /// An input has a fixed number of rows.
    #[error("its input `{input}` has exactly {rows} rows; export it with a first dimension of any size, such as \"N\"")]
    FixedRows {
        /// The input.
        input: String,
        /// Its number of rows.
        rows: i64,
    },
    /// The output is neither a price nor quantiles.
    #[error(
        "its output is {found}; it must be one price per listing, float32 [N, 1] or [N], or `price_quantiles` float32 [N, Q] with \
         the Q levels in the metadata `probeg.quantiles`"
    )]
    Output {
        /// The outputs of the file.
        found: String,
    },
    /// A metadata entry is malformed or contradicts the file.
    #[error(
        "its metadata `{key}` is invalid: {reason}; copy it unchanged from a file of `probeg models export`, or leave it out"
    )]
    Metadata {
        /// The metadata key.
        key: &'static str,
        /// The reason.
        reason: String,
    },
    /// The operators are of an old version.
    #[error("it uses version {version} of the ONNX operators; export it with opset 13 or later")]
    Opset {
        /// The version.
        version: i64,
    },
    /// A node of trees is invalid or not supported.
    #[error("the trees of its node `{node}` cannot be imported: {reason}")]
    Trees {
        /// The node.
        node: String,
        /// The reason.
        reason: String,
    },
    /// The model gave something other than prices.
    #[error(
        "it gave {prices:?} for a listing of the validation split; prices must be positive and finite, and quantiles ascending, also \
         where numbers are missing (NaN). A model of the logarithm of the price needs an Exp at its end"
    )]
    Prices {
        /// The output for the listing.
        prices: Vec<f32>,
    },
    /// The prices are far from the actual ones in total.
    #[error(
        "the prices of the validation split are typically {ratio:.3e} times those that it gave; it must give prices in the currency \
         of the listings. A model of the logarithm of the price needs an Exp at its end"
    )]
    Scale {
        /// The median of actual by predicted prices.
        ratio: f64,
    },
}
