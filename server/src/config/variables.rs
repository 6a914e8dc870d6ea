//! The server's variables.

declare_variables! {
    /// The address to listen on. `--bind` overrides it.
    BIND: "PROBEG_BIND", Some("127.0.0.1:8000");
    /// The token that `PUT /v1/models/champion` and `POST /v1/models/rollback` require; it must not be one of the API
    /// keys. It may be given as `sha256:` followed by its SHA-256 in hexadecimal. Unset: both requests are rejected.
    ADMIN_TOKEN: "PROBEG_ADMIN_TOKEN", None;
    /// Comma-separated API keys. Requests under `/v1` and to the predecessor's two paths must carry one of them, or the
    /// admin token. Each may be given as `sha256:` followed by its SHA-256 in hexadecimal. Unset: no key is required.
    API_KEYS: "PROBEG_API_KEYS", None;
    /// Requests per second per API key, with bursts of the same size; each car of a batch or workbook counts as
    /// one. Excess requests are rejected with 429. Unset: no limit.
    RATE_LIMIT: "PROBEG_RATE_LIMIT", None;
    /// Comma-separated origins, such as `https://example.org`, that may call the API from a browser. Unset: none.
    CORS_ORIGINS: "PROBEG_CORS_ORIGINS", None;
    /// Maximum size of a workbook or batch. Larger ones are rejected with 413.
    MAX_UPLOAD_BYTES: "PROBEG_MAX_UPLOAD_BYTES", Some("33554432");
    /// Maximum body size of all other requests. Larger ones are rejected with 413.
    MAX_JSON_BYTES: "PROBEG_MAX_JSON_BYTES", Some("1048576");
    /// Memory for the bodies and files of all requests in progress; at least twice the maximum body size. One caller may
    /// use half of what is free.
    MEMORY_BYTES: "PROBEG_MEMORY_BYTES", Some("67108864");
    /// Disk space for uploads and results; one caller may use half of what is free.
    DISK_BYTES: "PROBEG_DISK_BYTES", Some("1073741824");
    /// Maximum nesting depth of JSON.
    MAX_JSON_DEPTH: "PROBEG_MAX_JSON_DEPTH", Some("16");
    /// Maximum number of rows in a workbook.
    MAX_ROWS: "PROBEG_MAX_ROWS", Some("200000");
    /// Maximum number of open connections, at about 20 KiB each; capped by the limit of open files (`ulimit -n`). When
    /// all are in use, the longest idle ones are closed.
    MAX_CONNECTIONS: "PROBEG_MAX_CONNECTIONS", Some("8192");
    /// The task of requests that name none. Unset: `price`, or the first task with a model if that has none.
    DEFAULT_TASK: "PROBEG_DEFAULT_TASK", None;
    /// Memory for the models of all tasks. The least recently used ones leave it, and are loaded again when needed.
    MODELS_MEMORY: "PROBEG_MODELS_MEMORY", Some("1073741824");
    /// Number of threads that value single cars, and of large workbooks that are valued concurrently.
    /// Unset: half the number of processors, rounded up.
    SESSIONS: "PROBEG_SESSIONS", None;
    /// Number of single cars that may wait for a thread. Further requests are rejected with 503.
    QUEUE: "PROBEG_QUEUE", Some("256");
    /// Timeout of a request.
    REQUEST_TIMEOUT_SECONDS: "PROBEG_REQUEST_TIMEOUT_SECONDS", Some("30");
    /// Timeout of a batch or a workbook.
    UPLOAD_TIMEOUT_SECONDS: "PROBEG_UPLOAD_TIMEOUT_SECONDS", Some("300");
    /// How long a client may be idle between requests, while sending a request, or while receiving a response. A body
    /// that takes longer than this in total must arrive at one kilobyte per second or faster.
    IDLE_TIMEOUT_SECONDS: "PROBEG_IDLE_TIMEOUT_SECONDS", Some("30");
    /// How long a stopping server keeps accepting connections while `/health/ready` returns 503.
    DRAIN_SECONDS: "PROBEG_DRAIN_SECONDS", Some("2");
}
