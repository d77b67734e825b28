//! Escapes of GitHub Actions' workflow commands (`::error file=…::message`), so that text cannot make a command.

/// Text behind the second `::`.
pub fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// An error of no file and line, as a line of its own.
pub fn error(text: &str) -> String {
    format!("::error title=godwit::{}", data(text))
}

/// The value of a property such as `file` or `title`.
pub fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
