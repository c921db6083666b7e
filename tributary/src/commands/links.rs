//! `links`: made and changed by the API of a running dashboard, which claims their names: of several that create one
//! key, one wins, whether they ask from here or by an SDK.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::Method;
use serde_json::{Map, Value};

use crate::cli::{LinkFields, Links};
use crate::output;
use crate::settings::Settings;

/// The API itself gives up sooner.
const ANSWER: Duration = Duration::from_secs(60);

/// Asks the API, and prints the link as it answers.
pub async fn run(command: Links, settings: impl FnOnce() -> Result<Settings>) -> Result<()> {
    let (method, path, fields, api) = match command {
        Links::Create { url, fields, api } => {
            (Method::POST, "/links".to_owned(), body(Some(url), fields), api)
        }
        Links::Update { id, url, fields, api } => {
            (Method::PATCH, format!("/links/{id}"), body(url, fields), api)
        }
    };
    let server = match api.server {
        Some(server) => server,
        None => format!("http://{}", settings()?.dashboard.listen),
    };
    let answer = reqwest::Client::builder()
        .timeout(ANSWER)
        .build()?
        .request(method, format!("{}{path}", server.trim_end_matches('/')))
        .bearer_auth(api.token)
        .json(&fields)
        .send()
        .await
        .with_context(|| format!("{server} does not answer; is `tributary dashboard` running?"))?;
    let (status, text) = (answer.status(), answer.text().await?);
    if status.is_success() {
        output::line(&text);
        return Ok(());
    }
    // A proxy may answer in its own words.
    let told: Value = serde_json::from_str(&text).unwrap_or_default();
    let message = told.pointer("/error/message").and_then(Value::as_str);
    bail!("{}: {}", status.as_u16(), message.unwrap_or(&text))
}

fn body(url: Option<String>, fields: LinkFields) -> Value {
    let LinkFields {
        domain,
        key,
        partner,
        external_id,
    } = fields;
    let all = [
        ("url", url),
        ("domain", domain),
        ("key", key),
        ("partnerId", partner),
        ("externalId", external_id),
    ];
    let told = all
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    Value::Object(told.collect::<Map<_, _>>())
}
