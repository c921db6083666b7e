//! Runs ClickHouse out of `libchdb.so`: the whole engine, its HTTP server included, in the calling process.
//!
//! The library is ClickHouse's own command line entry behind one C function; this crate loads it and hands it
//! the arguments. It does not write a configuration, choose ports or watch the server: `tributary-testkit` does.
//!
//! Invariant: this is the only crate of the workspace with `unsafe` code, and the call never returns to a caller
//! that goes on working: the process ends with the code returned here (the engine leaves threads behind).

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

type QueryCmdline = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;

/// Runs ClickHouse with the arguments of `clickhouse-local` until it ends, and returns the process's exit code.
///
/// `args` come without the program's name.
#[must_use]
pub fn clickhouse_server_main<A: AsRef<OsStr>>(library: &Path, args: &[A]) -> i32 {
    match run(library, args) {
        Ok(()) => 0,
        Err(message) => {
            eprintln!("clickhouse: {message}");
            1
        }
    }
}

fn run<A: AsRef<OsStr>>(library: &Path, args: &[A]) -> Result<(), String> {
    let mut owned = vec![CString::from(c"clickhouse")];
    for arg in args {
        let bytes = arg.as_ref().as_bytes();
        owned.push(CString::new(bytes).map_err(|_| "an argument holds a NUL byte".to_owned())?);
    }
    let mut argv: Vec<*mut c_char> = owned.iter().map(|arg| arg.as_ptr().cast_mut()).collect();
    let argc = c_int::try_from(argv.len()).map_err(|_| "too many arguments".to_owned())?;
    argv.push(std::ptr::null_mut());

    // SAFETY: the file is the pinned, checksummed libchdb.so, whose initialisers are meant to run in any process.
    let loaded = unsafe { Library::open(Some(library), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|error| format!("cannot load {}: {error}", library.display()))?;
    // SAFETY: both symbols have these C signatures in chdb 26.7 (declared in its own chdb.h).
    let (query_cmdline, result_error) = unsafe {
        (
            loaded
                .get::<QueryCmdline>(b"chdb_query_cmdline\0")
                .map_err(|error| error.to_string())?,
            loaded
                .get::<ResultError>(b"chdb_result_error\0")
                .map_err(|error| error.to_string())?,
        )
    };
    // SAFETY: argv is a null-terminated array of argc valid C strings that live until the call returns.
    let result = unsafe { query_cmdline(argc, argv.as_mut_ptr()) };
    let failure = if result.is_null() {
        Some("the engine returned nothing".to_owned())
    } else {
        // SAFETY: result comes from chdb_query_cmdline; the message, if any, is a C string owned by it.
        unsafe {
            let message = result_error(result);
            (!message.is_null()).then(|| CStr::from_ptr(message).to_string_lossy().into_owned())
        }
    };
    // Unloading would run destructors under the engine's live threads; the process ends right after.
    std::mem::forget(loaded);
    failure.map_or(Ok(()), Err)
}
