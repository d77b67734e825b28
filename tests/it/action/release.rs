//! `scripts/release` with a compiler that stands in for the real one: what it packs, and what it refuses to pack.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-musl";

fn program(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs the script in a folder of its own, where `cargo build` makes `built` by this line of shell.
fn release(built: &str) -> (tempfile::TempDir, std::process::Output) {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for folder in ["scripts", "bin", "tmp"] {
        std::fs::create_dir(at(folder)).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/release");
    std::fs::copy(script, at("scripts/release")).unwrap();
    std::fs::write(at("Cargo.toml"), "[package]\nname = \"godwit\"\nversion = \"1.2.3\"\n").unwrap();
    std::fs::write(at("LICENSE"), "MIT\n").unwrap();
    std::fs::write(at("README.md"), "# Godwit\n").unwrap();
    program(&at("bin/rustup"), "exit 0");
    program(&at("bin/musl-gcc"), "exit 1");
    let place = format!("target/{TARGET}/release");
    // The linker stays the one that the target brings its start files for.
    let linker = "env | grep -q '_LINKER=' && { echo 'a linker is set' >&2; exit 1; }";
    program(&at("bin/cargo"), &format!("{linker}\nmkdir -p {place}\nbinary={place}/godwit\n{built}"));
    let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(at("scripts/release"));
    let output = command.arg(TARGET).env("PATH", path).env("TMPDIR", at("tmp")).output().unwrap();
    (dir, output)
}

#[test]
fn a_release_holds_what_runs_anywhere_and_nothing_else_is_packed() {
    let says = |version: &str| {
        let program = format!("case $1 in --version) echo godwit {version} ;; --quiet) mkdir $4 ;; esac");
        format!("printf '#!/bin/sh\\n%s\\n' '{program}' >$binary; chmod 755 $binary")
    };
    let (dir, output) = release(&says("1.2.3"));
    let archive = format!("dist/godwit-1.2.3-{TARGET}.tar.gz");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), archive);
    let listed = Command::new("tar").arg("-tzf").arg(dir.path().join(&archive)).output().unwrap().stdout;
    let listed = String::from_utf8(listed).unwrap();
    for file in ["godwit", "LICENSE", "README.md", "completions/godwit.zsh"] {
        assert!(listed.lines().any(|l| l == file), "{file} is not in {listed}");
    }
    for (built, why) in [
        // This program wants the loader of the machine.
        (format!("cp '{}' $binary", env!("CARGO_BIN_EXE_godwit")), "is not linked statically"),
        (says("1.2.2"), "says 'godwit 1.2.2', not 1.2.3"),
        ("printf '#!/bin/sh\\nkill -SEGV $$\\n' >$binary; chmod 755 $binary".to_owned(), "does not run"),
    ] {
        let (dir, output) = release(&built);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{built}: {said}");
        assert!(!dir.path().join("dist").exists(), "{built}");
    }
}
