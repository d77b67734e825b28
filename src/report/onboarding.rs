//! The files that a repository begins with, and the words of the pull request that proposes them.

use std::collections::BTreeMap;

use super::escape::{self, code};
use crate::config::RepoConfig;
use crate::ids::{Engine, RepoName};
use crate::migration::MigrationSet;

/// First line of the pull request's text, and of the issue that stands in for it.
pub const MARKER: &str = "<!-- godwit:onboarding -->";
/// Where migrations go in a repository that has none.
const FOLDER: &str = "migrations";
/// Environments, in promotion order.
const ENVIRONMENTS: [&str; 3] = ["development", "staging", "production"];
/// Folders named in the configuration; a repository with more is told to use a pattern.
const FOLDERS: usize = 20;

/// What was found in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Folders with migrations: path, engine, how many, the newest one's name.
    pub folders: Vec<(String, Engine, usize, String)>,
}

/// The folders that hold migrations, as the layouts tell.
pub fn found(set: &MigrationSet) -> Found {
    let mut folders: BTreeMap<(String, Engine), (usize, String)> = BTreeMap::new();
    for migration in &set.migrations {
        let entry = folders.entry((migration.unit.clone(), migration.engine)).or_default();
        entry.0 += 1;
        entry.1 = migration.id.to_string();
    }
    Found { folders: folders.into_iter().map(|((path, engine), (n, last))| (path, engine, n, last)).collect() }
}

fn engines(found: &Found) -> Vec<Engine> {
    let mut engines: Vec<Engine> = found.folders.iter().map(|(_, engine, ..)| *engine).collect();
    engines.sort();
    engines.dedup();
    if engines.is_empty() { vec![Engine::Postgresql] } else { engines }
}

/// The variable that holds a database's address.
fn variable(environment: &str, engine: Engine) -> String {
    format!("{environment}_{engine}_URL").to_ascii_uppercase()
}

/// A text for YAML that needs no knowledge of its words.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Path and text of each file.
pub fn files(found: &Found) -> Vec<(String, String)> {
    let mut godwit = format!(
        "version: 1\n# The order in which a change goes through the environments.\nenvironments: [{}]\nmigrations:\n",
        ENVIRONMENTS.join(", ")
    );
    if found.folders.is_empty() {
        godwit.push_str(&format!("  - path: {FOLDER}\n    engine: postgresql\n    target: postgresql\n"));
    }
    for (path, engine, ..) in found.folders.iter().take(FOLDERS) {
        let path = if path.is_empty() { "." } else { path };
        godwit.push_str(&format!("  - path: {}\n    engine: {engine}\n    target: {engine}\n", quoted(path)));
    }
    let mut environments = String::from(
        "# The databases of each environment. Addresses are never written here: the server fills in the variables that its\n\
         # operator allows for this repository.\n",
    );
    for environment in ENVIRONMENTS {
        environments.push_str(&format!("{environment}:\n  targets:\n"));
        for engine in engines(found) {
            let variable = variable(environment, engine);
            environments.push_str(&format!("    {engine}: {{ engine: {engine}, url: \"${{{variable}}}\" }}\n"));
        }
        if environment == "development" {
            environments.push_str("  migration: { auto_approve: true }\n");
        }
    }
    let roles = "# Who holds which role: `teams: [organisation/team]`, `users: [login]`. A role that nobody holds blocks.\n\
                 developer: { users: [] }\ndata_ops: { users: [] }\ndata_ops_lead: { users: [] }\ndba: { users: [] }\n\
                 tech_lead: { users: [] }\ncto: { users: [] }\n";
    vec![
        (RepoConfig::FILE.to_owned(), godwit),
        ("policies/environments.yml".to_owned(), environments),
        ("policies/roles.yml".to_owned(), roles.to_owned()),
    ]
}

