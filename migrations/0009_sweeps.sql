-- A search over hyperparameters: any number of processes take its trials.
CREATE TABLE sweeps (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    task       text NOT NULL REFERENCES tasks,
    space      jsonb NOT NULL,
    -- The configuration of all trials, apart from the settings in the space.
    config     jsonb NOT NULL,
    -- The listings and the date that all trials share.
    data       jsonb NOT NULL,
    trials     integer NOT NULL CHECK (trials > 0),
    -- Workers of another version of the program would train other models.
    program    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE trials (
    sweep_id    bigint NOT NULL REFERENCES sweeps ON DELETE CASCADE,
    number      integer NOT NULL CHECK (number > 0),
    settings    jsonb NOT NULL,
    status      text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'completed', 'pruned', 'failed')),
    -- Counts the processes that took the trial: only the last one may end it.
    attempt     integer NOT NULL DEFAULT 1,
    worker      text NOT NULL,
    -- Once it is over, another process may take the trial.
    lease_until timestamptz NOT NULL,
    run_id      bigint REFERENCES runs ON DELETE SET NULL,
    -- The best validation loss.
    loss        double precision,
    error       text,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (sweep_id, number),
    CHECK ((status = 'running') = (finished_at IS NULL)),
    CHECK ((status = 'failed') = (error IS NOT NULL)),
    CHECK ((status IN ('completed', 'pruned')) = (loss IS NOT NULL))
);

CREATE INDEX trials_of_run ON trials (run_id);
