//! The web pages: the form and Swagger UI, served from the binary.

mod experiments;
mod models;
mod parts;
mod segments;
mod words;

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::{Column, Kind, capitalized};
use serde_json::json;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::SwaggerUi;

use crate::http::problem::Problem;
use crate::state::State;

/// The shell of the pages whose content the server renders.
const SHELL: &str = include_str!("../assets/fragments.html");
/// The pages by path. Pages of makes and models of cars are that of the market, and those of models and runs have one shell: their
/// scripts read the address.
const PAGES: [(&str, &str); 13] = [
    ("/", include_str!("../assets/index.html")),
    ("/bulk", include_str!("../assets/bulk.html")),
    ("/data", include_str!("../assets/data.html")),
    ("/market", include_str!("../assets/market.html")),
    ("/market/{make}", include_str!("../assets/market.html")),
    ("/market/{make}/{model}", include_str!("../assets/market.html")),
    ("/models", SHELL),
    ("/models/{version}", SHELL),
    ("/experiments", SHELL),
    ("/experiments/compare", SHELL),
    ("/experiments/sweeps", SHELL),
    ("/experiments/sweeps/{name}", SHELL),
    ("/experiments/{id}", SHELL),
];
/// The head of every page, with the links between them.
const HEADER: &str = include_str!("../assets/header.html");
/// Where a page has the header.
const HEADER_PLACE: &str = "<!-- header -->\n";
const STYLES: [(&str, &str); 6] = [
    ("/assets/bulk.css", include_str!("../assets/bulk.css")),
    ("/assets/docs.css", include_str!("../assets/docs.css")),
    ("/assets/fragments.css", include_str!("../assets/fragments.css")),
    ("/assets/market.css", include_str!("../assets/market.css")),
    ("/assets/plot.css", plot::STYLE),
    ("/assets/probeg.css", include_str!("../assets/probeg.css")),
];
/// The modules of the script.
const SCRIPTS: [(&str, &str); 21] = [
    ("/assets/amounts.js", include_str!("../assets/amounts.js")),
    ("/assets/answer.js", include_str!("../assets/answer.js")),
    ("/assets/bulk.js", include_str!("../assets/bulk.js")),
    ("/assets/charts.js", include_str!("../assets/charts.js")),
    ("/assets/data.js", include_str!("../assets/data.js")),
    ("/assets/docs.js", include_str!("../assets/docs.js")),
    ("/assets/form.js", include_str!("../assets/form.js")),
    ("/assets/combobox.js", include_str!("../assets/combobox.js")),
    ("/assets/follow.js", include_str!("../assets/follow.js")),
    ("/assets/fragments.js", include_str!("../assets/fragments.js")),
    ("/assets/market.js", include_str!("../assets/market.js")),
    ("/assets/page.js", include_str!("../assets/page.js")),
    ("/assets/pointer.js", include_str!("../assets/pointer.js")),
    ("/assets/portfolio.js", include_str!("../assets/portfolio.js")),
    ("/assets/probeg.js", include_str!("../assets/probeg.js")),
    ("/assets/site.js", include_str!("../assets/site.js")),
    ("/assets/tasks.js", include_str!("../assets/tasks.js")),
    ("/assets/values.js", include_str!("../assets/values.js")),
    ("/assets/workbook.js", include_str!("../assets/workbook.js")),
    ("/assets/versions.js", include_str!("../assets/versions.js")),
    ("/assets/words.js", include_str!("../assets/words.js")),
];
/// The page of Swagger UI.
const DOCS_PAGE: &str = include_str!("../assets/docs.html");
const ICON: &str = include_str!("../assets/icon.svg");

/// The module with the fields of the form.
static COLUMNS: LazyLock<String> = LazyLock::new(|| {
    let columns: Vec<_> = Column::descriptive().iter().map(|column| describe(*column)).collect();
    format!("export const COLUMNS = {};\n", serde_json::Value::from(columns))
});

/// The module with what the server says, in both languages.
static MESSAGES: LazyLock<String> =
    LazyLock::new(|| format!("export const MESSAGES = {};\n", json!(domain::message::catalogue())));

