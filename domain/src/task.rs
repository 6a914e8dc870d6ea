//! Tasks: what models predict, and for which listings.

use serde::{Deserialize, Serialize};

use crate::cell::{self, Cell};
use crate::column::{Column, Kind};
use crate::listing::Listing;
use crate::market::{Market, Reading};
use crate::value::Value;

/// A target column of a market's listings, all or some of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The name, such as `gb-price`.
    pub name: String,
    /// The market.
    pub market: Market,
    /// What is predicted.
    pub target: Column,
    /// All of them hold for every listing of the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
}

/// The name of the task that there was before there were others.
pub const PRICE: &str = "price";

/// Why a task is rejected.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The name is unusable.
    #[error("the name of a task must be a word of at most 40 lower-case letters, digits, - and _, but is {0:?}")]
    Name(String),
    /// The column cannot be predicted.
    #[error("the target {0:?} of a task must be one of price, sale_price and days_listed")]
    Target(String),
    /// The condition has no operator or an unknown column.
    #[error(
        "the condition {0:?} must be a column, an operator (=, !=, <, <=, >, >=) and a value, such as brand=kia|lada or year>=2015"
    )]
    Condition(String),
    /// The condition compares a text by size, or lists alternatives of a number by size.
    #[error("the condition {0:?} has an operator that does not fit its column or its values")]
    Operator(String),
    /// The value does not fit the column.
    #[error("in the condition {condition:?}, {problem}")]
    Value {
        /// The condition.
        condition: String,
        /// What is wrong.
        problem: String,
    },
}

/// A comparison in a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// One of the values.
    Equal,
    /// None of the values, nor missing.
    NotEqual,
    /// Below the value.
    Less,
    /// The value or below.
    AtMost,
    /// Above the value.
    Greater,
    /// The value or above.
    AtLeast,
}

/// A condition on a column. A missing value meets none.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The column.
    pub column: Column,
    /// The comparison.
    pub operator: Operator,
    /// Alternatives, in canonical form and stored units.
    pub values: Vec<Value>,
}

impl Task {
    /// A task; checks its name and its conditions.
    ///
    /// # Errors
    /// A name, a target or a condition that is unusable.
    pub fn new(name: &str, market: Market, target: Column, conditions: Vec<String>) -> Result<Self, TaskError> {
        let is_start = |c: char| c.is_ascii_lowercase();
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        // Names such as `v3` would read as versions of models.
        let is_version = name.strip_prefix('v').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        let is_reserved = is_version || matches!(name, "latest" | "champion");
        if name.len() > 40 || !name.starts_with(is_start) || !name.chars().all(is_part) || is_reserved {
            return Err(TaskError::Name(name.to_owned()));
        }
        if !Column::TARGETS.contains(&target) {
            return Err(TaskError::Target(target.name().to_owned()));
        }
        let task = Self { name: name.to_owned(), market, target, conditions };
        task.parse_conditions()?;
        Ok(task)
    }

    /// The task of a market that predicts a target of all its listings.
    #[must_use]
    pub fn of_market(market: &Market, target: Column) -> Self {
        let name = match market.name() {
            "ru" => target.name().to_owned(),
            market => format!("{market}-{}", target.name()),
        };
        Self { name, market: market.clone(), target, conditions: Vec::new() }
    }

    /// The asking price of Russian listings.
    #[must_use]
    pub fn price() -> Self {
        Self::of_market(Market::russia(), Column::Price)
    }

    /// The unit of the target: a currency, or `days`.
    #[must_use]
    pub fn unit(&self) -> &str {
        self.market.unit(self.target)
    }

    /// Whether the target falls with mileage and age by law.
    #[must_use]
    pub fn is_price(&self) -> bool {
        self.target.is_money()
    }

    /// The conditions.
    ///
    /// # Errors
    /// A condition is unusable, which [`Task::new`] rules out.
    pub fn parse_conditions(&self) -> Result<Vec<Condition>, TaskError> {
        self.conditions.iter().map(|condition| Condition::parse(condition, &self.market)).collect()
    }
}

