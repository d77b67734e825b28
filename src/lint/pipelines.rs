//! Commands of Prisma in workflows, scripts and package files that reach production: those that are made for a developer's
//! own database, and the one that applies migrations past Godwit.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::migration::{Problem, Severity};

/// A command of Prisma that has no place in production.
const DEV: &str = "prisma-dev-command";
/// The command that applies migrations by itself.
const DEPLOY: &str = "prisma-deploy-direct";
/// Words of names that tell of production.
const LIVE: [&str; 7] = ["deploy", "deployment", "live", "prod", "production", "publish", "release"];
/// Words of names that tell of somewhere else.
const ELSEWHERE: [&str; 12] = [
    "ci",
    "dev",
    "develop",
    "development",
    "e2e",
    "example",
    "local",
    "preview",
    "sandbox",
    "staging",
    "test",
    "tests",
];
/// Scripts of a package that hosts run by themselves.
const RUN_BY_HOSTS: [&str; 7] =
    ["build", "heroku-postbuild", "postbuild", "postinstall", "prestart", "start", "vercel-build"];
/// Scripts that call scripts are followed so far.
const MOST_CALLS: usize = 8;

/// Whether a file may hold such commands, by its path.
pub fn may_run(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let in_workflows = path.starts_with(".github/workflows/") || path.contains("/.github/workflows/");
    let yaml = name.ends_with(".yml") || name.ends_with(".yaml");
    (in_workflows && yaml) || name == "package.json" || kind_of(path).is_some()
}

/// A file that is read line by line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What it runs reaches production unless its name says otherwise.
    Live,
    /// Only if its name says so.
    Named,
}

fn kind_of(path: &str) -> Option<Kind> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        "Procfile"
        | "fly.toml"
        | "railway.json"
        | "railway.toml"
        | "render.yaml"
        | "vercel.json"
        | "entrypoint.sh"
        | "docker-entrypoint.sh"
        | "start.sh" => Some(Kind::Live),
        _ if name.starts_with("Dockerfile") || name.ends_with(".Dockerfile") => Some(Kind::Live),
        "Makefile" | "justfile" => Some(Kind::Named),
        _ if name.ends_with(".sh") => Some(Kind::Named),
        _ if name.starts_with("docker-compose") || name.starts_with("compose") => {
            (name.ends_with(".yml") || name.ends_with(".yaml")).then_some(Kind::Named)
        }
        _ => None,
    }
}

/// What is wrong with the commands in `files`, each a path and its text.
pub fn problems(files: &[(String, String)]) -> Vec<Problem> {
    // Nearly every repository has none: one search decides.
    if !files.iter().any(|(_, text)| text.contains("prisma")) {
        return Vec::new();
    }
    let scripts = package_scripts(files);
    let mut found = Vec::new();
    for (path, text) in files {
        for (line, command) in commands(path, text) {
            let mut seen = BTreeSet::new();
            let mut told = Vec::new();
            look(&command, &scripts, &mut seen, &mut told);
            told.dedup();
            found.extend(told.into_iter().map(|what| problem(path, line, &what)));
        }
    }
    found.sort_by(|a, b| (&a.file, a.line, a.rule).cmp(&(&b.file, b.line, b.rule)));
    found.dedup();
    found
}

fn problem(path: &str, line: u32, what: &str) -> Problem {
    let direct = what == "prisma migrate deploy";
    let (rule, severity, message, help) = if direct {
        (
            DEPLOY,
            Severity::Warning,
            format!("`{what}` applies migrations to production past approvals, backups and locks"),
            "`godwit apply` runs the same folder and keeps Prisma's own table up to date",
        )
    } else {
        (
            DEV,
            Severity::Error,
            format!("`{what}` is made for a developer's own database: where it reaches production, it may empty it"),
            "take it out; what production gets is a migration that `godwit apply` runs",
        )
    };
    Problem { file: path.to_owned(), line, column: 1, end_column: 1, rule, severity, message, help: help.to_owned() }
}

