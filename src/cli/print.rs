//! What commands print on standard output.

use std::io::{IsTerminal as _, Write as _};

use crate::report::fold::fold;

/// Writes `value` as indented JSON, in the same way as [`text`].
///
/// # Errors
/// As [`text`].
pub(super) fn json(value: &serde_json::Value) -> anyhow::Result<()> {
    text(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Writes `text`, without credentials and where nobody wants colours without those, in one piece: standard output by
/// itself hands on every line alone. A reader that went away is no error.
///
/// # Errors
/// When it cannot be written for another reason.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    let text = crate::redact::text(text);
    let out = std::io::stdout();
    let written = match anstream::AutoStream::choice(&out) {
        anstream::ColorChoice::Never => {
            let plain = anstream::adapter::strip_str(&text).to_string();
            let mut out = out.lock();
            out.write_all(plain.as_bytes()).and_then(|()| out.flush())
        }
        anstream::ColorChoice::Auto | anstream::ColorChoice::AlwaysAnsi | anstream::ColorChoice::Always => {
            let mut out = anstream::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        }
    };
    unless_gone(written)
}

/// Writes `prose` like [`text`], its lines broken so that they fit the terminal where there is one.
///
/// # Errors
/// As [`text`].
pub(super) fn prose(prose: &str) -> anyhow::Result<()> {
    text(&fold(prose, width()))
}

/// Writes `bytes` as they are, for a program that reads them. A reader that went away is no error.
///
/// # Errors
/// When they cannot be written for another reason.
pub(super) fn plainly(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    unless_gone(out.write_all(bytes).and_then(|()| out.flush()))
}

fn unless_gone(written: std::io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

/// How many characters fit on a line of standard output.
pub(super) fn width() -> usize {
    let out = std::io::stdout();
    if out.is_terminal() { columns(terminal_size::terminal_size_of(out)) } else { usize::MAX }
}

/// Says `prose` on standard error, as one or more lines that fit the terminal where there is one.
pub(super) fn talk(prose: &str) {
    let out = std::io::stderr();
    let width = if out.is_terminal() { columns(terminal_size::terminal_size_of(out)) } else { usize::MAX };
    anstream::eprintln!("{}", fold(prose, width));
}

/// The width of a terminal: what `COLUMNS` says, else its own word. What is no terminal has none, whoever reads it: there
/// a line stays a line.
fn columns(own: Option<(terminal_size::Width, terminal_size::Height)>) -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).filter(|c| *c >= 20);
    told.or_else(|| own.map(|(columns, _)| usize::from(columns.0))).filter(|c| *c > 0).unwrap_or(usize::MAX)
}
