//! `godwit schema [FILE]`.

use super::exit::Failure;
use super::{Exit, Format, Global, print};
use crate::config::schema;
use crate::ids::Engine;
use crate::migration::layout::typed_schema;

/// Arguments of `godwit schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit schema
  godwit schema godwit > .schemas/godwit.json
  godwit schema mongodb > .schemas/mongodb.json     # migrations/mongodb/001_name.json
Then, as the first line of `godwit.yml`:
  # yaml-language-server: $schema=.schemas/godwit.json")]
pub struct Args {
    /// `godwit`, `environments`, `approval_matrix`, `roles` or `lint`; `service` for a service's `environments.json`; for typed migrations the kind of database: `postgresql`,
    /// `mongodb`, `redis`, `elasticsearch`, `sqlite`; without it they are listed
    #[arg(value_name = "FILE")]
    file: Option<String>,
}

/// Every schema with its name: those of the configuration, then those of typed migrations.
fn schemas() -> Vec<(&'static str, serde_json::Value)> {
    let engines = [Engine::Postgresql, Engine::Mongodb, Engine::Redis, Engine::Elasticsearch, Engine::Sqlite];
    schema::schemas().into_iter().chain(engines.map(|engine| (engine.as_str(), typed_schema(engine)))).collect()
}

/// Prints one schema, or their names.
///
/// # Errors
/// A name that is none of them.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let all = schemas();
    match args.file {
        Some(file) => {
            // People name the file as it lies there, too.
            let name = file.rsplit('/').next().unwrap_or(&file);
            let name = name.strip_suffix(".yml").or(name.strip_suffix(".yaml")).unwrap_or(name);
            let Some((_, schema)) = all.iter().find(|(known, _)| *known == name) else {
                let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
                return Err(Failure::usage(format!("there is no schema `{file}`; there are {}", names.join(", "))));
            };
            print::json(schema)?;
        }
        None if global.format == Format::Json => {
            let all: serde_json::Map<String, serde_json::Value> =
                all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
            print::json(&serde_json::Value::Object(all))?;
        }
        None => {
            let lines: Vec<String> = all
                .iter()
                .map(|(name, schema)| format!("{name:<16} {}\n", schema["title"].as_str().unwrap_or("")))
                .collect();
            print::text(&lines.concat())?;
        }
    }
    Ok(Exit::Done)
}
