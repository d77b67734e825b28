//! The `godwit` binary: reads the command line, runs it, ends with its exit code.

use std::process::ExitCode;

/// A syntax tree is many small pieces, and musl's own allocator, which static binaries would have, is slow at them
/// (docs/adr/0107).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    godwit::cli::main().into()
}
