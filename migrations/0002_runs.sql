-- A run is written down before its first step, so that a crash leaves its configuration behind.
CREATE TABLE runs (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    label              text,
    status             text NOT NULL DEFAULT 'running'
                       CHECK (status IN ('running', 'interrupted', 'completed', 'failed')),
    seed               bigint NOT NULL,
    config             jsonb NOT NULL,
    schema_fingerprint text,
    -- {"train": n, "validation": n, "test": n}
    rows               jsonb,
    started_at         timestamptz NOT NULL DEFAULT now(),
    heartbeat_at       timestamptz NOT NULL DEFAULT now(),
    finished_at        timestamptz,
    error              text,
    CHECK ((status = 'failed') = (error IS NOT NULL)),
    CHECK ((status = 'running') = (finished_at IS NULL))
);

CREATE TABLE run_metrics (
    run_id      bigint NOT NULL REFERENCES runs ON DELETE CASCADE,
    epoch       integer NOT NULL CHECK (epoch >= 0),
    metrics     jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, epoch)
);