/// Every script of every package, by name; of one name, those of the folder nearest to the top come first.
fn package_scripts(files: &[(String, String)]) -> BTreeMap<String, Vec<String>> {
    let mut packages: Vec<&(String, String)> =
        files.iter().filter(|(path, _)| path.rsplit('/').next() == Some("package.json")).collect();
    packages.sort_by_key(|(path, _)| path.matches('/').count());
    let mut scripts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, text) in packages {
        for (name, command) in scripts_of(text) {
            scripts.entry(name).or_default().push(command);
        }
    }
    scripts
}

fn scripts_of(text: &str) -> Vec<(String, String)> {
    let Ok(Value::Object(package)) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let Some(Value::Object(scripts)) = package.get("scripts") else { return Vec::new() };
    scripts.iter().filter_map(|(name, command)| Some((name.clone(), command.as_str()?.to_owned()))).collect()
}

/// The commands of a file that reach production, with their lines.
fn commands(path: &str, text: &str) -> Vec<(u32, String)> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if name == "package.json" {
        let live = |name: &str| !says(name, &ELSEWHERE) && (says(name, &LIVE) || RUN_BY_HOSTS.contains(&name));
        let at = |name: &str| line_of(text, &format!("\"{name}\""));
        return scripts_of(text).into_iter().filter(|(n, _)| live(n)).map(|(n, command)| (at(&n), command)).collect();
    }
    if path.contains(".github/workflows/") {
        return of_workflow(path, text);
    }
    let live = match kind_of(path) {
        Some(Kind::Live) => !says(path, &ELSEWHERE),
        Some(Kind::Named) => says(path, &LIVE) && !says(path, &ELSEWHERE),
        None => false,
    };
    if !live {
        return Vec::new();
    }
    let bare = |line: &str| line.trim_start().starts_with('#') || line.trim_start().starts_with("//");
    text.lines().zip(1u32..).filter(|(line, _)| !bare(line)).map(|(line, n)| (n, line.to_owned())).collect()
}

/// The steps of the jobs that reach production.
fn of_workflow(path: &str, text: &str) -> Vec<(u32, String)> {
    let Ok(workflow) = serde_yaml::from_str::<serde_yaml::Value>(text) else { return Vec::new() };
    let Some(jobs) = workflow.get("jobs").and_then(|j| j.as_mapping()) else { return Vec::new() };
    let file = path.rsplit('/').next().unwrap_or(path);
    let string = |value: Option<&serde_yaml::Value>| value.and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let whole = format!("{file} {}", string(workflow.get("name")));
    let mut found = Vec::new();
    for (id, job) in jobs {
        let environment = job.get("environment");
        let place = match environment {
            Some(serde_yaml::Value::Mapping(_)) => string(environment.and_then(|e| e.get("name"))),
            other => string(other),
        };
        let named = format!("{} {} {place}", id.as_str().unwrap_or_default(), string(job.get("name")));
        let around = [workflow.get("env"), job.get("env")];
        for step in job.get("steps").and_then(|s| s.as_sequence()).into_iter().flatten() {
            let run = string(step.get("run"));
            let secrets = around.iter().copied().chain([step.get("env")]).any(reaches_a_real_database);
            let titled = string(step.get("name"));
            // What says that it is somewhere else is believed, of the step first, then of its job.
            let live = if says(&titled, &ELSEWHERE) || says(&place, &ELSEWHERE) {
                false
            } else if says(&named, &ELSEWHERE) {
                says(&place, &LIVE)
            } else {
                says(&named, &LIVE)
                    || says(&titled, &LIVE)
                    || secrets
                    || (says(&whole, &LIVE) && !says(&whole, &ELSEWHERE))
            };
            if live {
                found.extend(
                    run.lines()
                        .filter(|l| !l.trim_start().starts_with('#'))
                        .map(|line| (line_of(text, line.trim()), line.to_owned())),
                );
            }
        }
    }
    found
}

