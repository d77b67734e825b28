//! SHA-256 in its two uses: the checksum that recognises an edited script and the raw hash a digest is made of.

use sha2::{Digest as _, Sha256};

use crate::ids::Checksum;

/// Lower-case hexadecimal SHA-256 of `bytes`.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// The checksum of a script's text. A byte order mark, CRLF against LF and trailing newlines are no edit;
/// the `sha256:` in front names the algorithm so that a later one never invalidates history.
pub fn checksum(text: &str) -> Checksum {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.trim_end_matches(['\n', '\r']);
    let mut hash = Sha256::new();
    let mut rest = text;
    while let Some(at) = rest.find("\r\n") {
        hash.update(&rest.as_bytes()[..at]);
        hash.update(b"\n");
        rest = &rest[at + 2..];
    }
    hash.update(rest.as_bytes());
    named(&hash.finalize())
}

/// Both of one file: the hash of its raw bytes and the checksum of its text. Large files are read once for the two.
pub fn both(raw: &[u8], text: &str) -> (String, Checksum) {
    let same_start = raw.len() == text.len() && !text.contains('\r');
    if !same_start {
        return (sha256_hex(raw), checksum(text));
    }
    let end = text.trim_end_matches('\n').len();
    both_of(Sha256::new_with_prefix(&raw[..end]), raw.len() - end)
}

/// The same of a text that is hashed as far as its last line breaks.
pub(super) fn both_of(mut hash: Sha256, breaks: usize) -> (String, Checksum) {
    let of_text = named(&hash.clone().finalize());
    for _ in 0..breaks {
        hash.update(b"\n");
    }
    (hexadecimal(&hash.finalize()), of_text)
}

/// A hash as text, without a detour over single characters: there is one for every file.
fn hexadecimal(hash: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(hash.len() * 2);
    for byte in hash {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn named(hash: &[u8]) -> Checksum {
    Checksum::new(format!("sha256:{}", hexadecimal(hash))).expect("a SHA-256 in hexadecimal is a checksum")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r13_both_at_once_are_the_same_as_each_alone() {
        for raw in ["", "\n", "select 1;", "select 1;\n\n", "select 1;\r\n", "a\rb\n", "\u{feff}select 1;\n", "é\n"] {
            let text = raw.strip_prefix('\u{feff}').unwrap_or(raw);
            assert_eq!(both(raw.as_bytes(), text), (sha256_hex(raw.as_bytes()), checksum(text)), "{raw:?}");
        }
    }

    #[test]
    fn r13_line_ends_bom_and_trailing_newlines_are_no_edit() {
        let plain = checksum("create table a (id int);\nselect 1;");
        for same in [
            "create table a (id int);\r\nselect 1;",
            "\u{feff}create table a (id int);\nselect 1;\n",
            "create table a (id int);\r\nselect 1;\r\n\r\n",
        ] {
            assert_eq!(checksum(same), plain, "{same:?}");
        }
    }

    #[test]
    fn r13_everything_else_is_an_edit() {
        let plain = checksum("select 1;\nselect 2;");
        for other in
            ["select 1;\n\nselect 2;", " select 1;\nselect 2;", "select 1;\nselect 2; ", "select 1;\rselect 2;"]
        {
            assert_ne!(checksum(other), plain, "{other:?}");
        }
    }
}
