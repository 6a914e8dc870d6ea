-- The hash of the `car_group` that a listing came with, whatever its source; NULL where its group is made of its own
-- fields. For listings that were stored before, it is told by the first renewal: see below.
ALTER TABLE listings ADD COLUMN car_group uuid;

-- The form that the listings are stored in: which rules and which synonyms their texts, hashes and groups follow.
-- Whoever is about to add listings, or to learn from them, renews them first if its own form is another one.
CREATE TABLE canonical_form (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- NULL: an unknown one, before there was this table.
    form       uuid,
    -- How many times stored listings were changed by a renewal.
    revision   bigint NOT NULL DEFAULT 0 CHECK (revision >= 0),
    renewed_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO canonical_form DEFAULT VALUES;

-- Groups whose split is not the one that their hash says, since their listings were in another one before a renewal.
CREATE TABLE kept_buckets (
    listing_group uuid PRIMARY KEY,
    bucket        smallint NOT NULL CHECK (bucket BETWEEN 0 AND 99)
);
