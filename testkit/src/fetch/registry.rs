//! Apicurio Registry (it speaks Confluent's schema registry API) from Maven Central.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use sha2::Sha256;

use super::{cached, digest};
use crate::tools;

/// The newest line that runs on Java 17.
const VERSION: &str = "3.0.9";
const SHA256: &str = "2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43";

/// The registry's executable jar, its libraries beside it.
pub(crate) fn registry_jar() -> Result<PathBuf> {
    tools::java()?;
    cached("apicurio-registry", VERSION, &format!("Apicurio Registry {VERSION} with Maven (109 MB)"), |dir| {
        tools::present("mvn", "maven", "fetch the schema registry from Maven Central")?;
        tools::present("tar", "tar", "unpack the schema registry")?;
        let mut maven = Command::new("mvn");
        maven.args(["-q", "-B", "-C", "dependency:copy", "-Dmdep.useBaseVersion=true"]);
        maven.arg(format!("-Dartifact=io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"));
        maven.arg(format!("-DoutputDirectory={}", dir.display()));
        tools::run(&mut maven, dir)?;
        let archive = dir.join(format!("apicurio-registry-app-{VERSION}-all.tar.gz"));
        let actual = digest::<Sha256>(&archive)?;
        ensure!(actual == SHA256, "the archive has SHA-256 {actual}, expected {SHA256}");
        tools::run(Command::new("tar").arg("-xzf").arg(&archive), dir)?;
        std::fs::remove_file(&archive)?;
        Ok(())
    })
    .map(|dir| dir.join(format!("apicurio-registry-app-{VERSION}-runner.jar")))
}
