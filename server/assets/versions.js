// The generations and versions that exist of a model, and which of them is assumed.
import { percent } from "./amounts.js";
import { call, inTask } from "./page.js";
import { known } from "./values.js";

// The fields that make up a version.
const FIELDS = ["engine_volume", "engine_power", "transmission", "drive", "fuel_type"];

export const state = {
  fields: FIELDS,
  // The fields with the likeliest value, which the user has neither stated nor removed.
  assumed: new Set(),
  declined: new Set(),
};

// What exists of the model, and what it was asked for.
let found = { generations: [], versions: [] };
let foundFor = "";
let request = null;

export const isVersionField = (name) => FIELDS.includes(name);
export const assumedFields = () => FIELDS.filter((name) => state.assumed.has(name));

export function setAssumed(name, isAssumed) {
  if (isAssumed) {
    state.assumed.add(name);
  } else {
    state.assumed.delete(name);
  }
}

export function forgetVersions() {
  state.assumed.clear();
  state.declined.clear();
  found = { generations: [], versions: [] };
  foundFor = "";
}

/** Loads what exists of a car with these texts, unless it is known already. Returns whether there is anything new. */
export async function loadVersions({ brand, model, year, generation }) {
  const query = new URLSearchParams();
  if (brand && model) {
    query.set("brand", brand);
    query.set("model", model);
    const ofYear = /(?:^|\D)((?:19|20)\d\d)(?:\D|$)/.exec(year);
    if (ofYear) {
      query.set("year", ofYear[1]);
    }
    if (generation) {
      query.set("vehicle_generation", generation);
    }
  }
  const wanted = inTask(`/v1/versions?${query}`);
  if (wanted === foundFor) {
    return false;
  }
  if (request) {
    request.abort();
  }
  if (!query.has("model")) {
    found = { generations: [], versions: [] };
    foundFor = wanted;
    state.declined.clear();
    return true;
  }
  const own = new AbortController();
  request = own;
  const response = await call(wanted, { signal: own.signal }).catch(() => null);
  if (own.signal.aborted) {
    return false;
  }
  request = null;
  found = response && response.ok ? await response.json() : { generations: [], versions: [] };
  foundFor = wanted;
  return true;
}

/** The likeliest version that does not contradict what is stated; null if there is none. */
export function likeliest(textOf) {
  const stated = FIELDS.filter((name) => !state.assumed.has(name) && textOf(name) !== "");
  return found.versions.find((version) => stated.every((name) => isSame(name, textOf(name), version[name]))) || null;
}

/** Whether a text is the value of a version, as far as can be told. */
function isSame(name, text, value) {
  if (value === null) {
    return false;
  }
  if (typeof value === "string") {
    return known(name, text, [value]).toLowerCase().replaceAll("ё", "е") === value;
  }
  const digits = /\d+(?:[.,]\d+)?/.exec(text);
  const typed = digits ? Number(digits[0].replace(",", ".")) : NaN;
  return typed === value || (name === "engine_volume" && Math.round(typed / 100) / 10 === value);
}

/** The generations that exist, the likeliest first. */
export function generationOptions() {
  return found.generations.map(({ vehicle_generation: value, share }) => ({ value, note: share > 0 ? percent(share) : "" }));
}

/** The values of a field among the versions, the likeliest first. */
export function versionOptions(name) {
  const shares = new Map();
  for (const version of found.versions) {
    if (version[name] !== null) {
      shares.set(version[name], (shares.get(version[name]) || 0) + version.share);
    }
  }
  const options = [...shares].sort((a, b) => b[1] - a[1]).map(([value, share]) => ({ value, note: percent(share) }));
  return typeof (options[0] || {}).value === "number" ? options.slice(0, 20) : options;
}
