//! `tributary-clickhouse-loader LIBRARY ARG...`: a process that is ClickHouse, for the integration tests.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::exit;

fn main() {
    let mut args = std::env::args_os().skip(1);
    let Some(library) = args.next().map(PathBuf::from) else {
        eprintln!("usage: tributary-clickhouse-loader LIBRARY ARG...");
        exit(2);
    };
    let args: Vec<OsString> = args.collect();
    exit(tributary_clickhouse_loader::clickhouse_server_main(
        &library, &args,
    ));
}
