//! A runner for `action.yml` as GitHub's is: inputs with their defaults, expressions filled into variables, the shell it
//! documents, an event file, files for outputs and summary, and what it makes of the commands on standard output.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_yaml::Value;

/// Annotations of one level that GitHub shows of a step.
const SHOWN: usize = 10;

/// A step that uses the action.
pub struct Step<'a> {
    /// Where the repository is checked out.
    pub workspace: &'a Path,
    /// What stands under `with`.
    pub with: &'a [(&'a str, &'a str)],
    /// `github.token`.
    pub token: &'a str,
    /// The pull request's base branch; empty for a push.
    pub base: &'a str,
    /// More of the environment, over the runner's own.
    pub env: &'a [(&'a str, &'a str)],
}

/// What came of it.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// The action's outputs.
    pub outputs: BTreeMap<String, String>,
    pub summary: String,
    /// `(level, file, message)` of the annotations that GitHub shows, in order.
    pub shown: Vec<(String, String, String)>,
    /// Those that it drops.
    pub dropped: usize,
    /// What it masks in logs.
    pub masked: BTreeSet<String>,
}

fn action() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("action.yml");
    serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// What expressions may name.
struct Contexts(BTreeMap<String, String>);

impl Contexts {
    /// `||` of `&&` of `==` of names and texts: all that a composite action like ours needs.
    fn value(&self, expression: &str) -> String {
        let truthy = |text: &String| !text.is_empty() && text != "false";
        let mut last = String::new();
        for choice in expression.split("||") {
            last = String::from("true");
            for part in choice.split("&&") {
                last = match part.split_once("==") {
                    Some((a, b)) => (self.word(a) == self.word(b)).to_string(),
                    None => self.word(part),
                };
                if !truthy(&last) {
                    break;
                }
            }
            if truthy(&last) {
                break;
            }
        }
        if last == "false" { String::new() } else { last }
    }

    fn word(&self, word: &str) -> String {
        let word = word.trim();
        match word.strip_prefix('\'').and_then(|w| w.strip_suffix('\'')) {
            Some(text) => text.to_owned(),
            None => self.0.get(word).unwrap_or_else(|| panic!("the expression names `{word}`")).clone(),
        }
    }

