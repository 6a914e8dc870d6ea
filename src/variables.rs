//! The environment variables of all commands; those of the server are declared with its configuration.

server::declare_variables! {
    /// The PostgreSQL database, as `postgres://user:password@host/database`. Unset: a private cluster under
    /// `PROBEG_HOME`.
    DATABASE_URL: "DATABASE_URL", None;
    /// The database in which `probeg predict --query` reads cars and makes a table of prices. Unset: that of `DATABASE_URL`.
    CARS_URL: "PROBEG_CARS_URL", None;
    /// The folder for the private cluster, checkpoints and spools of unfinished runs, and files of the server.
    HOME: "PROBEG_HOME", Some(".probeg");
    /// The folder of PostgreSQL's server programs (`initdb`, `pg_ctl`, `postgres`) for the private cluster. Unset: the version
    /// of the cluster's data, else the newest installed one.
    PG_BIN_DIR: "PG_BIN_DIR", None;
    /// The shared library of a native ONNX Runtime. Unset: the built-in runtime, in pure Rust.
    ORT_DYLIB_PATH: "ORT_DYLIB_PATH", None;
    /// The log filter, in the syntax of `tracing_subscriber`'s `EnvFilter`.
    RUST_LOG: "RUST_LOG", Some("info,sqlx=warn,tract=error,tract_core=error,ort=warn");
    /// The format of the log: `text` or `json`.
    LOG: "PROBEG_LOG", Some("text");
    /// The OpenTelemetry collector that receives a span for each request, over HTTP, such as `http://collector:4318`.
    /// Unset: spans are not exported. The other `OTEL_*` variables of OpenTelemetry's specification apply as well.
    COLLECTOR: "OTEL_EXPORTER_OTLP_ENDPOINT", None;
    /// The same for spans only, with the full path, such as `http://collector:4318/v1/traces`.
    SPAN_COLLECTOR: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", None;
    /// The MLflow server to which training runs, models and champions are published, such as `http://mlflow.example:5000`.
    /// While it is unavailable or refuses them, training goes on all the same. Unset: nothing is published.
    MLFLOW_TRACKING_URI: "MLFLOW_TRACKING_URI", None;
    /// The experiment on MLflow; registered models are named after it and their task, such as `probeg-price`.
    MLFLOW_EXPERIMENT_NAME: "MLFLOW_EXPERIMENT_NAME", Some("probeg");
    /// The user of the MLflow server. Unset: none, or `MLFLOW_TRACKING_TOKEN`.
    MLFLOW_TRACKING_USERNAME: "MLFLOW_TRACKING_USERNAME", None;
    /// The password of that user.
    MLFLOW_TRACKING_PASSWORD: "MLFLOW_TRACKING_PASSWORD", None;
    /// The token for the MLflow server, in place of a user and a password.
    MLFLOW_TRACKING_TOKEN: "MLFLOW_TRACKING_TOKEN", None;
    /// A file of certificates (PEM) of authorities to trust for the MLflow server. Unset: the public ones.
    MLFLOW_TRACKING_SERVER_CERT_PATH: "MLFLOW_TRACKING_SERVER_CERT_PATH", None;
    /// The user recorded for changes of the champion on the command line.
    USER: "USER", None;
    /// Milliseconds until mimalloc returns freed memory to the system. Unset: 10 for a server, else mimalloc's default.
    PURGE_DELAY: "MIMALLOC_PURGE_DELAY", None;
    /// KiB of address space that mimalloc reserves at a time. Unset: 16384 if the address space is limited (`ulimit -v`), else
    /// mimalloc's default.
    ARENA_RESERVE: "MIMALLOC_ARENA_RESERVE", None;
    /// The maximum number of arenas of the C library's allocator. Unset: 1 if the address space is limited, else its default.
    ARENA_MAX: "MALLOC_ARENA_MAX", None;
}