/// The text of the pull request.
pub fn text(repo: &RepoName, found: &Found) -> String {
    let mut out = format!(
        "{MARKER}\nGodwit lints database migrations in pull requests, says who must agree, and runs them after the merge, one \
         environment after the other. This adds the files that it reads. Nothing runs before they are merged, and \
         **closing this pull request is a no: it is not opened again**.\n\n### What was found\n\n"
    );
    if found.folders.is_empty() {
        out.push_str(&format!("No migrations. New ones go into {}.\n\n", code(FOLDER)));
    } else {
        out.push_str("| Folder | Engine | Migrations | Newest |\n|---|---|--:|---|\n");
        for (path, engine, count, newest) in found.folders.iter().take(FOLDERS) {
            let path = if path.is_empty() { "." } else { path };
            out.push_str(&format!("| {} | {engine} | {count} | {} |\n", code(path), code(newest)));
        }
        if found.folders.len() > FOLDERS {
            let more = found.folders.len() - FOLDERS;
            out.push_str(&format!("\nand {more} more; name them by a pattern such as `services/*/migrations`.\n"));
        }
        out.push('\n');
    }
    let allowed: Vec<String> = engines(found).into_iter().map(|engine| variable("ENVIRONMENT", engine)).collect();
    out.push_str(&format!(
        "### Before merging\n\n\
         1. Name people and teams in `policies/roles.yml`. The built-in approval matrix holds until \
         `policies/approval_matrix.yml` says otherwise; `godwit policy check` prints it.\n\
         2. Correct the environments in `policies/environments.yml`, and ask the operator of the server to set and allow their \
         variables ({}): `GODWIT_SECRET_VARS={repo}:production=…`.\n\
         3. Make `godwit / approval` a required status check of the branch.\n\n",
        allowed.iter().map(|v| code(v)).collect::<Vec<_>>().join(", ")
    ));
    if let Some((_, _, _, newest)) = found.folders.first() {
        out.push_str(&format!(
            "### What the databases hold already\n\n\
             Migrations that were applied by hand or by another tool must not run again. Tell Godwit once for each \
             environment: {} records everything up to that version as applied, without running it. Until then Godwit \
             refuses to run the first of them where its objects exist.\n",
            code(&format!("godwit baseline --env production --to {newest}"))
        ));
    }
    escape::cut_at(&out, escape::COMMENT_LIMIT, "_The rest is cut._")
}

/// The text of the issue for an App that may not write files: the same with the files themselves.
pub fn issue(repo: &RepoName, found: &Found) -> String {
    let mut out = text(repo, found);
    out.push_str("\n### The files\n\nGodwit's App may not write files here, so they stand below; `godwit init` writes them too.\n\n");
    for (path, content) in files(found) {
        out.push_str(&format!("{}\n\n{}\n", code(&path), escape::fence("yaml", &content)));
    }
    escape::cut_at(&out, escape::COMMENT_LIMIT, "_The rest is cut._")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approval::Policy;
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    fn repository(files: &[(&str, &str)]) -> Found {
        let files: Vec<SourceFile> = files.iter().map(|(path, text)| SourceFile::new(*path, *text)).collect();
        found(&resolve(&files, &[MigrationRoot::folder("**")]))
    }

    #[test]
    fn the_files_that_are_proposed_are_sound_and_find_the_same_migrations() {
        let table = "CREATE TABLE a (id bigint PRIMARY KEY);";
        for files in [
            &[][..],
            &[("db/migrations/0001_a.up.sql", table), ("db/migrations/0002_b.up.sql", table)],
            &[("migrations/2024-01-31-120000_a/up.sql", table), ("migrations/2024-01-31-120000_a/down.sql", "")],
            &[("a b/migrations/0001_a.up.sql", table), ("x/sqlite/migrations/1_b.up.sql", table)],
        ] {
            let found = repository(files);
            let proposed = super::files(&found);
            let read = |path: &str| proposed.iter().find(|(p, _)| p == path).map(|(_, t)| t.clone().into_bytes());
            let policy = Policy::load(&read).unwrap_or_else(|e| panic!("{e:?}\n{proposed:#?}"));
            assert_eq!(policy.environments.0.len(), 3);
            let sources: Vec<SourceFile> = files.iter().map(|(p, t)| SourceFile::new(*p, *t)).collect();
            let again = super::found(&resolve(&sources, &policy.repo.migrations));
            assert_eq!(again, found, "{proposed:#?}");
        }
    }

    #[test]
    fn the_text_explains_what_the_databases_hold_already() {
        let found = repository(&[("db/migrations/0007_a.up.sql", "CREATE TABLE a (id bigint PRIMARY KEY);")]);
        let repo = RepoName::new("acme/shop").unwrap();
        let text = text(&repo, &found);
        for part in ["godwit baseline --env production --to 0007_a", "GODWIT_SECRET_VARS=acme/shop", "closing this"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(issue(&repo, &found).contains("version: 1"));
    }
}
