//! Clicks, one row each.

use super::Fields;
use crate::native::Kind;

pub(super) const FIELDS: Fields = &[
    ("id", Kind::Text, "id"),
    ("workspace", Kind::Dictionary, "workspace"),
    ("mode", Kind::Dictionary, "mode"),
    ("at", Kind::Millis, "at"),
    ("link_id", Kind::Dictionary, "link_id"),
    ("domain", Kind::Dictionary, "domain"),
    ("key", Kind::Dictionary, "key"),
    ("url", Kind::Dictionary, "url"),
    ("partner_id", Kind::Dictionary, "partner_id"),
    ("program_id", Kind::Dictionary, "program_id"),
    ("group_id", Kind::Dictionary, "group_id"),
    ("trigger", Kind::Dictionary, "trigger"),
    ("country", Kind::Dictionary, "country"),
    ("region", Kind::Dictionary, "region"),
    ("city", Kind::Dictionary, "city"),
    ("continent", Kind::Dictionary, "continent"),
    ("device", Kind::Dictionary, "device"),
    ("browser", Kind::Dictionary, "browser"),
    ("os", Kind::Dictionary, "os"),
    ("referer", Kind::Dictionary, "referer"),
    ("referer_url", Kind::Dictionary, "referer_url"),
    ("utm_source", Kind::Dictionary, "utm_source"),
    ("utm_medium", Kind::Dictionary, "utm_medium"),
    ("utm_campaign", Kind::Dictionary, "utm_campaign"),
    ("utm_term", Kind::Dictionary, "utm_term"),
    ("utm_content", Kind::Dictionary, "utm_content"),
    ("bot", Kind::Dictionary, "bot"),
    ("tracked", Kind::Bool, "tracked"),
    ("visitor", Kind::Text, "visitor"),
    ("duplicate_of", Kind::Text, "duplicate_of"),
    ("received", Kind::Millis, "received"),
];
