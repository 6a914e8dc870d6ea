-- What else models may predict of a listing, where it is known.
ALTER TABLE listings
    ADD COLUMN sale_price  double precision CHECK (sale_price > 0 AND sale_price < 'Infinity'),
    ADD COLUMN days_listed smallint CHECK (days_listed BETWEEN 0 AND 3650);

-- The listings of another market than Russia are in tables of the same names in the schema market_NAME, which are created
-- like these with its first import. A migration that changes listings, imports, canonical_form or kept_buckets must do so in
-- every such schema.

-- Markets that are not built in.
CREATE TABLE markets (
    name       text PRIMARY KEY,
    definition jsonb NOT NULL,
    added_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tasks (
    name       text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_-]*$'),
    market     text NOT NULL,
    target     text NOT NULL CHECK (target IN ('price', 'sale_price', 'days_listed')),
    -- All of them hold for every listing of the task: brand=kia, year>=2015.
    conditions text[] NOT NULL DEFAULT '{}',
    added_at   timestamptz NOT NULL DEFAULT now()
);

INSERT INTO tasks (name, market, target) VALUES ('price', 'ru', 'price');

-- Everything from before is of the one task that there was.
ALTER TABLE models ADD COLUMN task text NOT NULL DEFAULT 'price' REFERENCES tasks;
ALTER TABLE runs ADD COLUMN task text NOT NULL DEFAULT 'price' REFERENCES tasks;

-- The champion of the task `price` keeps its alias, which servers of earlier versions follow. The aliases of other tasks are
-- qualified: gb-price/champion.
ALTER TABLE model_aliases DROP CONSTRAINT model_aliases_alias_check;
ALTER TABLE model_aliases ADD CONSTRAINT model_aliases_alias_check
    CHECK (alias ~ '^([a-z][a-z0-9_-]*/)?[a-z][a-z_-]*$' AND alias NOT IN ('v', 'latest'));

CREATE FUNCTION refuse_alias_of_other_task() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    expected text := CASE WHEN NEW.alias LIKE '%/%' THEN split_part(NEW.alias, '/', 1) ELSE 'price' END;
    actual   text := (SELECT task FROM models WHERE version = NEW.version);
BEGIN
    IF actual <> expected THEN
        RAISE EXCEPTION 'version % is of the task %, and cannot be %', NEW.version, actual, NEW.alias
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER model_aliases_fit_their_task BEFORE INSERT OR UPDATE ON model_aliases
    FOR EACH ROW EXECUTE FUNCTION refuse_alias_of_other_task();