    /// A text with its `${{ … }}` filled in.
    fn fill(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${{") {
            let (expression, after) = after.split_once("}}").expect("an expression is closed");
            out.push_str(before);
            out.push_str(&self.value(expression));
            rest = after;
        }
        out + rest
    }
}

impl Step<'_> {
    pub fn run(&self) -> Ended {
        let action = action();
        let mut contexts = BTreeMap::from([
            ("github.action_repository".to_owned(), "godwit-dev/godwit".to_owned()),
            ("github.token".to_owned(), self.token.to_owned()),
        ]);
        let inputs = action["inputs"].as_mapping().unwrap();
        for (name, input) in inputs {
            let name = name.as_str().unwrap();
            let default = input["default"].as_str().expect("defaults are texts");
            contexts.insert(format!("inputs.{name}"), default.to_owned());
        }
        for (name, value) in self.with {
            let known = contexts.insert(format!("inputs.{name}"), (*value).to_owned());
            assert!(known.is_some(), "Unexpected input `{name}`");
        }
        let mut contexts = Contexts(contexts);
        let temp = tempfile::tempdir().unwrap();
        let file = |name: &str| temp.path().join(name);
        let (output, summary, event) = (file("output"), file("summary"), file("event.json"));
        for empty in [&output, &summary] {
            std::fs::write(empty, "").unwrap();
        }
        let name = if self.base.is_empty() { "push" } else { "pull_request" };
        std::fs::write(&event, r#"{"pull_request":{"number":17,"head":{"sha":"0"}},"number":17}"#).unwrap();

        let steps = action["runs"]["steps"].as_sequence().unwrap();
        assert_eq!((action["runs"]["using"].as_str(), steps.len()), (Some("composite"), 1));
        let step = &steps[0];
        assert_eq!(step["shell"].as_str(), Some("bash"));
        let script = file("step.sh");
        std::fs::write(&script, contexts.fill(step["run"].as_str().unwrap())).unwrap();
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-e", "-o", "pipefail"]).arg(&script).current_dir(self.workspace);
        // Nothing of a surrounding run reaches it.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", temp.path());
        for (variable, value) in [
            ("CI", "true"),
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", name),
            ("GITHUB_BASE_REF", self.base),
            ("GITHUB_REPOSITORY", "acme/shop"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_API_URL", "http://127.0.0.1:1"),
            ("RUNNER_OS", "Linux"),
        ] {
            command.env(variable, value);
        }
        command.env("GITHUB_OUTPUT", &output).env("GITHUB_STEP_SUMMARY", &summary).env("GITHUB_EVENT_PATH", &event);
        command.env("GITHUB_WORKSPACE", self.workspace).env("RUNNER_TEMP", temp.path());
        for (variable, value) in step["env"].as_mapping().unwrap() {
            command.env(variable.as_str().unwrap(), contexts.fill(value.as_str().unwrap()));
        }
        command.envs(self.env.iter().copied());
        let done = command.output().unwrap();

        let said = std::fs::read_to_string(&output).unwrap();
        for (name, value) in outputs(&said) {
            contexts.0.insert(format!("steps.{}.outputs.{name}", step["id"].as_str().unwrap()), value);
        }
        let declared = action["outputs"].as_mapping().unwrap();
        for name in declared.keys() {
            contexts.0.entry(format!("steps.godwit.outputs.{}", name.as_str().unwrap())).or_default();
        }
        let stdout = String::from_utf8(done.stdout).unwrap();
        let (shown, dropped, masked) = commands(&stdout);
        Ended {
            code: done.status.code(),
            stderr: String::from_utf8(done.stderr).unwrap(),
            outputs: declared
                .iter()
                .map(|(name, output)| {
                    (name.as_str().unwrap().to_owned(), contexts.fill(output["value"].as_str().unwrap()))
                })
                .collect(),
            summary: std::fs::read_to_string(&summary).unwrap(),
            stdout,
            shown,
            dropped,
            masked,
        }
    }
}

/// `name=value` and `name<<DELIMITER` of an output file.
fn outputs(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some((name, delimiter)) = line.split_once("<<") {
            let value: Vec<&str> = lines.by_ref().take_while(|l| *l != delimiter).collect();
            found.insert(name.to_owned(), value.join("\n"));
        } else if let Some((name, value)) = line.split_once('=') {
            found.insert(name.to_owned(), value.to_owned());
        } else {
            panic!("GitHub refuses this line of the output file: {line}");
        }
    }
    found
}

/// What the runner makes of standard output.
fn commands(text: &str) -> (Vec<(String, String, String)>, usize, BTreeSet<String>) {
    let mut levels: BTreeMap<String, usize> = BTreeMap::new();
    let (mut shown, mut dropped, mut masked, mut stopped) = (Vec::new(), 0, BTreeSet::new(), None::<String>);
    for line in text.lines() {
        let Some((command, data)) = line.strip_prefix("::").and_then(|l| l.split_once("::")) else { continue };
        if let Some(token) = &stopped {
            if command == token {
                stopped = None;
            }
            continue;
        }
        let (word, properties) = command.split_once(' ').unwrap_or((command, ""));
        match word {
            "stop-commands" => stopped = Some(data.to_owned()),
            "add-mask" => {
                masked.insert(data.to_owned());
            }
            "error" | "warning" | "notice" => {
                let of_level = levels.entry(word.to_owned()).or_default();
                *of_level += 1;
                if *of_level > SHOWN {
                    dropped += 1;
                    continue;
                }
                let file = properties.split(',').find_map(|p| p.strip_prefix("file=")).unwrap_or_default();
                shown.push((word.to_owned(), unescaped(file), unescaped(data)));
            }
            _ => {}
        }
    }
    (shown, dropped, masked)
}

fn unescaped(text: &str) -> String {
    let text = text.replace("%0D", "\r").replace("%0A", "\n");
    text.replace("%3A", ":").replace("%2C", ",").replace("%25", "%")
}
