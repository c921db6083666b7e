//! Apicurio Registry (it speaks Confluent's schema registry API) from Maven Central.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use sha2::Sha256;

use super::{cached, digest};
use crate::tools;

/// The parent of the registry's POM is not published: 2.8 fetches the file all the same, 3.x insists on the parent.
const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.8";
/// The newest line that runs on Java 17.
const VERSION: &str = "3.0.9";
const SHA256: &str = "2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43";

/// The registry's executable jar, its libraries beside it.
pub(crate) fn registry_jar() -> Result<PathBuf> {
    tools::java()?;
    cached(
        "apicurio-registry",
        VERSION,
        &format!("Apicurio Registry {VERSION} with Maven (109 MB)"),
        |dir| {
            tools::present("mvn", "maven", "fetch the schema registry from Maven Central")?;
            tools::present("tar", "tar", "unpack the schema registry")?;
            // A local repository of its own tells where the file lands. `get` without dependencies, because the parent
            // of its POM is not published.
            let repository = dir.join("maven");
            let mut maven = Command::new("mvn");
            maven.args(["-q", "-B", "-C", &format!("{PLUGIN}:get"), "-Dtransitive=false"]);
            maven.arg(format!(
                "-Dartifact=io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
            ));
            maven.arg(format!("-Dmaven.repo.local={}", repository.display()));
            tools::run(&mut maven, dir)?;
            let archive = repository.join(format!(
                "io/apicurio/apicurio-registry-app/{VERSION}/apicurio-registry-app-{VERSION}-all.tar.gz"
            ));
            let actual = digest::<Sha256>(&archive)?;
            ensure!(
                actual == SHA256,
                "the archive has SHA-256 {actual}, expected {SHA256}"
            );
            tools::run(Command::new("tar").arg("-xzf").arg(&archive), dir)?;
            std::fs::remove_dir_all(&repository)?;
            Ok(())
        },
    )
    .map(|dir| dir.join(format!("apicurio-registry-app-{VERSION}-runner.jar")))
}
