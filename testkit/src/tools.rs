//! The programs this crate calls: found and new enough, or an error that says what to install.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

const OLDEST_JAVA: u32 = 17;

pub(crate) fn java() -> Result<()> {
    let advice = "install it with: sudo apt-get install openjdk-17-jre-headless (or default-jre-headless), \
                  or run scripts/install-tools";
    let Ok(output) = Command::new("java").arg("-version").stdin(Stdio::null()).output() else {
        bail!("Java {OLDEST_JAVA} or newer is needed for Kafka and the schema registry; {advice}");
    };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = java_major(&text).with_context(|| {
        format!("`java -version` says nothing that looks like a version: {text}; {advice}")
    })?;
    ensure!(
        version >= OLDEST_JAVA,
        "Java {OLDEST_JAVA} or newer is needed, this is Java {version}; {advice}"
    );
    Ok(())
}

/// Fails, naming the Debian package, unless `program` can be started.
pub(crate) fn present(program: &str, package: &str, purpose: &str) -> Result<()> {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    ensure!(
        found,
        "`{program}` is needed to {purpose}; install it with: sudo apt-get install {package}, \
         or run scripts/install-tools"
    );
    Ok(())
}

/// Runs a package client to its end; its output goes into the error, not onto the terminal.
pub(crate) fn run(command: &mut Command, dir: &Path) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {shown}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{shown} failed ({}):\n{stdout}{stderr}", output.status);
    }
    Ok(stdout)
}

fn java_major(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    let mut parts = version.split(['.', '-', '+', '_']);
    let first: u32 = parts.next()?.parse().ok()?;
    // Up to Java 8 versions read 1.8.0.
    if first == 1 {
        parts.next()?.parse().ok()
    } else {
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_versions_old_and_new() {
        for (text, expected) in [
            ("openjdk version \"17.0.15\" 2025-04-15\n", Some(17)),
            ("java version \"1.8.0_392\"\n", Some(8)),
            ("openjdk version \"25\" 2025-09-16\n", Some(25)),
            ("openjdk version \"26-ea\" 2026-03-17\n", Some(26)),
            ("command not found", None),
        ] {
            assert_eq!(java_major(text), expected, "{text}");
        }
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let message = present("no-such-program", "some-package", "test")
            .unwrap_err()
            .to_string();
        assert!(message.contains("no-such-program") && message.contains("apt-get install some-package"));
    }
}
