//! All routes, each with its entry in the OpenAPI document.

use std::time::Duration;

use axum::Router;
use axum::http::header::{AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::middleware::from_fn_with_state;
use chrono::Datelike;
use domain::{Column, Market, Reading};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::gate::{Access, Gate, admit};
use crate::http::problem::{Problem, ProblemDetails};
use crate::http::request_log::{RequestLog, handle_panic, log_request};
use crate::market::{prices, report};
use crate::operations::{exposition, health};
use crate::pages;
use crate::registry::{models, runs, served, sweeps, tasks};
use crate::state::State;
use crate::valuations::{batch, check, jobs, listing, one, predecessor, suggestions, versions, vocabulary, workbook};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Probeg",
        description = "What a used car is worth: by default the asking price to expect in listings (not a sale price), the \
                       range, and why. Errors are problem details (RFC 9457).",
        license(name = "MIT", identifier = "MIT")
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "valuations", description = "What a car is worth"),
        (name = "market", description = "What the listings say about prices, without a car to value"),
        (name = "models", description = "The model registry; changes require the admin token"),
        (name = "runs", description = "The runs of training, and the searches over their settings"),
        (name = "predecessor", description = "The paths of the service that Probeg replaces"),
        (name = "operations", description = "Liveness, readiness and metrics")
    ),
    components(schemas(ProblemDetails, listing::ListingRequest)),
    modifiers(&Security)
)]
struct Document;

/// Valuations of one car: small bodies, short timeouts.
fn single() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(one::value_one))
        .routes(routes!(one::value_one_leniently))
        .routes(routes!(predecessor::value_one))
}

/// Lookups.
fn lookups() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(workbook::get_template))
        .routes(routes!(jobs::get_job, jobs::delete_job))
        .routes(routes!(jobs::get_result))
        .routes(routes!(vocabulary::get_vocabulary))
        .routes(routes!(suggestions::get_suggestions))
        .routes(routes!(versions::get_versions))
        .routes(routes!(prices::get_market))
        .routes(routes!(report::get_report))
        .routes(routes!(tasks::list_tasks))
        .routes(routes!(models::list_models))
        .routes(routes!(models::get_model))
        .routes(routes!(models::get_champion))
        .routes(routes!(models::list_changes))
        .routes(routes!(served::get_served))
        .routes(routes!(runs::list_runs))
        .routes(routes!(runs::get_run))
        .routes(routes!(runs::get_run_metrics))
        .routes(routes!(runs::get_run_figures))
        .routes(routes!(runs::get_run_log))
        .routes(routes!(runs::get_run_residuals))
        .routes(routes!(sweeps::list_sweeps))
        .routes(routes!(sweeps::get_sweep))
}

/// Valuations of many cars: large bodies, long timeouts.
fn bulk() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(batch::value_batch))
        .routes(routes!(check::check_workbook))
        .routes(routes!(workbook::value_workbook))
        .routes(routes!(jobs::start_job))
        .routes(routes!(predecessor::value_many))
}

/// Changes of the champion.
fn admin() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(models::promote_model)).routes(routes!(models::rollback_model))
}

/// Without authentication.
fn open() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(health::get_live))
        .routes(routes!(health::get_ready))
        .routes(routes!(exposition::get_metrics))
}

/// The OpenAPI document, the same on every machine. The latest year of manufacture is the year after `this_year`.
#[must_use]
pub fn document(this_year: i32) -> utoipa::openapi::OpenApi {
    let documented = OpenApiRouter::with_openapi(Document::openapi());
    let routes = documented.merge(single()).merge(lookups()).merge(bulk()).merge(admin()).merge(open());
    let mut document = routes.into_openapi();
    let schemas = document.components.iter_mut().flat_map(|components| components.schemas.values_mut());
    for schema in schemas {
        let RefOr::T(Schema::Object(listing)) = schema else { continue };
        let year = listing.properties.get_mut(Column::Year.name());
        if let (Some(RefOr::T(Schema::Object(year))), Some((_, newest))) = (year, year_bounds(this_year)) {
            year.maximum = year.maximum.is_some().then(|| utoipa::Number::from(newest));
        }
    }
    document
}

/// The bounds of the year of manufacture.
fn year_bounds(this_year: i32) -> Option<(f64, f64)> {
    Reading { market: Market::russia(), year: this_year }.bounds(Column::Year)
}

/// The whole service as a function of its state.
pub fn build(state: &State) -> Router {
    let config = state.config();
    let gate = |access, max_bytes, timeout| {
        let keys = state.keys().clone();
        from_fn_with_state(Gate { keys, access, max_bytes, timeout }, admit)
    };
    let request_log = RequestLog {
        metrics: state.metrics().clone(),
        shutdown: state.shutdown().clone(),
        idle_timeout: config.idle_timeout,
    };
    let (small, large) = (config.max_json_bytes, config.max_upload_bytes);
    let (short, long) = (config.request_timeout, config.upload_timeout);
    let service = Router::from(single().route_layer(gate(Access::Key, small, short)))
        .merge(lookups().route_layer(gate(Access::Key, small, short)))
        .merge(pages::fragments().route_layer(gate(Access::Key, small, short)))
        .merge(bulk().route_layer(gate(Access::Key, large, long)))
        .merge(admin().route_layer(gate(Access::Admin, small, short)))
        .merge(open().route_layer(gate(Access::Open, small, short)))
        .with_state(state.clone())
        .merge(pages::routes(document(state.today().year())))
        .fallback(not_found)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .layer(CatchPanicLayer::custom(handle_panic))
        .layer(from_fn_with_state(request_log, log_request));
    if config.cors_origins.is_empty() { service } else { service.layer(cors(&config.cors_origins)) }
}

/// Allows pages of other origins to call the API with a key. There are no cookies.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, HeaderName::from_static("x-api-key")])
        .expose_headers([CONTENT_DISPOSITION, LOCATION, RETRY_AFTER, HeaderName::from_static("x-request-id")])
        .max_age(Duration::from_hours(1))
}

async fn not_found(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::NotFound { detail: format!("the path {path} does not exist; see /docs") }
}

/// The security schemes. Without configured keys, none is required.
struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let key = ApiKeyValue::with_description("X-API-Key", "One of PROBEG_API_KEYS; not required if none are set");
        let bearer = |description: &str| {
            SecurityScheme::Http(Http::builder().scheme(HttpAuthScheme::Bearer).description(Some(description)).build())
        };
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(key)));
        components.add_security_scheme("bearer", bearer("One of PROBEG_API_KEYS, as a bearer token"));
        components.add_security_scheme("admin", bearer("PROBEG_ADMIN_TOKEN; if it is unset, changes are disabled"));
        let none: [&str; 0] = [];
        document.security = Some(vec![
            SecurityRequirement::default(),
            SecurityRequirement::new("api_key", none),
            SecurityRequirement::new("bearer", none),
        ]);
    }
}
