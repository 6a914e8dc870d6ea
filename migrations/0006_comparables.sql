-- Similar listings are searched by make and model, then by year, generation and gearbox. The new index answers what the
-- old one did, and skips rows of another generation or gearbox without reading the table.
CREATE INDEX listings_by_similarity ON listings (brand, model, year, vehicle_generation, transmission);
DROP INDEX listings_by_car;
