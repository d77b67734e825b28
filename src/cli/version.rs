//! `godwit version`: what this program is and which databases it speaks to.

use serde_json::json;

use super::{Exit, Format, Global, print};

/// Arguments of `godwit version`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit version
  godwit version --format json")]
pub struct Args {}

/// The kinds of database that this build can run migrations on.
fn engines() -> Vec<&'static str> {
    [
        ("postgresql", cfg!(feature = "postgres")),
        ("mongodb", cfg!(feature = "mongodb")),
        ("redis", cfg!(feature = "redis")),
        ("elasticsearch", cfg!(feature = "elasticsearch")),
        ("sqlite", true),
    ]
    .into_iter()
    .filter_map(|(name, there)| there.then_some(name))
    .collect()
}

/// Runs the command.
///
/// # Errors
/// When nothing can be written.
pub fn run(global: &Global, _: Args) -> anyhow::Result<Exit> {
    let (version, server) = (env!("CARGO_PKG_VERSION"), cfg!(feature = "bot"));
    let system = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    if global.format == Format::Json {
        print::json(
            &json!({ "name": "godwit", "version": version, "engines": engines(), "server": server, "system": system }),
        )?;
        return Ok(Exit::Done);
    }
    let mut text = format!("godwit {version}\n");
    if !global.quiet {
        text.push_str(&format!("engines: {}\nsystem: {system}\n", engines().join(", ")));
    }
    print::prose(&text)?;
    Ok(Exit::Done)
}
