//! The generations and versions in which a model is listed, for a form.

use std::collections::HashMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State as Extracted};
use domain::Column;
use domain::cell::shorten;
use domain::column::MIN_YEAR;
use domain::generation::{group_generations, is_same_generation};
use serde::Serialize;
use storage::ListedVersion;
use utoipa::{IntoParams, ToSchema};

use super::suggestions::known_generations;
use crate::http::problem::openapi::VersionProblems;
use crate::http::problem::{FieldError, FieldErrors, Problem};
use crate::http::query::{TASK, read_pairs};
use crate::serving::models::Served;
use crate::state::State;

/// The time limit of a statement in the database.
const STATEMENT_TIMEOUT_MS: u32 = 300;
/// The time limit of the search, with the time until a connection is available.
const TIMEOUT: Duration = Duration::from_millis(600);
/// The maximum number of versions in a response.
const MAX_VERSIONS: usize = 50;

/// Which car.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct VersionsQuery {
    /// The task with the market, one of `/v1/tasks`; by default that of the server.
    #[param(required = false, nullable = false, example = "price")]
    task: Option<String>,
    /// The make.
    #[param(example = "kia")]
    brand: String,
    /// The model.
    #[param(example = "rio")]
    model: String,
    /// The year of manufacture.
    #[param(required = false, nullable = false, minimum = 1900, maximum = 2100, example = 2018)]
    year: Option<i32>,
    /// The generation, in any spelling; without it, versions of all generations are returned.
    #[param(required = false, nullable = false, example = "iv")]
    vehicle_generation: Option<String>,
}

/// In which generations and versions a model is listed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionList {
    /// Where this is from.
    source: VersionSource,
    /// The number of listings that it is from: of cars of the year, or of the years around if there are few.
    #[schema(example = 412)]
    listings: u64,
    /// The generations, the most frequent first, each once.
    generations: Vec<GenerationShare>,
    /// The versions, the most frequent first, at most 50.
    versions: Vec<Version>,
}

/// Where versions are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VersionSource {
    /// The listings in the database.
    Listings,
    /// The model, since the database is unavailable or has no listing of it: there are only generations, of all years.
    Model,
}

/// A generation of a model.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct GenerationShare {
    /// Its most frequent spelling that the model knows.
    #[schema(example = "iv (2017—н. в.)")]
    vehicle_generation: String,
    /// The share of the listings that state a generation.
    #[schema(minimum = 0.0, maximum = 1.0, example = 0.92)]
    share: f64,
    /// The first and the last year of manufacture among the listings; null without listings.
    #[schema(example = json!([2017, 2019]))]
    years: Option<[i16; 2]>,
}

/// A version of a model. Fields that listings of it do not state are null.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Version {
    /// Fuel.
    #[schema(example = "бензин")]
    fuel_type: Option<String>,
    /// Engine volume in liters.
    #[schema(example = 1.6)]
    engine_volume: Option<f64>,
    /// Engine power in horsepower.
    #[schema(example = 123)]
    engine_power: Option<f64>,
    /// Gearbox.
    #[schema(example = "автоматическая")]
    transmission: Option<String>,
    /// Driven wheels.
    #[schema(example = "передний")]
    drive: Option<String>,
    /// The share of the listings that state a version.
    #[schema(minimum = 0.0, maximum = 1.0, example = 0.41)]
    share: f64,
}

