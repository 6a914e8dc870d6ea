-- A run may be split among processes that share nothing but this database: one plans it, any number of them train its members,
-- and one finishes it. What is here is needed until the version is registered, and removed then.
CREATE TABLE run_plans (
    run_id     bigint PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
    -- The version of the program. Another one may compute something else from the same plan.
    program    text NOT NULL,
    plan       bytea NOT NULL,
    planned_at timestamptz NOT NULL DEFAULT now()
);

-- What one process does: a member of a stage, or all of a stage, or the end of the run.
CREATE TABLE run_parts (
    run_id      bigint NOT NULL REFERENCES run_plans ON DELETE CASCADE,
    stage       text NOT NULL,
    member      integer NOT NULL CHECK (member >= 0),
    -- The number of the current holder. What an earlier one still writes is refused.
    fencing     bigint NOT NULL DEFAULT 0,
    holder      text,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    -- How far it is, in listings.
    rows        bigint NOT NULL DEFAULT 0,
    max_rows    bigint NOT NULL DEFAULT 0,
    error       text,
    result      bytea,
    finished_at timestamptz,
    PRIMARY KEY (run_id, stage, member)
);

-- The preprocessing of a stage, by the first process that fitted it.
CREATE TABLE run_stages (
    run_id   bigint NOT NULL REFERENCES run_plans ON DELETE CASCADE,
    stage    text NOT NULL,
    prepared bytea NOT NULL,
    PRIMARY KEY (run_id, stage)
);

-- The weights of a member after an epoch, until the epoch of all members is found to be worse than another.
CREATE TABLE member_epochs (
    run_id  bigint NOT NULL REFERENCES run_plans ON DELETE CASCADE,
    member  integer NOT NULL,
    epoch   integer NOT NULL,
    metrics jsonb NOT NULL,
    weights bytea NOT NULL,
    PRIMARY KEY (run_id, epoch, member)
);

-- What a member predicts for the validation split after an epoch, until that of all members has been compared with the prices.
CREATE TABLE member_predictions (
    run_id     bigint NOT NULL REFERENCES run_plans ON DELETE CASCADE,
    member     integer NOT NULL,
    epoch      integer NOT NULL,
    chunk      integer NOT NULL,
    log_prices bytea NOT NULL,
    quantiles  bytea NOT NULL,
    PRIMARY KEY (run_id, epoch, chunk, member)
);

-- The validation loss of all members together.
CREATE TABLE ensemble_epochs (
    run_id          bigint NOT NULL REFERENCES run_plans ON DELETE CASCADE,
    epoch           integer NOT NULL,
    validation_loss double precision NOT NULL,
    PRIMARY KEY (run_id, epoch)
);

-- Weights and predictions do not compress.
ALTER TABLE run_parts ALTER COLUMN result SET STORAGE EXTERNAL;
ALTER TABLE member_epochs ALTER COLUMN weights SET STORAGE EXTERNAL;
ALTER TABLE member_predictions ALTER COLUMN quantiles SET STORAGE EXTERNAL;
