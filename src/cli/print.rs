//! What commands print on standard output.

use std::io::Write as _;

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

/// How many characters fit on a line: what `COLUMNS` says, else the terminal's own word; elsewhere nothing is cut.
pub(super) fn width() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).filter(|c| *c >= 20);
    told.or_else(|| terminal_size::terminal_size_of(std::io::stdout()).map(|(columns, _)| usize::from(columns.0)))
        .filter(|columns| *columns > 0)
        .unwrap_or(usize::MAX)
}
