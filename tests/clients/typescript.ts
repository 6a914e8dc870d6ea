// Calls every operation of a server with the types that openapi-typescript generates: node typescript.js ADDRESS TOKEN WORKBOOK.
import assert from "node:assert";
import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const [address, token, workbook] = process.argv.slice(2) as [string, string, string];
const called = new Set<string>();
const client = createClient<paths>({ baseUrl: address });
const admin = createClient<paths>({ baseUrl: address, headers: { Authorization: `Bearer ${token}` } });

/** The data of an answer, which must be a success. */
async function ok<T>(operation: string, answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await answer;
  assert(response.ok, `${operation}: ${response.status} ${JSON.stringify(error)}`);
  called.add(operation);
  return data as T;
}

type Listing = components["schemas"]["Listing"];
const car: Listing = { brand: "Kia", model: "Rio", year: 2018, mileage: 83000, listing_date: "2026-03-17" };
const loose = { brand: "Киа", model: "Рио", year: "2018 г.", mileage: "83 тыс" };

/** A form with the workbook. */
const upload = {
  body: { file: "" },
  bodySerializer: () => {
    const form = new FormData();
    form.append("file", new Blob([readFileSync(workbook)]), "cars.xlsx");
    return form;
  },
};
const binary = { parseAs: "arrayBuffer" } as const;

const valued = await ok(
  "value_one",
  client.POST("/v1/valuations", { body: car, params: { query: { level: 0.9, explain: true, comparables: 3 } } }),
);
assert(valued.low < valued.price && valued.price < valued.high && valued.factors, JSON.stringify(valued));
const lenient = await ok("value_one_leniently", client.POST("/v1/valuations/lenient", { body: loose }));
assert(lenient.price > 0);
const batch = await ok("value_batch", client.POST("/v1/valuations/batch", { body: [car, car] }));
assert.equal(batch.length, 2);
await ok("value_workbook", client.POST("/v1/valuations/xlsx", { ...upload, ...binary }));
const checked = await ok("check_workbook", client.POST("/v1/valuations/check", upload));
assert(checked.valuable === 1 && checked.columns[0]?.column === "brand", JSON.stringify(checked));
await ok("get_template", client.GET("/v1/valuations/template.xlsx", binary));

const { id } = await ok("start_job", client.POST("/v1/valuations/jobs", upload));
const job = { params: { path: { id } } };
while ((await ok("get_job", client.GET("/v1/valuations/jobs/{id}", job))).state === "running") {
  await new Promise((resume) => setTimeout(resume, 50));
}
await ok("get_result", client.GET("/v1/valuations/jobs/{id}/result", { ...job, ...binary }));
await ok("end_job", client.DELETE("/v1/valuations/jobs/{id}", job));

await ok("get_vocabulary", client.GET("/v1/vocabulary", { params: { query: { brand: "kia" } } }));
await ok("get_suggestions", client.GET("/v1/suggestions", { params: { query: { field: "brand", text: "ки" } } }));
await ok("get_versions", client.GET("/v1/versions", { params: { query: { brand: "kia", model: "rio" } } }));
await ok("get_sale_prediction_for_one_car", client.POST("/get_sale_prediction_for_one_car", { body: car }));
await ok(
  "get_sale_prediction_for_multiple_cars",
  client.POST("/get_sale_prediction_for_multiple_cars", { ...upload, ...binary }),
);

await ok("list_tasks", client.GET("/v1/tasks"));
const champion = await ok("get_champion", client.GET("/v1/models/champion"));
const { version } = champion;
const latest = await ok("get_model", client.GET("/v1/models/{version}", { params: { path: { version: "latest" } } }));
assert.equal(latest.version, version);
await ok("list_models", client.GET("/v1/models"));
await ok("promote_model", admin.PUT("/v1/models/champion", { body: { version } }));
await ok("rollback_model", admin.POST("/v1/models/rollback"));
await ok("promote_model", admin.PUT("/v1/models/champion", { body: { version } }));
await ok("list_changes", client.GET("/v1/models/history"));
const served = await ok(
  "get_served",
  client.GET("/v1/models/served", { params: { query: { at: "2100-01-01T00:00" } } }),
);
assert.equal(served.model.version, version);

const market = await ok("get_market", client.GET("/v1/market", { params: { query: { brand: "kia" } } }));
assert(market.listings > 0 && market.recent.length > 0, JSON.stringify(market));
await ok("get_report", client.GET("/v1/report", { parseAs: "text" }));

const query = { status: "completed", sort: "version" };
const [run] = await ok("list_runs", client.GET("/v1/runs", { params: { query } }));
assert(run);
const one = { params: { path: { id: run.id } } };
await ok("get_run", client.GET("/v1/runs/{id}", one));
await ok("get_run_metrics", client.GET("/v1/runs/{id}/metrics", one));
await ok("get_run_figures", client.GET("/v1/runs/{id}/figures", one));
await ok("get_run_log", client.GET("/v1/runs/{id}/log", one));
const residuals = await ok("get_run_residuals", client.GET("/v1/runs/{id}/residuals", one));
assert(residuals.rows > 0 && residuals.calibration.length > 0, JSON.stringify(residuals));
const [sweep] = await ok("list_sweeps", client.GET("/v1/sweeps"));
assert(sweep);
const trials = await ok("get_sweep", client.GET("/v1/sweeps/{name}", { params: { path: { name: sweep.name } } }));
assert.equal(trials.results[0]?.number, 1);
await ok("get_live", client.GET("/health/live"));
await ok("get_ready", client.GET("/health/ready"));
await ok("get_metrics", client.GET("/metrics", { parseAs: "text" }));

type Operations = Record<string, Record<string, { operationId: string }>>;
const document = (await (await fetch(`${address}/openapi.json`)).json()) as { paths: Operations };
const operations = Object.values(document.paths).flatMap((path) => Object.values(path).map(({ operationId }) => operationId));
assert.deepEqual([...called].sort(), operations.sort());
console.log(`called ${called.size} operations`);
