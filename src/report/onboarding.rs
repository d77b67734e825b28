//! The files that a repository begins with, and the words of the pull request that proposes them.

use super::beginning::{self, Policies, Root, engines, variable};
use super::escape::{self, code};
use crate::config::RepoConfig;
use crate::ids::{Engine, RepoName};
use crate::migration::{Layout, MigrationSet};

/// First line of the pull request's text, and of the issue that stands in for it.
pub const MARKER: &str = "<!-- godwit:onboarding -->";
/// Where migrations go in a repository that has none.
const FOLDER: &str = "migrations";
/// Folders that the text shows.
const FOLDERS: usize = 20;

/// What was found in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Folders with migrations.
    pub folders: Vec<Root>,
    /// What says already who must agree, and where migrations run.
    pub policies: Policies,
}

/// The folders that hold migrations, as the layouts tell, and the policies that are there.
pub fn found(set: &MigrationSet, policies: Policies) -> Found {
    Found { folders: beginning::found(set), policies }
}

/// Path and text of each file that is missing.
pub fn files(found: &Found) -> Vec<(String, String)> {
    let first = [Root::new(FOLDER.to_owned(), Layout::Numbered, Engine::Postgresql)];
    let roots = if found.folders.is_empty() { &first[..] } else { &found.folders };
    let mut files = vec![(RepoConfig::FILE.to_owned(), beginning::config(roots, &found.policies))];
    for (name, text) in
        [("environments.yml", beginning::environments(&engines(roots))), ("roles.yml", beginning::ROLES.to_owned())]
    {
        if !found.policies.there.contains(name) {
            files.push((format!("{}/{name}", found.policies.folder), text));
        }
    }
    files
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
        for root in found.folders.iter().take(FOLDERS) {
            let (path, newest) = (code(&root.path), code(&root.newest));
            out.push_str(&format!("| {path} | {} | {} | {newest} |\n", root.engine, root.count));
        }
        if found.folders.len() > FOLDERS {
            out.push_str(&format!("\nand {} more.\n", found.folders.len() - FOLDERS));
        }
        out.push('\n');
    }
    let mut kinds = engines(&found.folders);
    if kinds.is_empty() {
        kinds.insert(Engine::Postgresql);
    }
    let allowed: Vec<String> = kinds.into_iter().map(|engine| variable("ENVIRONMENT", engine)).collect();
    let folder = &found.policies.folder;
    out.push_str(&format!(
        "### Before merging\n\n\
         1. Name people and teams in `{folder}/roles.yml`. The built-in approval matrix holds until \
         `{folder}/approval_matrix.yml` says otherwise; `godwit policy check` prints it.\n\
         2. Correct the environments in `{folder}/environments.yml`, and ask the operator of the server to set and allow their \
         variables ({}): `GODWIT_SECRET_VARS={repo}:production=…`.\n\
         3. Make `godwit / approval` a required status check of the branch.\n\n",
        allowed.iter().map(|v| code(v)).collect::<Vec<_>>().join(", ")
    ));
    if let Some(newest) = found.folders.first().map(|root| &root.newest) {
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
        let policies = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
        let files: Vec<SourceFile> = files.iter().map(|(path, text)| SourceFile::new(*path, *text)).collect();
        found(&resolve(&files, &[MigrationRoot::folder("**")]), Policies::of(&policies))
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
            assert_eq!(policy.environments.0.len(), 4);
            let sources: Vec<SourceFile> = files.iter().map(|(p, t)| SourceFile::new(*p, *t)).collect();
            let again = super::found(&resolve(&sources, &policy.repo.migrations), found.policies.clone());
            assert_eq!(again, found, "{proposed:#?}");
        }
    }

    #[test]
    fn s2_14_policies_that_are_there_are_left_and_named() {
        let environments = "development:\n  database: { host: h, database: d }\n";
        let found = repository(&[("migrations/config/environments.yml", environments)]);
        let proposed = files(&found);
        let paths: Vec<&str> = proposed.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["godwit.yml", "migrations/config/roles.yml"]);
        assert!(
            proposed[0].1.contains("environments: [development]")
                && proposed[0].1.contains("policies: migrations/config")
        );
        assert!(text(&RepoName::new("acme/shop").unwrap(), &found).contains("`migrations/config/roles.yml`"));
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
