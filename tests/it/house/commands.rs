//! Every command, option and script that a page names is one that exists.

use clap::{Command, CommandFactory as _};
use godwit::cli::Cli;

use super::{none, pages, read, root};

#[test]
fn every_command_in_the_pages_exists() {
    let cli = Cli::command();
    let mut findings = Vec::new();
    for page in pages() {
        for (line, code) in code(&read(&page)) {
            for command in commands(&code) {
                if let Err(wrong) = check(&cli, &command) {
                    findings.push(format!("{page}:{line}: `{code}`: {wrong}"));
                }
            }
        }
    }
    none(&findings);
}

#[test]
fn every_command_shows_how_it_is_used() {
    let mut findings = Vec::new();
    let mut open = vec![(Cli::command(), "godwit".to_owned())];
    while let Some((command, name)) = open.pop() {
        for below in command.get_subcommands().filter(|c| c.get_name() != "help") {
            open.push((below.clone(), format!("{name} {}", below.get_name())));
        }
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = help.lines().filter(|line| line.trim_start().contains(&name));
        if !command.has_subcommands() && examples.count() == 0 {
            findings.push(format!("`{name} --help` has no example"));
        }
    }
    none(&findings);
}

#[test]
fn every_script_in_the_pages_exists() {
    let mut findings = Vec::new();
    for page in pages() {
        for (line, code) in code(&read(&page)) {
            let word = code.trim_start_matches("$ ").split_whitespace().next().unwrap_or("");
            let known = ["scripts/", ".ci/", "bench/"].iter().any(|folder| word.starts_with(folder));
            if known && !root().join(word).exists() {
                findings.push(format!("{page}:{line}: no `{word}`"));
            }
        }
    }
    none(&findings);
}

/// `(line, text)` of every line of a fenced block of shell, and of every inline code.
fn code(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fence: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(language.trim().to_owned()) };
            continue;
        }
        match fence.as_deref() {
            Some("console" | "sh" | "bash" | "shell") => found.push((number + 1, line.to_owned())),
            Some(_) => {}
            None => found.extend(line.split('`').skip(1).step_by(2).map(|code| (number + 1, code.to_owned()))),
        }
    }
    found
}

/// The argument lists of `godwit` and `cargo demo` in a line of shell; comments and what follows `|`, `&&`, `;` are others'.
fn commands(line: &str) -> Vec<Vec<String>> {
    let line = line.split(" #").next().unwrap_or("");
    let mut found = Vec::new();
    for part in line.split(['|', ';', '&', '\n']) {
        let words: Vec<&str> =
            part.trim_start_matches("$ ").split_whitespace().skip_while(|word| is_assignment(word)).collect();
        match words.as_slice() {
            // `godwit / lint` is a check's name.
            ["godwit", "/", ..] => {}
            ["godwit", rest @ ..] => found.push(rest.iter().map(|word| (*word).to_owned()).collect()),
            ["cargo", "demo", rest @ ..] => {
                found.push(std::iter::once("demo").chain(rest.iter().copied()).map(str::to_owned).collect());
            }
            _ => {}
        }
    }
    found
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

/// Walks the words down the tree of commands and looks every option up.
fn check(cli: &Command, words: &[String]) -> Result<(), String> {
    let mut command = cli;
    let mut skip_value = false;
    for word in words {
        // `[--option]`, `(--one | --two)` and `…` are how a synopsis is written.
        let word = word.trim_matches(['[', ']', '(', ')', '…', ',', '.', ':']);
        if std::mem::take(&mut skip_value) || word.is_empty() {
            continue;
        }
        if let Some(option) = word.strip_prefix("--") {
            let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
            let argument = [command, cli]
                .into_iter()
                .flat_map(Command::get_arguments)
                .find(|a| a.get_long_and_visible_aliases().is_some_and(|names| names.contains(&name)));
            match argument {
                None if matches!(name, "help" | "version" | "") => {}
                None => return Err(format!("no option `--{name}`")),
                Some(argument) => skip_value = value.is_none() && argument.get_action().takes_values(),
            }
        } else if word.starts_with('-') {
            continue;
        } else if command.has_subcommands() {
            let named = |c: &&Command| c.get_name() == word || c.get_all_aliases().any(|alias| alias == word);
            match command.get_subcommands().find(named) {
                Some(found) => command = found,
                // A placeholder stands for any of them.
                None if word.chars().all(|c| c.is_ascii_uppercase()) => return Ok(()),
                None if word == "help" => return Ok(()),
                None => return Err(format!("no command `{word}`")),
            }
        }
    }
    Ok(())
}

#[test]
fn the_parsers_see_what_is_meant() {
    let cli = Cli::command();
    let words = |line: &str| commands(line).into_iter().next().unwrap();
    assert_eq!(words("$ A=b godwit lint --format json db | jq # godwit no"), ["lint", "--format", "json", "db"]);
    assert_eq!(words("cargo demo --serve"), ["demo", "--serve"]);
    assert!(check(&cli, &words("godwit lint --format json x")).is_ok());
    assert_eq!(check(&cli, &words("godwit lint --colour x")), Err("no option `--colour`".to_owned()));
    assert_eq!(check(&cli, &words("godwit fly")), Err("no command `fly`".to_owned()));
    assert_eq!(code("a `b`\n```sh\nc\n```\n```yaml\nd\n```"), [(1, "b".to_owned()), (3, "c".to_owned())]);
}
