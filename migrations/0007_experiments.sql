-- What people say about a run, and what it was made of. `label` is its name.
ALTER TABLE runs
    ADD COLUMN tags     text[] NOT NULL DEFAULT '{}',
    ADD COLUMN notes    text,
    ADD COLUMN parent   bigint REFERENCES runs ON DELETE SET NULL,
    -- The version of the program, with the git revision if it was built from a checkout.
    ADD COLUMN program  text,
    -- The listings that were there at its start: rows, first and last date, numbers of the imports, fingerprint.
    ADD COLUMN data     jsonb,
    -- The metrics of the epoch with the lowest validation loss, with its number, so that lists need not read all epochs.
    ADD COLUMN best     jsonb;

UPDATE runs SET best = (
    SELECT metrics || jsonb_build_object('epoch', epoch) FROM run_metrics
    WHERE run_id = runs.id AND metrics ? 'validation_loss'
    ORDER BY (metrics->>'validation_loss')::double precision, epoch LIMIT 1);

CREATE INDEX runs_by_task ON runs (task, id);
CREATE INDEX runs_by_tag ON runs USING gin (tags);
CREATE INDEX runs_by_parent ON runs (parent);

-- Figures by training step, and those of the machine.
CREATE TABLE run_figures (
    run_id bigint NOT NULL REFERENCES runs ON DELETE CASCADE,
    name   text NOT NULL,
    step   bigint NOT NULL CHECK (step >= 0),
    value  double precision NOT NULL,
    at     timestamptz NOT NULL,
    PRIMARY KEY (run_id, name, step)
);

-- What happened during a run, in sentences.
CREATE TABLE run_log (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id  bigint NOT NULL REFERENCES runs ON DELETE CASCADE,
    at      timestamptz NOT NULL,
    message text NOT NULL,
    -- A batch that is written again, since its response was lost, adds nothing.
    UNIQUE (run_id, at, message)
);