/// Whether a step is given the address of a database that is kept secret, or that is production's by name.
fn reaches_a_real_database(env: Option<&serde_yaml::Value>) -> bool {
    env.and_then(|e| e.as_mapping()).into_iter().flatten().any(|(name, value)| {
        let (name, value) = (name.as_str().unwrap_or_default(), value.as_str().unwrap_or_default());
        let is_url = name.contains("DATABASE_URL") || name.contains("DIRECT_URL") || name.contains("POSTGRES");
        is_url && value.contains("secrets.") && !says(value, &ELSEWHERE)
    })
}

/// Whether one of the words of a name is among `words`.
fn says(name: &str, words: &[&str]) -> bool {
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(|w| words.contains(&w.to_ascii_lowercase().as_str()))
}

fn line_of(text: &str, part: &str) -> u32 {
    let at = text.lines().position(|l| !part.is_empty() && l.contains(part)).map_or(0, |n| n);
    u32::try_from(at + 1).unwrap_or(u32::MAX)
}

/// The commands of Prisma in a line of shell, and in the scripts that it calls.
fn look(line: &str, scripts: &BTreeMap<String, Vec<String>>, seen: &mut BTreeSet<String>, found: &mut Vec<String>) {
    for command in line.split(['&', ';', '|', '\n', '(', ')']) {
        let clean = |w: &str| w.trim_matches(|c: char| matches!(c, '"' | '\'' | ',' | '[' | ']' | '`')).to_owned();
        let words: Vec<String> = command.split_whitespace().map(clean).filter(|w| !w.is_empty()).collect();
        found.extend(prisma(&words));
        if let Some(name) = called(&words)
            && seen.len() < MOST_CALLS
            && seen.insert(name.clone())
        {
            for script in scripts.get(&name).into_iter().flatten() {
                look(script, scripts, seen, found);
            }
        }
    }
}

/// What Prisma is told to do, if that matters.
fn prisma(words: &[String]) -> Option<String> {
    let is_prisma = |w: &String| {
        let bare = w.split('@').next().unwrap_or(w);
        bare == "prisma" || bare.ends_with("/prisma")
    };
    let at = words.iter().position(is_prisma)?;
    let mut rest = words[at + 1..].iter().filter(|w| !w.starts_with('-'));
    let flag = |name: &str| words.iter().any(|w| w == name);
    match (rest.next().map(String::as_str), rest.next().map(String::as_str)) {
        (Some("migrate"), Some(what @ ("dev" | "reset" | "deploy"))) => Some(format!("prisma migrate {what}")),
        (Some("db"), Some("push")) if flag("--accept-data-loss") => {
            Some("prisma db push --accept-data-loss".to_owned())
        }
        (Some("db"), Some("push")) if flag("--force-reset") => Some("prisma db push --force-reset".to_owned()),
        _ => None,
    }
}