/// The content security policy of the form: same origin only, nothing inline.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// The content security policy of Swagger UI, which has inline styles and icons in data URLs.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// The files change only with the binary.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The content of the pages of models, runs and sweeps: fragments of HTML that a shell without content fetches, so that they need the
/// API key as other data do.
pub(crate) fn fragments() -> Router<State> {
    models::fragments().merge(experiments::fragments())
}

/// The pages, their assets, the OpenAPI document and Swagger UI.
pub(crate) fn routes(document: OpenApi) -> Router {
    let text = |content_type: &'static str, content: &'static str| get(async move || file(content_type, content));
    let script = |content| text("text/javascript; charset=utf-8", content);
    let scripts =
        SCRIPTS.into_iter().fold(Router::new(), |router, (path, content)| router.route(path, script(content)));
    let style = |content| text("text/css; charset=utf-8", content);
    let styles = STYLES.into_iter().fold(scripts, |router, (path, content)| router.route(path, style(content)));
    let html = |path, content| {
        let page = with_header(path, content);
        get(async move || ([(CONTENT_TYPE, "text/html; charset=utf-8")], page.clone()).into_response())
    };
    let pages = PAGES
        .into_iter()
        .fold(styles, |router, (path, content)| router.route(path, html(path, content)))
        .route("/assets/report.css", get(async || ([(CONTENT_TYPE, "text/css; charset=utf-8")], report::style())))
        .route("/assets/columns.js", get(async || file("text/javascript; charset=utf-8", &COLUMNS)))
        .route("/assets/messages.js", get(async || file("text/javascript; charset=utf-8", &MESSAGES)))
        .route("/assets/icon.svg", text("image/svg+xml", ICON))
        .layer(SetResponseHeaderLayer::overriding(CONTENT_SECURITY_POLICY, PAGE_POLICY));
    let docs = Router::from(SwaggerUi::new("/docs").url("/openapi.json", document))
        .layer(from_fn(replace_docs_page))
        .layer(SetResponseHeaderLayer::overriding(CONTENT_SECURITY_POLICY, DOCS_POLICY))
        .layer(map_response(explain_not_found));
    pages.merge(docs).layer(SetResponseHeaderLayer::if_not_present(CACHE_CONTROL, CACHED))
}

/// Swagger UI brings its own page, which is neither accessible nor made for phones; ours has the same scripts.
async fn replace_docs_page(request: Request, next: Next) -> Response {
    match request.uri().path() {
        "/docs/" | "/docs/index.html" => file("text/html; charset=utf-8", DOCS_PAGE),
        _ => next.run(request).await,
    }
}

/// Swagger UI returns an empty response for unknown files.
async fn explain_not_found(response: Response) -> Response {
    if response.status() == StatusCode::NOT_FOUND {
        Problem::NotFound { detail: "the file does not exist; see /docs".to_owned() }.into_response()
    } else {
        response
    }
}

/// The field of a column: its name, kind, bounds, and labels and units in both languages.
fn describe(column: Column) -> serde_json::Value {
    let (kind, bounds) = match column.kind() {
        Kind::Text => ("text", None),
        Kind::Integer { min, max } | Kind::Decimal { min, max } => ("number", Some((min, max))),
        Kind::Date => ("date", None),
    };
    let ((ru, en), (ru_unit, en_unit)) = (column.label(), column.unit_label());
    json!({
        "name": column.name(), "kind": kind, "required": Column::REQUIRED.contains(&column),
        "min": bounds.map(|(min, _)| min), "max": bounds.map(|(_, max)| max),
        "label": { "ru": capitalized(ru), "en": capitalized(en) }, "unit": { "ru": ru_unit, "en": en_unit },
    })
}

/// A page with the header, in which its own link is marked.
fn with_header(path: &str, page: &str) -> String {
    // Pages below another one are marked by its link.
    let place = match path.find('/').and_then(|start| path[start + 1..].find('/').map(|end| start + 1 + end)) {
        Some(end) => &path[..end],
        None => path,
    };
    let link = format!("<a href=\"{place}\"");
    page.replace(HEADER_PLACE, &HEADER.replace(&link, &format!("{link} aria-current=\"page\"")))
}

fn file(content_type: &'static str, content: &'static str) -> Response {
    ([(CONTENT_TYPE, content_type)], content).into_response()
}
