-- Listings in canonical form: texts folded, synonyms resolved. The columns and their bounds are
-- those of the domain; a row that breaks one was not written by an import.
CREATE TABLE listings (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Equal rows are repetitions: the same file twice changes nothing.
    content_hash       uuid NOT NULL UNIQUE,
    -- The same car listed again; its bucket decides the split, so no car is on both sides.
    listing_group      uuid NOT NULL,
    bucket             smallint NOT NULL CHECK (bucket BETWEEN 0 AND 99),
    -- Provenance, never a feature.
    source             text,
    imported_at        timestamptz NOT NULL DEFAULT now(),
    brand              text NOT NULL CHECK (brand <> ''),
    model              text,
    vehicle_generation text,
    year               smallint NOT NULL CHECK (year BETWEEN 1900 AND 2100),
    mileage            integer NOT NULL CHECK (mileage BETWEEN 0 AND 2000000),
    body_type          text,
    fuel_type          text,
    engine_volume      real CHECK (engine_volume BETWEEN 0 AND 20),
    engine_power       real CHECK (engine_power BETWEEN 0 AND 3000),
    transmission       text,
    drive              text,
    wheel              text,
    state              text,
    owners_count       smallint CHECK (owners_count BETWEEN 0 AND 50),
    pts                text,
    customs            text,
    region             text,
    color              text,
    listing_date       date CHECK (listing_date BETWEEN '1990-01-01' AND '2099-12-31'),
    price              double precision NOT NULL CHECK (price > 0 AND price < 'Infinity')
);

-- Cars like a given one are looked up by make, model and year.
CREATE INDEX listings_by_car ON listings (brand, model, year);

-- One line an imported file, also when nothing in it was new.
CREATE TABLE imports (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file             text NOT NULL,
    rows             bigint NOT NULL CHECK (rows >= 0),
    added            bigint NOT NULL CHECK (added >= 0),
    repeated_in_file bigint NOT NULL CHECK (repeated_in_file >= 0),
    already_known    bigint NOT NULL CHECK (already_known >= 0),
    rejected         bigint NOT NULL CHECK (rejected >= 0),
    imported_at      timestamptz NOT NULL DEFAULT now(),
    CHECK (rows = added + repeated_in_file + already_known)
);
