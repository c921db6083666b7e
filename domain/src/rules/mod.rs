//! Rules: what a workspace declares (program.yaml), as documents with validity in time.

mod book;
mod conditions;
mod conversions;
mod documents;
mod file;
mod links;
mod rates;
mod rewards;
mod versions;
mod webhooks;

pub use book::{Asks, InvalidRule, Rules};
pub use conditions::{Attribute, Condition, Operand, Operator, Total, Value};
pub use documents::*;
pub use file::{Problem, parse};
pub use links::withdrawn;
pub(crate) use links::{instant, is_country, problems as link_problems};
pub(crate) use rates::is_currency;
pub use rates::{Converted, DayRates, GOOD_FOR, decimals};
pub use rewards::*;
pub use versions::{Version, Versions};
pub use webhooks::{CHANGES, EVENTS, Webhook};
