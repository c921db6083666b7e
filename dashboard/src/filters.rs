//! The filters of a query string (`a`, `a,b`, `-a`) as conditions with parameters.

use crate::dimensions::{Column, FILTERS};
use crate::error::ApiError;
use crate::parameters::{Parameters, negated};
use crate::statement::Value;

/// Whose conversions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribution {
    Attributed,
    Unattributed,
    All,
}

const ATTRIBUTIONS: [(&str, Attribution); 3] = [
    ("attributed", Attribution::Attributed),
    ("unattributed", Attribution::Unattributed),
    ("all", Attribution::All),
];

#[derive(Clone, Debug)]
struct Filter {
    name: &'static str,
    column: Column,
    not: bool,
    values: Vec<String>,
}

/// All filters of a request.
#[derive(Clone, Debug)]
pub struct Filters {
    filters: Vec<Filter>,
    attribution: Attribution,
}

impl Filters {
    pub fn take(parameters: &mut Parameters, otherwise: Attribution) -> Result<Self, ApiError> {
        let attribution = parameters
            .choice("attribution", &ATTRIBUTIONS)?
            .unwrap_or(otherwise);
        let mut filters = Vec::new();
        for (name, column) in FILTERS {
            let Some(text) = parameters.list(name) else {
                continue;
            };
            let (not, list) = negated(&text);
            let values: Vec<String> = list.split(',').map(|value| value.trim().to_owned()).collect();
            if values.len() > 1000 {
                return Err(ApiError::bad(name, "more than 1000 values"));
            }
            if values.iter().all(String::is_empty) {
                continue;
            }
            filters.push(Filter {
                name,
                column,
                not,
                values,
            });
        }
        Ok(Self { filters, attribution })
    }

    /// Whether every filter's column is such a one.
    pub fn all(&self, is: impl Fn(Column) -> bool) -> bool {
        self.filters.iter().all(|filter| is(filter.column))
    }

    /// Whether anything that a click earned is left out.
    pub fn are_any(&self) -> bool {
        !self.filters.is_empty() || self.attribution == Attribution::Unattributed
    }

    /// Whether nothing at all is left out.
    pub fn leave_all(&self) -> bool {
        self.filters.is_empty() && self.attribution == Attribution::All
    }

    /// ` AND …` for rows of clicks.
    pub fn on_clicks(&self) -> String {
        let mut sql = self.conditions(|column| column.on_clicks);
        if self.attribution == Attribution::Unattributed {
            sql.push_str(" AND 0");
        }
        sql
    }

    /// ` AND …` for rows of conversions.
    pub fn on_conversions(&self) -> String {
        let mut sql = self.conditions(|_| true);
        sql.push_str(match self.attribution {
            Attribution::Attributed => " AND attributed_by NOT IN ('', 'none')",
            Attribution::Unattributed => " AND attributed_by IN ('', 'none')",
            Attribution::All => "",
        });
        sql
    }

    /// ` AND …` for rows of refunds, which carry the dimensions of the sale but not how it was attributed.
    pub fn on_refunds(&self) -> String {
        self.conditions(|_| true)
    }

    /// ` AND …` for rows of commissions, which do not say what type of sale earned them.
    pub fn on_commissions(&self) -> String {
        self.conditions(|column| column.name != "sale_type")
    }

    /// A column that the table lacks reads as empty text.
    fn conditions(&self, has: impl Fn(Column) -> bool) -> String {
        let mut sql = String::new();
        for filter in &self.filters {
            let column = if has(filter.column) {
                filter.column.name
            } else {
                "''"
            };
            let operator = if filter.not { "NOT IN" } else { "IN" };
            sql.push_str(&format!(
                " AND {column} {operator} {{f_{}:Array(String)}}",
                filter.name
            ));
        }
        sql
    }

    pub fn values(&self) -> impl Iterator<Item = (String, Value)> + '_ {
        self.filters
            .iter()
            .map(|filter| (format!("f_{}", filter.name), Value::Texts(filter.values.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(pairs: &[(&str, &str)]) -> Filters {
        let pairs = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        Filters::take(&mut Parameters::new(pairs), Attribution::All).unwrap()
    }

    #[test]
    fn values_are_parameters_and_never_sql() {
        let filters = filters(&[("country", "-US, CA"), ("coupon", "') OR 1 --")]);
        assert_eq!(
            filters.on_clicks(),
            " AND '' IN {f_coupon:Array(String)} AND country NOT IN {f_country:Array(String)}"
        );
        let values: Vec<_> = filters.values().collect();
        assert_eq!(values[1].1, Value::Texts(vec!["US".to_owned(), "CA".to_owned()]));
        assert!(!filters.on_conversions().contains("OR 1"));
    }

    #[test]
    fn an_empty_filter_is_none() {
        assert!(!filters(&[("city", "Berlin")]).all(|column| column.of_link));
        assert!(filters(&[("city", "")]).all(|column| column.of_link));
    }
}
