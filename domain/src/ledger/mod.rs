//! The ledger as a function: from the facts of one object and what its customer brings, to entries.
//!
//! No store and no order of arrival here. `engine` decides what to recompute and emits the differences.

mod attribution;
mod books;
mod clicks;
mod commission;
mod entries;
mod lead;
pub mod money;
mod payable;
mod redemption;
mod refunds;
mod row;
mod sale;
mod shares;
mod subscription;
pub mod table;
mod view;

pub(crate) use attribution::resolve;
pub use attribution::{By, Claimant, Credit, Decision, attribute};
pub use books::{Books, Use};
pub use entries::{Inputs, Told, entries};
pub use lead::{Lead, LeadKind, leads};
pub use refunds::refund_by_api;
pub use row::{Row, invoice};
pub use sale::{Payment, Sale, Settings, Waiting, payment};
pub use subscription::Subscription;
pub use view::{Birth, CouponUse, Redeemed, Span, Touches, View};
