-- How the prices that the model of a run predicts differ from those of the test split, in bands; NULL for runs of earlier versions.
-- It is beside the model, not in its file, which has only what a server needs to value a car.
ALTER TABLE runs ADD COLUMN residuals jsonb;