/// Lists generations and versions of a model
///
/// In which generations a model was made in a year, and with which engines, gearboxes and driven wheels, as far as listings tell: for a
/// form that offers what exists. Listings are looked up by an index and at most 20,000 of them. Without the database there are the
/// generations that the model knows.
#[utoipa::path(
    get, path = "/v1/versions", operation_id = "get_versions", tag = "valuations", params(VersionsQuery),
    responses((status = 200, description = "The generations and versions", body = VersionList), VersionProblems)
)]
pub(crate) async fn get_versions(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<VersionList>, Problem> {
    let query = VersionsQuery::read(&pairs).map_err(Problem::Invalid)?;
    let served = state.served(query.task.as_deref()).await?;
    let make = served.names.make(&query.brand, served.market());
    let model = make.and_then(|make| served.names.model(make, &query.model, served.market()));
    let brand = make.map_or_else(|| served.market().canonical(Column::Brand, &query.brand), str::to_owned);
    let model = model.map_or_else(|| served.market().canonical(Column::Model, &query.model), str::to_owned);
    let listed = find(&state, &served, &brand, &model, query.year).await.unwrap_or_default();
    let known = known_generations(&served, &brand, &model);
    let generation = query.vehicle_generation.map(|text| served.market().canonical(Column::VehicleGeneration, &text));
    Ok(Json(VersionList::new(&listed, &known, generation.as_deref())))
}

/// The versions among the listings; `None` if the database is unavailable or slow.
async fn find(
    state: &State,
    served: &Served,
    brand: &str,
    model: &str,
    year: Option<i32>,
) -> Option<Vec<ListedVersion>> {
    let search = async {
        let listings = state.database_of(served.market()).await?.listings();
        listings.versions(brand, model, year, STATEMENT_TIMEOUT_MS).await
    };
    let reason = match tokio::time::timeout(TIMEOUT, search).await {
        Ok(Ok(found)) => return Some(found),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the database did not respond in time".to_owned(),
    };
    tracing::warn!(reason, "Versions could not be looked up.");
    None
}

impl VersionsQuery {
    fn read(pairs: &[(String, String)]) -> Result<Self, FieldErrors> {
        let mut query = Self::default();
        read_pairs(pairs, |name, value| {
            match name {
                TASK => query.task = Some(value.to_owned()),
                "brand" => value.clone_into(&mut query.brand),
                "model" => value.clone_into(&mut query.model),
                "year" => query.year = Some(read_year(value)?),
                "vehicle_generation" => query.vehicle_generation = Some(value.to_owned()),
                _ => return Err(FieldError::unknown_parameter(name)),
            }
            Ok(())
        })?;
        let mut errors = FieldErrors::default();
        for (name, value) in [("brand", &query.brand), ("model", &query.model)] {
            if value.trim().is_empty() {
                errors.push(|| FieldError::in_query(name, format!("{name} is required and is missing"), "missing"));
            }
        }
        if errors.is_empty() { Ok(query) } else { Err(errors) }
    }
}

fn read_year(value: &str) -> Result<i32, FieldError> {
    const MAX_YEAR: f64 = 2100.0;
    let year = value.parse::<i32>().ok().filter(|year| (MIN_YEAR..=MAX_YEAR).contains(&f64::from(*year)));
    year.ok_or_else(|| {
        let msg = format!("year must be a whole number from {MIN_YEAR} to {MAX_YEAR} (got {:?})", shorten(value));
        FieldError::in_query("year", msg, "out_of_range").within(MIN_YEAR, MAX_YEAR)
    })
}

impl VersionList {
    /// From what is listed, the most frequent first, and the generations that the model knows.
    fn new(listed: &[ListedVersion], known: &[Vec<String>], generation: Option<&str>) -> Self {
        if listed.is_empty() {
            let generation = |group: &Vec<String>| {
                let vehicle_generation = group.first()?.clone();
                Some(GenerationShare { vehicle_generation, share: 0.0, years: None })
            };
            let generations: Vec<GenerationShare> = known.iter().filter_map(generation).collect();
            return Self { source: VersionSource::Model, listings: 0, generations, versions: Vec::new() };
        }
        Self {
            source: VersionSource::Listings,
            listings: listed.iter().map(|version| version.listings).sum(),
            generations: generations(listed, known),
            versions: versions(listed, generation),
        }
    }
}

fn generations(listed: &[ListedVersion], known: &[Vec<String>]) -> Vec<GenerationShare> {
    let mut counts: HashMap<&str, (u64, (i16, i16))> = HashMap::new();
    for version in listed {
        let Some(text) = &version.vehicle_generation else { continue };
        let (count, (first, last)) = counts.entry(text).or_insert((0, version.years));
        *count += version.listings;
        (*first, *last) = ((*first).min(version.years.0), (*last).max(version.years.1));
    }
    let mut spellings: Vec<(&str, u64, (i16, i16))> =
        counts.into_iter().map(|(text, (count, years))| (text, count, years)).collect();
    spellings.sort_unstable_by_key(|(text, count, _)| (std::cmp::Reverse(*count), *text));
    let total: u64 = spellings.iter().map(|(_, count, _)| count).sum();
    let texts: Vec<&str> = spellings.iter().map(|(text, ..)| *text).collect();
    let is_known = |text: &str| known.iter().flatten().any(|known| known == text);
    let group = |group: Vec<usize>| {
        let count: u64 = group.iter().map(|index| spellings[*index].1).sum();
        let years = group.iter().map(|index| spellings[*index].2);
        let (first, last) = years.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        let best = group.iter().find(|index| is_known(texts[**index])).or(group.first())?;
        Some((
            count,
            GenerationShare {
                vehicle_generation: texts[*best].to_owned(),
                share: share(count, total),
                years: Some([first, last]),
            },
        ))
    };
    let mut groups: Vec<(u64, GenerationShare)> = group_generations(&texts).into_iter().filter_map(group).collect();
    groups.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    groups.into_iter().map(|(_, generation)| generation).collect()
}

fn versions(listed: &[ListedVersion], generation: Option<&str>) -> Vec<Version> {
    // In the order of their first listing, which is that of their frequency in one generation.
    let mut counted: Vec<(&ListedVersion, u64)> = Vec::new();
    for version in listed {
        let is_asked_for = match (&version.vehicle_generation, generation) {
            (Some(own), Some(asked)) => is_same_generation(own, asked),
            _ => true,
        };
        let states_version =
            version.transmission.is_some() && (version.engine_volume.or(version.engine_power)).is_some();
        if !is_asked_for || !states_version {
            continue;
        }
        match counted.iter_mut().find(|(known, _)| is_same_version(known, version)) {
            Some((_, count)) => *count += version.listings,
            None => counted.push((version, version.listings)),
        }
    }
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let total: u64 = counted.iter().map(|(_, count)| count).sum();
    let version = |(version, count): (&ListedVersion, u64)| Version {
        fuel_type: version.fuel_type.clone(),
        engine_volume: version.engine_volume,
        engine_power: version.engine_power,
        transmission: version.transmission.clone(),
        drive: version.drive.clone(),
        share: share(count, total),
    };
    counted.into_iter().take(MAX_VERSIONS).map(version).collect()
}

fn is_same_version(a: &ListedVersion, b: &ListedVersion) -> bool {
    (&a.fuel_type, a.engine_volume, a.engine_power, &a.transmission, &a.drive)
        == (&b.fuel_type, b.engine_volume, b.engine_power, &b.transmission, &b.drive)
}

/// A share with four decimals.
#[expect(clippy::cast_precision_loss, reason = "counts of listings")]
fn share(count: u64, total: u64) -> f64 {
    (count as f64 / total.max(1) as f64 * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(generation: Option<&str>, power: Option<f64>, transmission: &str, listings: u64) -> ListedVersion {
        ListedVersion {
            vehicle_generation: generation.map(str::to_owned),
            fuel_type: Some("бензин".to_owned()),
            engine_volume: Some(1.6),
            engine_power: power,
            transmission: Some(transmission.to_owned()).filter(|text| !text.is_empty()),
            drive: None,
            years: (2017, 2018),
            listings,
        }
    }

    #[test]
    fn a_generation_is_listed_once_and_versions_add_up() {
        let listed = [
            listed(Some("iii рестайлинг"), Some(107.0), "механическая", 4),
            listed(Some("iv (2017—н. в.)"), Some(123.0), "автоматическая", 3),
            listed(None, Some(123.0), "автоматическая", 3),
            listed(Some("iv"), Some(123.0), "механическая", 2),
            listed(Some("iv"), Some(100.0), "", 9),
        ];
        let known = [vec!["iv".to_owned()], vec!["iii рестайлинг".to_owned()]];
        let all = VersionList::new(&listed, &known, None);
        let generations: Vec<_> =
            all.generations.iter().map(|found| (found.vehicle_generation.as_str(), found.share)).collect();
        assert_eq!(generations, [("iv", 0.7778), ("iii рестайлинг", 0.2222)]);
        let first = &all.versions[0];
        assert_eq!(
            (first.engine_power, first.transmission.as_deref(), first.share),
            (Some(123.0), Some("автоматическая"), 0.5)
        );
        assert_eq!(all.versions.len(), 3);
        let of_one = VersionList::new(&listed, &known, Some("iv (2017—н. в.)"));
        assert_eq!(of_one.versions.iter().map(|version| version.share).collect::<Vec<_>>(), [0.75, 0.25]);
        assert_eq!((of_one.generations.len(), of_one.listings), (2, 21));
    }

    #[test]
    fn without_listings_there_are_the_known_generations() {
        let versions = VersionList::new(&[], &[vec!["iii".to_owned(), "iii (2011—2015)".to_owned()]], None);
        assert_eq!((versions.source, versions.listings), (VersionSource::Model, 0));
        assert_eq!(versions.generations.len(), 1);
    }
}
