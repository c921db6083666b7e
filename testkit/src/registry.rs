//! Apicurio Registry behind its Confluent-compatible API, its data in an H2 file.
//!
//! Invariant: the registry counts as ready only when incompatible schemas are refused: the global rule is set to
//! BACKWARD at every start (Apicurio's own default accepts anything).

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::data_dir::DataDir;
use crate::process::Plan;

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/apis/ccompat/v7")
}

pub(crate) fn plan(jar: &Path, data: &DataDir, port: u16) -> Result<Plan> {
    let dir = data.path("registry");
    // A killed JVM leaves its temporary files behind: here, not in the machine's /tmp.
    let temporary = dir.join("tmp");
    fs::create_dir_all(&temporary)?;
    let command = vec![
        "java".to_owned(),
        "-Xmx256m".to_owned(),
        "-XX:+ExitOnOutOfMemoryError".to_owned(),
        "-Duser.timezone=UTC".to_owned(),
        format!("-Djava.io.tmpdir={}", temporary.display()),
        "-Dquarkus.http.host=127.0.0.1".to_owned(),
        format!("-Dquarkus.http.port={port}"),
        "-Dquarkus.management.enabled=false".to_owned(),
        "-Dquarkus.log.level=WARN".to_owned(),
        "-Dquarkus.log.category.\"io.apicurio\".level=WARN".to_owned(),
        "-Dquarkus.http.access-log.enabled=false".to_owned(),
        "-Dquarkus.banner.enabled=false".to_owned(),
        format!(
            "-Dapicurio.datasource.url=jdbc:h2:file:{}",
            dir.join("db").display()
        ),
        "-jar".to_owned(),
        jar.display().to_string(),
    ];
    let config = format!("{}/config", url(port));
    let client = reqwest::Client::new();
    let ready = Box::new(
        move || -> std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send>> {
            let request = client
                .put(&config)
                .header("content-type", CONTENT_TYPE)
                .body(r#"{"compatibility":"BACKWARD"}"#);
            Box::pin(async move {
                request.send().await?.error_for_status()?;
                Ok(())
            })
        },
    );
    Ok(Plan {
        name: "registry".to_owned(),
        command,
        dir,
        ready,
        ready_within: Duration::from_secs(120),
    })
}
