//! The variables of the command itself; those of the server are declared beside its configuration.

server::declare_variables! {
    /// The PostgreSQL database to use, as `postgres://user:password@host/database`. Unset: a private cluster under
    /// `PROBEG_HOME`.
    DATABASE_URL: "DATABASE_URL", None;
    /// The folder of the private cluster, of the checkpoints and spools of unfinished runs, and of the server's files.
    HOME: "PROBEG_HOME", Some(".probeg");
    /// The folder of PostgreSQL's server programs (`initdb`, `pg_ctl`, `postgres`) for the private cluster. Unset: those of
    /// the version that the cluster's data have, else the newest installed.
    PG_BIN_DIR: "PG_BIN_DIR", None;
    /// The shared library of a native ONNX Runtime. Unset: the built-in runtime, in pure Rust.
    ORT_DYLIB_PATH: "ORT_DYLIB_PATH", None;
    /// Which log lines are written, in the syntax of `tracing_subscriber`'s `EnvFilter`.
    RUST_LOG: "RUST_LOG", Some("info,sqlx=warn,tract=error,tract_core=error,ort=warn");
    /// The format of the log: `text` or `json`.
    LOG: "PROBEG_LOG", Some("text");
    /// The OpenTelemetry collector that receives a span for each request, over HTTP, such as `http://collector:4318`.
    /// Unset: spans are not exported. The other `OTEL_*` variables of OpenTelemetry's specification apply as well.
    COLLECTOR: "OTEL_EXPORTER_OTLP_ENDPOINT", None;
    /// The same for spans alone, with the whole path, such as `http://collector:4318/v1/traces`.
    SPAN_COLLECTOR: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", None;
    /// Recorded as the user who moved the champion with a command.
    USER: "USER", None;
    /// Milliseconds until mimalloc returns freed memory to the system. Unset: 10 for a server, else mimalloc's own default.
    PURGE_DELAY: "MIMALLOC_PURGE_DELAY", None;
    /// KiB of address space that mimalloc reserves at a time. Unset: 16384 where the address space is limited
    /// (`ulimit -v`), else mimalloc's own default.
    ARENA_RESERVE: "MIMALLOC_ARENA_RESERVE", None;
    /// The most arenas of the C library's allocator. Unset: 1 where the address space is limited, else its own default.
    ARENA_MAX: "MALLOC_ARENA_MAX", None;
}
