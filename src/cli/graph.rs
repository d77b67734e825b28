//! `godwit graph`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::exit::Failure;
use super::{Exit, Format, Global, gather, lint, print};
use crate::report::graph;

/// Arguments of `godwit graph`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit graph
  godwit graph dot --service user-service
  godwit graph json")]
pub struct Args {
    /// The form of the picture
    #[arg(value_name = "FORM", default_value = "mermaid")]
    form: Form,
    /// Folders of migrations (default: the folders that `godwit.yml` names)
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only the migrations of this service, and what they need of others
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
}

/// The form of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For GitHub's comments and pages
    Mermaid,
    /// For Graphviz
    Dot,
    /// For programs
    Json,
}

/// Runs the command; a circle is told, and is an error of `godwit lint`.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let mut config = global.repo_config()?;
    gather::take_engines(&mut config, &|path| lint::read_here(global, path))?;
    let set = gather::migrations(global, &config, &args.paths, None)?;
    for problem in set.problems.iter().filter(|p| matches!(p.rule, "dependency-cycle" | "unknown-dependency")) {
        anstream::eprintln!("{}:{}: {}", problem.file, problem.line, problem.message);
    }
    let service = args.service.as_deref();
    if let Some(name) = service.filter(|name| !set.migrations.iter().any(|m| m.service.as_deref() == Some(*name))) {
        return Err(Failure::usage(format!("no migration belongs to a service `{name}`")));
    }
    match (args.form, global.format) {
        (Form::Json, _) | (Form::Mermaid, Format::Json) => print::json(&graph::json(&set, service))?,
        (Form::Dot, _) => print::text(&graph::dot(&set, service))?,
        (Form::Mermaid, Format::Markdown) => {
            print::text(&format!("```mermaid\n{}```\n", graph::mermaid(&set, service)))?;
        }
        (Form::Mermaid, Format::Text | Format::Sarif | Format::Github) => print::text(&graph::mermaid(&set, service))?,
    }
    Ok(Exit::Done)
}
