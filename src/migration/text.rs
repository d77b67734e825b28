//! A file's bytes as the text of a script, or what keeps them from being one.

/// What is wrong with bytes that are no text which a server could be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotText {
    /// The rule that says so.
    pub rule: &'static str,
    /// The line, from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: &'static str,
}

/// The text of a file, without its byte order mark.
///
/// # Errors
/// Bytes that are not UTF-8, or a NUL byte: PostgreSQL breaks the connection off at one, SQLite ends the text there, and
/// neither says where it stood.
pub fn text(bytes: &[u8]) -> Result<&str, NotText> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let line = |at: usize| u32::try_from(1 + bytes[..at].iter().filter(|b| **b == b'\n').count()).unwrap_or(u32::MAX);
    let text = std::str::from_utf8(bytes).map_err(|e| NotText {
        rule: "not-utf8",
        line: line(e.valid_up_to()),
        message: format!("is not UTF-8: byte {} of the file cannot be read", e.valid_up_to() + 1),
        help: "save the file as UTF-8",
    })?;
    match text.find('\0') {
        None => Ok(text),
        Some(at) => Err(NotText {
            rule: "nul-byte",
            line: line(at),
            message: format!("holds a NUL byte (byte {} of the file), at which no server reads on", at + 1),
            help: "take it out; a file that has many of them was saved as UTF-16: save it as UTF-8",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_told_with_its_line() {
        assert_eq!(text("\u{feff}select 'é';".as_bytes()), Ok("select 'é';"));
        for (bytes, rule, line) in [
            (&b"select 1;\nselect '\xff';"[..], "not-utf8", 2),
            (b"select 1;\n\nselect '\0';", "nul-byte", 3),
            (b"\0", "nul-byte", 1),
            (b"s\0e\0l\0e\0c\0t\0", "nul-byte", 1),
            (b"\xff\xfes\0", "not-utf8", 1),
        ] {
            let wrong = text(bytes).expect_err("no text");
            assert_eq!((wrong.rule, wrong.line), (rule, line), "{bytes:?}");
        }
    }
}
