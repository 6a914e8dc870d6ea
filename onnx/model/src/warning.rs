//! What a valuation could not take into account.

use domain::vocabulary::nearest;
use domain::{Listing, Warning};

use crate::encoder::Encoder;
use crate::signature::Signature;

/// One warning for each text that is in no vocabulary. A model of an unknown brand is not named
/// again: the brand explains it.
pub(crate) fn unknown_values(signature: &Signature, encoder: &Encoder, listing: &Listing, ids: &[i64]) -> Vec<Warning> {
    let texts = encoder.canonical_texts(listing);
    let mut warnings = Vec::new();
    for ((columns, id), feature) in encoder.categorical_columns().zip(ids).zip(&signature.schema.categorical) {
        let Some((last, leading)) = columns.split_last() else { continue };
        let Some(given) = texts.get(last) else { continue };
        if *id != 0 {
            continue;
        }
        let leading: Vec<&str> = leading.iter().filter_map(|column| texts.get(column).map(String::as_str)).collect();
        let siblings: Vec<&str> = feature
            .values
            .iter()
            .filter_map(|key| key.split_last())
            .filter(|(_, key)| key.iter().map(String::as_str).eq(leading.iter().copied()))
            .map(|(text, _)| text.as_str())
            .collect();
        if siblings.is_empty() && !leading.is_empty() && !warnings.is_empty() {
            continue;
        }
        warnings.push(Warning {
            code: "unknown_value",
            field: last.name().to_owned(),
            message: describe(last.name(), given, nearest(given, siblings)),
        });
    }
    warnings
}

fn describe(field: &str, given: &str, nearest: Option<&str>) -> String {
    let known = nearest.map(|nearest| format!(" (did you mean {nearest:?}?)")).unwrap_or_default();
    format!("{field} {given:?} is not known{known}; the car was valued without it")
}
