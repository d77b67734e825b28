//! Forms that people know from other tools, turned into ours before the command line is read (SPEC 11). What clap can express
//! itself (aliases, words instead of options) stands with the commands.

use super::exit::Failure;

/// What is said to who wants to push a schema.
const PUSHED: &str = "a schema that is pushed past its migrations is drift by the next morning: outside development it is refused. \
                      Write a migration with `godwit new`, and let Prisma itself push to a database that is only yours";

/// Options of every command that take a value, so that it is not taken for the command.
const WITH_VALUE: [&str; 5] = ["--repo", "--config", "--store", "--format", "--color"];

/// The command that the arguments name.
pub fn command(args: &[String]) -> Option<&str> {
    command_of(args).map(|at| args[at].as_str())
}

/// The arguments as the commands want them; the first is the program's own name.
///
/// # Errors
/// For commands of other tools that are refused on purpose, with what to do instead.
pub fn modern(args: Vec<String>) -> anyhow::Result<Vec<String>> {
    let Some(at) = command_of(&args) else { return Ok(args) };
    let (before, rest) = (&args[..at], &args[at + 1..]);
    match args[at].as_str() {
        // [S2-110]
        "test-rollback" => {
            let named = rest.iter().scan(false, |value, word| {
                let is_value = std::mem::take(value);
                *value = word.starts_with("--") && !word.contains('=') && word != "--quiet" && word != "--verbose";
                Some((word.clone(), !is_value && !word.starts_with('-')))
            });
            let rest =
                named.flat_map(|(word, is_name)| if is_name { vec!["--only".to_owned(), word] } else { vec![word] });
            Ok(joined(before.to_vec(), "rehearse", rest))
        }
        // `--format mermaid` and `--format dot` are pictures, not forms of data [S1-36].
        "graph" | "deps" => {
            let (front, early) = without_format(before, &["mermaid", "dot"]);
            let (rest, late) = without_format(rest, &["mermaid", "dot"]);
            Ok(joined(front, "graph", late.or(early).into_iter().chain(rest)))
        }
        "report" => {
            let (front, early) = without_format(before, &["csv", "html"]);
            let (rest, late) = without_format(rest, &["csv", "html"]);
            let form = late.or(early).into_iter().flat_map(|form| ["--as".to_owned(), form]);
            Ok(joined(front, "report", rest.into_iter().chain(form)))
        }
        // [S3-33]
        "db:push" | "db-push" => Err(Failure::usage(PUSHED)),
        "db" if rest.first().is_some_and(|word| word == "push") => Err(Failure::usage(PUSHED)),
        // [S2-10]
        "dashboard" => Err(Failure::usage(
            "there is no program with pages of its own. `godwit status ENVIRONMENT` shows what is applied, pending and locked, \
             `godwit approvals` who agreed, `godwit logs` and `godwit audit list` what happened; a server that `godwit serve` \
             started tells programs the same at `/api/v1/environments`, `/api/v1/pulls` and `/api/v1/approvals`, and its \
             measurements at `/metrics`",
        )),
        _ => Ok(args),
    }
}

fn joined(mut before: Vec<String>, command: &str, rest: impl Iterator<Item = String>) -> Vec<String> {
    before.push(command.to_owned());
    before.extend(rest);
    before
}

/// Where the command stands.
fn command_of(args: &[String]) -> Option<usize> {
    let mut at = 1;
    while let Some(word) = args.get(at) {
        if WITH_VALUE.contains(&word.as_str()) {
            at += 2;
        } else if word.starts_with('-') {
            at += 1;
        } else {
            return Some(at);
        }
    }
    None
}

/// Takes `--format FORM` out where it is one of `forms`.
fn without_format(args: &[String], forms: &[&str]) -> (Vec<String>, Option<String>) {
    let mut rest = args.to_vec();
    for at in 0..rest.len() {
        let inline = rest[at].strip_prefix("--format=").map(str::to_owned);
        let next = (rest[at] == "--format").then(|| rest.get(at + 1).cloned()).flatten();
        let Some(form) = inline.clone().or(next).filter(|form| forms.contains(&form.as_str())) else { continue };
        rest.drain(at..at + if inline.is_some() { 1 } else { 2 });
        return (rest, Some(form));
    }
    (rest, None)
}
