//! Apache Kafka's own jars from Maven Central; each jar is compared with the list in `pins/kafka.sha256`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::Sha256;

use super::{cached, digest};
use crate::tools;

const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1";
const VERSION: &str = "4.1.2";
const PINS: &str = include_str!("../../pins/kafka.sha256");
/// slf4j-simple writes warnings to stderr, and so into the server's log file.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tributary</groupId><artifactId>kafka-server</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>@VERSION@</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>@VERSION@</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"#;

/// The directory with the broker's jars.
pub(crate) fn kafka_jars() -> Result<PathBuf> {
    tools::java()?;
    cached(
        "kafka",
        VERSION,
        &format!("Apache Kafka {VERSION} with Maven (54 MB)"),
        |dir| {
            tools::present("mvn", "maven", "fetch Kafka from Maven Central")?;
            fs::write(dir.join("pom.xml"), POM.replace("@VERSION@", VERSION))?;
            let mut maven = Command::new("mvn");
            // -C: a file that does not match the repository's checksum is an error, not a warning.
            maven.args([
                "-q",
                "-B",
                "-C",
                &format!("{PLUGIN}:copy-dependencies"),
                "-DincludeScope=runtime",
            ]);
            maven.arg(format!("-DoutputDirectory={}", dir.join("libs").display()));
            tools::run(&mut maven, dir)?;
            check(&dir.join("libs"))
        },
    )
    .map(|dir| dir.join("libs"))
}

fn check(libs: &Path) -> Result<()> {
    let mut pinned = BTreeMap::new();
    for line in PINS.lines() {
        let (hash, name) = line.split_once("  ").context("pins/kafka.sha256 is damaged")?;
        pinned.insert(name, hash);
    }
    let mut found = 0;
    for entry in fs::read_dir(libs)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let expected = pinned
            .get(name.as_str())
            .with_context(|| format!("unexpected file {name}"))?;
        let actual = digest::<Sha256>(&entry.path())?;
        ensure!(
            actual == *expected,
            "{name} has SHA-256 {actual}, expected {expected}"
        );
        found += 1;
    }
    ensure!(
        found == pinned.len(),
        "only {found} of {} jars arrived",
        pinned.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_jar_with_other_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("kafka-tools-4.1.2.jar"), "not a jar").unwrap();
        assert!(check(dir.path()).unwrap_err().to_string().contains("expected"));
    }

    #[test]
    fn a_missing_jar_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check(dir.path()).unwrap_err().to_string().contains("only 0 of"));
    }
}
