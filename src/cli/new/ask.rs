//! The questions of `godwit new` on a terminal [S2-07] [S2-28]; elsewhere nobody is asked.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use clap::ValueEnum as _;

use super::super::exit::Failure;
use super::names::snake;
use super::{Args, Kind, line};

/// Asks for what is not given, and gives the name.
///
/// # Errors
/// Exit 2 where there is no terminal.
pub(super) fn questions(args: &mut Args) -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("say what it is called: `godwit new NAME`, or `--description TEXT`"));
    }
    let name = loop {
        let name = answer("name")?.unwrap_or_default();
        match snake(&name) {
            Ok(plain) if !plain.is_empty() => break name,
            Ok(_) => anstream::eprintln!("a name is needed, such as `create_orders`"),
            Err(wrong) => anstream::eprintln!("{wrong}"),
        }
    };
    if args.kind.is_none() {
        args.kind = choose("type (table, index, data, schema, hotfix, expand, contract) [schema]", |text| {
            Kind::from_str(text, true)
        })?;
    }
    if args.description.is_none() {
        args.description = choose("description [from the name]", line)?;
    }
    if args.risk.is_none() {
        args.risk =
            choose("risk (LOW, MEDIUM, HIGH) [as the linter finds]", |t| t.parse().map_err(|_| "no risk".to_owned()))?;
    }
    if args.ticket.is_none() {
        args.ticket = choose("ticket [none]", line)?;
    }
    args.asks = true;
    Ok(name)
}

/// Asks which of several folders is meant.
///
/// # Errors
/// When nobody answers.
pub(super) fn which(folders: &[String]) -> anyhow::Result<usize> {
    for (n, folder) in folders.iter().enumerate() {
        anstream::eprintln!("  {}  {folder}", n + 1);
    }
    let question = format!("folder (1 to {})", folders.len());
    let read = |text: &str| match text.parse::<usize>() {
        Ok(n) if (1..=folders.len()).contains(&n) => Ok(n - 1),
        Ok(_) | Err(_) => Err("none of them".to_owned()),
    };
    loop {
        if let Some(n) = choose(&question, read)? {
            return Ok(n);
        }
    }
}

/// An answer that `read` understands, or none at all.
fn choose<T>(question: &str, read: impl Fn(&str) -> Result<T, String>) -> anyhow::Result<Option<T>> {
    loop {
        let Some(text) = answer(question)? else { return Ok(None) };
        match read(&text) {
            Ok(value) => return Ok(Some(value)),
            Err(wrong) => anstream::eprintln!("`{text}`: {wrong}"),
        }
    }
}

/// One line of the terminal; `None` when it is empty.
fn answer(question: &str) -> anyhow::Result<Option<String>> {
    anstream::eprint!("{question}: ");
    let _ = std::io::stderr().flush();
    let mut text = String::new();
    if std::io::stdin().read_line(&mut text).context("cannot read the answer")? == 0 {
        return Err(Failure::usage("the questions were not answered; nothing was written"));
    }
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}
