//! The server's variables.

declare_variables! {
    /// The address to listen on. `--bind` overrides it.
    BIND: "PROBEG_BIND", Some("127.0.0.1:8000");
    /// The token that `PUT /v1/models/champion` and `POST /v1/models/rollback` require; it must not be one of the API
    /// keys. `sha256:` followed by the token's SHA-256 in hexadecimal works as well. Unset: both requests are refused.
    ADMIN_TOKEN: "PROBEG_ADMIN_TOKEN", None;
    /// Comma-separated API keys. Requests under `/v1` and to the predecessor's two paths must carry one of them, or the
    /// admin token. Each may be given as `sha256:` followed by its SHA-256 in hexadecimal. Unset: no key is required.
    API_KEYS: "PROBEG_API_KEYS", None;
    /// Requests per second that each API key may make, with as many at once; each car of a batch or a workbook counts as
    /// one. Requests above it are refused with 429. Unset: no limit.
    RATE_LIMIT: "PROBEG_RATE_LIMIT", None;
    /// Comma-separated origins, such as `https://example.org`, whose pages may call the API. Unset: none.
    CORS_ORIGINS: "PROBEG_CORS_ORIGINS", None;
    /// The largest workbook or batch. Larger ones are refused with 413.
    MAX_UPLOAD_BYTES: "PROBEG_MAX_UPLOAD_BYTES", Some("33554432");
    /// The largest body of any other request. Larger ones are refused with 413.
    MAX_JSON_BYTES: "PROBEG_MAX_JSON_BYTES", Some("1048576");
    /// Memory for the bodies and files of all requests in progress; at least twice the largest body. One caller may use
    /// half of what is free.
    MEMORY_BYTES: "PROBEG_MEMORY_BYTES", Some("67108864");
    /// Disk space for uploads and results, shared out in the same way.
    DISK_BYTES: "PROBEG_DISK_BYTES", Some("1073741824");
    /// How deeply JSON may be nested.
    MAX_JSON_DEPTH: "PROBEG_MAX_JSON_DEPTH", Some("16");
    /// The most rows that a workbook may have.
    MAX_ROWS: "PROBEG_MAX_ROWS", Some("200000");
    /// The most open connections, of some 20 KiB each; fewer where the limit of open files (`ulimit -n`) is lower. When
    /// all are taken, those that have been idle longest are closed.
    MAX_CONNECTIONS: "PROBEG_MAX_CONNECTIONS", Some("8192");
    /// Threads that value single cars, and the number of large workbooks that are valued at the same time beside them.
    /// Unset: half the number of processors, rounded up.
    SESSIONS: "PROBEG_SESSIONS", None;
    /// Single cars that may wait for a thread. More are refused with 503.
    QUEUE: "PROBEG_QUEUE", Some("256");
    /// The longest that a request may take.
    REQUEST_TIMEOUT_SECONDS: "PROBEG_REQUEST_TIMEOUT_SECONDS", Some("30");
    /// The longest that a batch or a workbook may take.
    UPLOAD_TIMEOUT_SECONDS: "PROBEG_UPLOAD_TIMEOUT_SECONDS", Some("300");
    /// The longest that a client may be silent between requests, while it sends one, or while it receives an answer. A
    /// body that takes longer than this in total must arrive at a kilobyte per second or faster.
    IDLE_TIMEOUT_SECONDS: "PROBEG_IDLE_TIMEOUT_SECONDS", Some("30");
    /// How long a server that was asked to stop goes on accepting connections while `/health/ready` answers 503.
    DRAIN_SECONDS: "PROBEG_DRAIN_SECONDS", Some("2");
}
