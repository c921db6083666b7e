//! What the processing stages need to know.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tributary_domain::mail::MailKey;

use crate::attribute::AttributeSettings;
use crate::join::JoinSettings;
use crate::kafka::Settings;
use crate::kafka::admin::Topics;
use crate::normalize::NormalizeSettings;

/// Text that is never printed.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // An unset secret stays visibly unset, and survives being a serialized default.
        serializer.serialize_str(if self.0.is_empty() { "" } else { "***" })
    }
}

/// Settings of the process that runs stages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessConfig {
    /// Kafka.
    pub kafka: Settings,
    /// Numbers of partitions; must be those with which the topics were created.
    pub topics: Topics,
    /// Schema registry, with its base path.
    pub registry_url: String,
    /// Local state: `<state_dir>/<stage>/<partition>`. May be lost; costs a restore. One process each.
    pub state_dir: PathBuf,
    /// Cached schemas.
    pub cache_dir: PathBuf,
    /// Key under which e-mail addresses are hashed. Must never change.
    pub mail_key: Secret,
    /// Stage normalize.
    pub normalize: NormalizeSettings,
    /// Stage join.
    pub join: JoinSettings,
    /// Stage attribute.
    pub attribute: AttributeSettings,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            kafka: Settings::default(),
            topics: Topics::default(),
            registry_url: "http://127.0.0.1:8081/apis/ccompat/v7".to_owned(),
            state_dir: PathBuf::from("data/state"),
            cache_dir: PathBuf::from("data/schemas"),
            mail_key: Secret::default(),
            normalize: NormalizeSettings::default(),
            join: JoinSettings::default(),
            attribute: AttributeSettings::default(),
        }
    }
}

impl ProcessConfig {
    pub(crate) fn mail_key(&self) -> MailKey {
        MailKey::new(self.mail_key.expose())
    }
}

/// A stage of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Raw records to facts and claims.
    Normalize,
    /// Claims and clicks.
    Join,
    /// Facts to the ledger.
    Attribute,
}

impl StageName {
    /// All stages, in the order in which data flows.
    pub const ALL: [Self; 3] = [Self::Normalize, Self::Join, Self::Attribute];

    /// Name as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normalize => "normalize",
            Self::Join => "join",
            Self::Attribute => "attribute",
        }
    }
}

impl FromStr for StageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.name() == text)
            .ok_or_else(|| format!("unknown stage {text:?}: use normalize, join, attribute"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_printed() {
        let config = ProcessConfig {
            mail_key: Secret::new("hunter2"),
            ..Default::default()
        };
        let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
        assert_eq!(config.mail_key.expose(), "hunter2");
    }

    #[test]
    fn defaults_fill_what_is_not_said_and_unknown_names_are_refused() {
        let parse = serde_json::from_str::<ProcessConfig>;
        let config = parse(r#"{"kafka": {"bootstrap": "k:1"}, "mail_key": "x"}"#).unwrap();
        assert_eq!(config.kafka.bootstrap, "k:1");
        assert_eq!(config.kafka.session_timeout_ms, 10_000);
        assert!(parse(r#"{"kafka": {"bootstap": "k:1"}}"#).is_err());
        assert_eq!("join".parse(), Ok(StageName::Join));
        assert!("joins".parse::<StageName>().is_err());
    }
}
