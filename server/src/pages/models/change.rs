//! Forms that change what serves, with the admin token.

use domain::Language;
use maud::{Markup, html};
use serde_json::json;

/// How to promote a version, or to roll it back if it is the champion of its task.
pub(super) fn forms((version, task): (i64, &str), is_champion: bool, language: Language) -> Markup {
    let rollback = language.of_both((
        "Откат вернёт версию, которая работала до этой.",
        "Rolling back restores the version that served before this one.",
    ));
    let promotion = language.of_both((
        "Эта версия сменит ту, что работает сейчас. Предыдущую можно вернуть откатом.",
        "This version replaces the one that serves now. A rollback restores that one.",
    ));
    html! {
        @if is_champion {
            p { (rollback) }
            (form("POST", &format!("/v1/models/rollback?task={task}"), None, language.of_both(("Откатить", "Roll back")), language))
        } @else {
            p { (promotion) }
            (form("PUT", "/v1/models/champion", Some(version), language.of_both(("Назначить", "Promote")), language))
        }
        p #outcome role="status" {}
    }
}

/// What to do instead on a server without an admin token.
pub(super) fn command((version, task): (i64, &str), is_champion: bool, language: Language) -> Markup {
    let hint = language.of_both((
        "Этот сервер изменений не принимает: переменная PROBEG_ADMIN_TOKEN не задана. Командой: ",
        "This server accepts no changes, since PROBEG_ADMIN_TOKEN is not set. The command is ",
    ));
    let command = if is_champion {
        format!("probeg models rollback --task {task}")
    } else {
        format!("probeg models promote {version}")
    };
    html! { p { (hint) code { (command) } } }
}

/// A form that the script of the page sends.
fn form(method: &str, path: &str, version: Option<i64>, label: &str, language: Language) -> Markup {
    let body = version.map(|version| json!({ "version": version }).to_string());
    html! {
        form.filters data-method=(method) data-path=(path) data-body=[body] {
            label { (language.of_both(("Токен администратора", "Admin token")))
                input #token name="token" type="password" autocomplete="off" required; }
            button.primary { (label) }
        }
    }
}
