//! The loader's own behaviour; starting a server with it is tested in testkit. Also makes `cargo test` build the binary.

use std::process::Command;

#[test]
fn a_missing_library_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_tributary-clickhouse-loader"))
        .arg("/nowhere/libchdb.so")
        .output();
    let output = output.unwrap_or_else(|error| unreachable!("the loader did not start: {error}"));
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("/nowhere/libchdb.so"), "{message}");
}

#[test]
fn no_argument_is_wrong_usage() {
    let status = Command::new(env!("CARGO_BIN_EXE_tributary-clickhouse-loader")).status();
    assert_eq!(status.ok().and_then(|status| status.code()), Some(2));
}