impl Condition {
    /// Parses a condition such as `brand=kia|lada`, as written in a market.
    ///
    /// # Errors
    /// An unknown column or operator, or a value that does not fit.
    pub fn parse(text: &str, market: &Market) -> Result<Self, TaskError> {
        let malformed = || TaskError::Condition(text.to_owned());
        let start = text.find(['=', '!', '<', '>']).ok_or_else(malformed)?;
        let column = Column::from_name(text[..start].trim()).ok_or_else(malformed)?;
        let operators = [
            ("!=", Operator::NotEqual),
            (">=", Operator::AtLeast),
            ("<=", Operator::AtMost),
            ("=", Operator::Equal),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let parsed = operators.iter().find_map(|(sign, operator)| Some((*operator, text[start..].strip_prefix(sign)?)));
        let (operator, values) = parsed.ok_or_else(malformed)?;
        let is_by_size = !matches!(operator, Operator::Equal | Operator::NotEqual);
        let alternatives: Vec<&str> = values.split('|').map(str::trim).collect();
        if is_by_size && (column.kind() == Kind::Text || alternatives.len() > 1) {
            return Err(TaskError::Operator(text.to_owned()));
        }
        // A bound may be any year.
        let reading = Reading { market, year: 2099 };
        let parse = |value: &&str| match cell::parse_cell(column, &Cell::Text(value), reading) {
            Ok(Some(Value::Text(value))) => Ok(Value::Text(market.canonical(column, &value))),
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(malformed()),
            Err(problem) => Err(TaskError::Value { condition: text.to_owned(), problem: problem.to_string() }),
        };
        Ok(Self { column, operator, values: alternatives.iter().map(parse).collect::<Result<_, _>>()? })
    }

    /// Whether a listing in canonical form meets the condition; those on targets are not checked.
    #[must_use]
    pub fn holds(&self, canonical: &Listing) -> bool {
        if Column::TARGETS.contains(&self.column) {
            return true;
        }
        let Some(value) = canonical.get(self.column) else { return false };
        let order = |bound: &Value| match (value, bound) {
            (Value::Number(value), Value::Number(bound)) => value.partial_cmp(bound),
            (Value::Date(value), Value::Date(bound)) => Some(value.cmp(bound)),
            (Value::Text(value), Value::Text(bound)) => Some(value.cmp(bound)),
            _ => None,
        };
        let mut orders = self.values.iter().filter_map(order);
        match self.operator {
            Operator::Equal => orders.any(std::cmp::Ordering::is_eq),
            Operator::NotEqual => orders.all(std::cmp::Ordering::is_ne),
            Operator::Less => orders.all(std::cmp::Ordering::is_lt),
            Operator::AtMost => orders.all(std::cmp::Ordering::is_le),
            Operator::Greater => orders.all(std::cmp::Ordering::is_gt),
            Operator::AtLeast => orders.all(std::cmp::Ordering::is_ge),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gb() -> &'static Market {
        Market::built_in().iter().find(|market| market.name() == "gb").unwrap()
    }

    fn parse(text: &str) -> Result<Condition, String> {
        Condition::parse(text, gb()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_market_has_a_task_per_target() {
        let names = |market| Column::TARGETS.map(|target| Task::of_market(market, target).name);
        assert_eq!(names(Market::russia()), ["price", "sale_price", "days_listed"]);
        assert_eq!(names(gb()), ["gb-price", "gb-sale_price", "gb-days_listed"]);
        assert_eq!(Task::of_market(gb(), Column::SalePrice).unit(), "GBP");
        assert_eq!(Task::of_market(gb(), Column::DaysListed).unit(), "days");
    }

    #[test]
    fn conditions_are_read_in_the_spellings_and_units_of_their_market() {
        let condition = parse("fuel_type = Gasoline | Diesel").unwrap();
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(condition.values, [text("petrol"), text("diesel")]);
        assert_eq!(parse("mileage<60,000").unwrap().values, [Value::Number(96_561.0)]);
        assert_eq!(parse("year>=2015").unwrap().operator, Operator::AtLeast);
        for (condition, message) in [
            ("brand", "must be a column, an operator"),
            ("colour=red", "must be a column, an operator"),
            ("brand=", "must be a column, an operator"),
            ("brand>kia", "operator that does not fit"),
            ("year>2015|2016", "operator that does not fit"),
            ("mileage<far", "mileage must be a number (got \"far\")"),
        ] {
            let error = parse(condition).unwrap_err();
            assert!(error.contains(message), "{condition}: {error}");
        }
    }

    #[test]
    fn missing_values_meet_no_condition() {
        let mut listing = Listing::default();
        listing.set(Column::Year, Some(Value::Number(2015.0)));
        for (condition, holds) in [
            ("year>=2015", true),
            ("year>2015", false),
            ("year<=2014", false),
            ("year!=2014", true),
            ("brand!=kia", false),
            ("brand=kia", false),
            ("price<1000", true),
        ] {
            assert_eq!(parse(condition).unwrap().holds(&listing), holds, "{condition}");
        }
    }

    #[test]
    fn names_that_read_as_versions_are_rejected() {
        for name in ["v3", "latest", "champion", "3", "", "Price", "a b", "-a"] {
            assert!(matches!(Task::new(name, gb().clone(), Column::Price, vec![]), Err(TaskError::Name(_))), "{name}");
        }
        assert!(Task::new("kia-price", gb().clone(), Column::Price, vec!["brand=kia".into()]).is_ok());
        assert!(matches!(Task::new("x", gb().clone(), Column::Year, vec![]), Err(TaskError::Target(_))));
    }
}