/// The scripts of a package that a command calls.
fn called(words: &[String]) -> Option<String> {
    let at = words.iter().position(|w| matches!(w.as_str(), "npm" | "yarn" | "pnpm" | "bun"))?;
    let mut rest = words[at + 1..].iter().filter(|w| !w.starts_with('-')).map(String::as_str);
    match rest.next()? {
        "run" | "run-script" => rest.next().map(str::to_owned),
        "exec" | "dlx" | "install" | "ci" | "add" => None,
        name => Some(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(files: &[(&str, &str)]) -> Vec<(String, u32, &'static str)> {
        let files: Vec<(String, String)> = files.iter().map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect();
        assert!(files.iter().all(|(path, _)| may_run(path)));
        problems(&files).into_iter().map(|p| (p.file, p.line, p.rule)).collect()
    }

    const WORKFLOW: &str = "name: NAME\non: push\njobs:\n  JOB:\n    runs-on: ubuntu-latest\n    steps:\n      - run: |\n          npm ci\n          COMMAND\n";

    fn workflow(name: &str, job: &str, command: &str) -> String {
        WORKFLOW.replace("NAME", name).replace("JOB", job).replace("COMMAND", command)
    }

    #[test]
    fn c01_s3_65_s3_66_s3_67_commands_for_developers_are_errors_where_they_reach_production() {
        for command in [
            "npx prisma migrate dev",
            "pnpm exec prisma migrate reset --force",
            "yarn prisma db push --accept-data-loss",
            "cd api && ./node_modules/.bin/prisma db push --schema=x --force-reset",
            "DATABASE_URL=$URL npx prisma@6.1.0 migrate reset",
        ] {
            let path = ".github/workflows/main.yml";
            assert_eq!(
                told(&[(path, &workflow("Deploy", "run", command))]),
                [(path.to_owned(), 9, "prisma-dev-command")],
                "{command}"
            );
            assert_eq!(told(&[(path, &workflow("CI", "test", command))]), [], "{command}");
            assert_eq!(told(&[(path, &workflow("Main", "deploy-staging", command))]), [], "{command}");
        }
        let harmless =
            ["npx prisma generate", "npx prisma db push", "npx prisma migrate diff", "echo prisma", "npm run x"];
        for command in harmless {
            assert_eq!(told(&[(".github/workflows/main.yml", &workflow("Deploy", "run", command))]), [], "{command}");
        }
    }

    #[test]
    fn c01_production_is_told_by_environment_secret_and_script() {
        let path = ".github/workflows/x.yml";
        let in_environment = workflow("X", "run", "npx prisma migrate reset")
            .replace("    steps:", "    environment:\n      name: production\n    steps:");
        assert_eq!(told(&[(path, &in_environment)]).len(), 1);
        assert_eq!(told(&[(path, &in_environment.replace("production", "staging"))]), []);
        let secret = |name: &str| {
            workflow("X", "run", "npx prisma migrate reset")
                .replace("    steps:", &format!("    env:\n      DATABASE_URL: ${{{{ secrets.{name} }}}}\n    steps:"))
        };
        assert_eq!(told(&[(path, &secret("DATABASE_URL"))]).len(), 1);
        assert_eq!(told(&[(path, &secret("TEST_DATABASE_URL"))]), []);
        let package = r#"{
  "scripts": {
    "db:reset": "prisma migrate reset --force",
    "dev": "prisma migrate dev && next dev",
    "start": "npm run db:reset && node .",
    "test:start": "prisma migrate reset"
  }
}"#;
        assert_eq!(told(&[("package.json", package)]), [("package.json".to_owned(), 5, "prisma-dev-command")]);
        let calls = workflow("Release", "run", "npm run db:reset");
        let both = told(&[(path, &calls), ("package.json", package)]);
        assert!(both.contains(&(path.to_owned(), 9, "prisma-dev-command")), "{both:?}");
        let round = r#"{"scripts":{"start":"npm run b","b":"npm run start && prisma migrate dev"}}"#;
        assert_eq!(told(&[("package.json", round)]).len(), 1);
    }

    #[test]
    fn c02_s3_68_prisma_applying_by_itself_is_a_warning() {
        let deploy = "CMD [\"npx\", \"prisma\", \"migrate\", \"deploy\"]\n";
        assert_eq!(told(&[("Dockerfile", deploy)]), [("Dockerfile".to_owned(), 1, "prisma-deploy-direct")]);
        assert_eq!(told(&[("Dockerfile.dev", deploy)]), []);
        assert_eq!(told(&[("scripts/deploy.sh", "# prisma migrate deploy\nnpx prisma migrate deploy\n")]).len(), 1);
        assert_eq!(told(&[("scripts/setup.sh", "npx prisma migrate deploy\n")]), []);
        assert_eq!(told(&[("Procfile", "release: npx prisma migrate deploy\n")]).len(), 1);
        for text in ["{", "jobs: [", "jobs: 3", "{\"scripts\": []}", "jobs:\n  a: 1\n# prisma"] {
            assert_eq!(told(&[(".github/workflows/deploy.yml", text), ("package.json", text)]), []);
        }
    }
}
