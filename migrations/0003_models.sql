CREATE TABLE models (
    version    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id     bigint REFERENCES runs,
    created_at timestamptz NOT NULL DEFAULT now(),
    sha256     bytea NOT NULL CHECK (length(sha256) = 32),
    size       bigint NOT NULL CHECK (size > 0),
    bytes      bytea NOT NULL,
    signature  jsonb NOT NULL,
    card       jsonb NOT NULL,
    CHECK (size = length(bytes))
);

CREATE INDEX models_run_id ON models (run_id);

-- Weights do not compress; trying costs a second a model.
ALTER TABLE models ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE model_aliases (
    -- A name that could also be read as a version would be ambiguous.
    alias   text PRIMARY KEY CHECK (alias ~ '^[a-z][a-z_-]*$' AND alias NOT IN ('v', 'latest')),
    version bigint NOT NULL REFERENCES models
);

CREATE TABLE alias_history (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alias            text NOT NULL,
    version          bigint NOT NULL REFERENCES models,
    previous_version bigint REFERENCES models,
    at               timestamptz NOT NULL DEFAULT now(),
    who              text NOT NULL,
    action           text NOT NULL CHECK (action IN ('promote', 'rollback'))
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER models_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON models
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER alias_history_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON alias_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION tell_alias_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('probeg_models', '');
    RETURN NULL;
END
$$;

-- Servers listen, and load what the alias now points at.
CREATE TRIGGER model_aliases_tell AFTER INSERT OR UPDATE OR DELETE ON model_aliases
    FOR EACH STATEMENT EXECUTE FUNCTION tell_alias_change();
