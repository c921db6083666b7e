//! The five requests of the registry's protocol that are needed, and what their answers mean.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::RegistryError;

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Http {
    client: reqwest::Client,
    url: String,
}

impl Http {
    pub(super) fn new(url: &str) -> Result<Self, RegistryError> {
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE)
            .build()
            .map_err(|error| RegistryError::Answer(error.to_string()))?;
        Ok(Self {
            client,
            url: url.trim_end_matches('/').to_owned(),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn set_backward(&self) -> Result<(), RegistryError> {
        let body = json!({"compatibility": "BACKWARD"});
        match self.call(Method::PUT, "config", Some(body)).await? {
            (status, _) if status.is_success() => Ok(()),
            (status, answer) => Err(unexpected(status, &answer)),
        }
    }

    pub(super) async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let path = format!("subjects/{subject}/versions");
        let (status, answer) = self
            .call(Method::POST, &path, Some(json!({"schema": schema})))
            .await?;
        match status {
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => Err(RegistryError::Refused {
                subject: subject.to_owned(),
                detail: message(&answer),
            }),
            _ => id_of(status, &answer),
        }
    }

    pub(super) async fn lookup(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let path = format!("subjects/{subject}");
        let (status, answer) = self
            .call(Method::POST, &path, Some(json!({"schema": schema})))
            .await?;
        match status {
            StatusCode::NOT_FOUND => Err(RegistryError::NotRegistered(subject.to_owned())),
            _ => id_of(status, &answer),
        }
    }

    pub(super) async fn schema(&self, id: u32) -> Result<String, RegistryError> {
        let (status, answer) = self.call(Method::GET, &format!("schemas/ids/{id}"), None).await?;
        match (status, answer.get("schema").and_then(Value::as_str)) {
            (StatusCode::OK, Some(schema)) => Ok(schema.to_owned()),
            (StatusCode::NOT_FOUND, _) => Err(RegistryError::UnknownId(id)),
            _ => Err(unexpected(status, &answer)),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Value), RegistryError> {
        let mut request = self
            .client
            .request(method, format!("{}/{path}", self.url))
            .header("Accept", CONTENT_TYPE);
        if let Some(body) = body {
            request = request
                .body(body.to_string())
                .header("Content-Type", CONTENT_TYPE);
        }
        let answer = request.send().await.map_err(|error| self.away(&error))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| self.away(&error))?;
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(RegistryError::Away {
                url: self.url.clone(),
                detail: format!("{status}: {text}"),
            });
        }
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    fn away(&self, error: &reqwest::Error) -> RegistryError {
        let cause = std::error::Error::source(error).map_or_else(String::new, |source| format!(": {source}"));
        RegistryError::Away {
            url: self.url.clone(),
            detail: format!("{error}{cause}"),
        }
    }
}

fn id_of(status: StatusCode, answer: &Value) -> Result<u32, RegistryError> {
    let id = answer.get("id").and_then(Value::as_u64);
    match id.map(u32::try_from) {
        Some(Ok(id)) if status.is_success() => Ok(id),
        _ => Err(unexpected(status, answer)),
    }
}

fn message(answer: &Value) -> String {
    answer
        .get("message")
        .and_then(Value::as_str)
        .map_or_else(|| answer.to_string(), str::to_owned)
}

fn unexpected(status: StatusCode, answer: &Value) -> RegistryError {
    RegistryError::Answer(format!("{status}: {}", message(answer)))
}
