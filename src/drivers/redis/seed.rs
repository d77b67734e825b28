//! Data for a server: the commands of a file, one a line, quoted as `redis-cli` reads them.

use std::iter::Peekable;
use std::time::Duration;

use super::link::To;
use super::message::{self, refused};
use super::names::{PREFIX, slot_of};
use super::session::RedisSession;
use crate::drivers::{DriverError, StatementFailure};

/// Sends the commands of `text` in their order.
///
/// # Errors
/// The first command that cannot be read, names no key, names one of Godwit's own, or is refused by the server.
pub(super) async fn fill(session: &RedisSession, text: &str) -> Result<(), DriverError> {
    let mut link = session.link.clone();
    // What a lost connection left in doubt is not sent again: a list that is pushed to twice is longer.
    link.patience = Duration::ZERO;
    for (line, command) in commands(text)? {
        session.heartbeat.check()?;
        let send = |mut sent: redis::Cmd| {
            command.iter().for_each(|word| {
                sent.arg(word.as_slice());
            });
            sent
        };
        let told = |error: redis::RedisError| match message::is_of_the_server(&error) {
            true => link.unreachable(&error),
            false => at(line, message::statement(&error)),
        };
        let mut asked = redis::cmd("COMMAND");
        asked.arg("GETKEYS");
        let keys: Vec<Vec<u8>> = link.try_ask(&send(asked), &To::Slot(0)).await.map_err(told)?;
        let Some(first) = keys.first() else { return Err(at(line, no_keys())) };
        if keys.iter().any(|key| key.starts_with(PREFIX.as_bytes())) {
            return Err(at(
                line,
                refused("GODWIT", "this key is one of Godwit's own".to_owned(), "keep them out of seed data"),
            ));
        }
        let to = To::Slot(slot_of(first));
        link.try_ask::<redis::Value>(&send(redis::Cmd::new()), &to).await.map_err(told)?;
    }
    Ok(())
}

fn no_keys() -> DriverError {
    refused("GODWIT", "this command names no key".to_owned(), "seed data only writes keys that it names")
}

fn at(line: u32, error: DriverError) -> DriverError {
    match error {
        DriverError::Statement(failure) => DriverError::Statement(StatementFailure { line: Some(line), ..failure }),
        other => other,
    }
}

/// A command's words.
type Words = Vec<Vec<u8>>;

/// The commands of a file with their lines; empty lines and those that begin with `#` are none.
fn commands(text: &str) -> Result<Vec<(u32, Words)>, DriverError> {
    let mut all = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with('#') {
            continue;
        }
        let words = words(line).map_err(|why| {
            at(number, refused("GODWIT", why.to_owned(), "quote as `redis-cli` does: `SET name \"two words\"`"))
        })?;
        if !words.is_empty() {
            all.push((number, words));
        }
    }
    Ok(all)
}

/// The words of a line: plain, `"…"` with `\n`, `\"` and `\x41`, or `'…'` with `\'` alone.
fn words(line: &str) -> Result<Words, &'static str> {
    let mut bytes = line.bytes().peekable();
    let mut all = Vec::new();
    loop {
        while bytes.next_if(u8::is_ascii_whitespace).is_some() {}
        if bytes.peek().is_none() {
            return Ok(all);
        }
        all.push(word(&mut bytes)?);
    }
}

fn word(bytes: &mut Peekable<impl Iterator<Item = u8>>) -> Result<Vec<u8>, &'static str> {
    let (mut word, mut quote) = (Vec::new(), None);
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (None, byte) if byte.is_ascii_whitespace() => break,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, byte) => word.push(byte),
            (Some(open), byte) if open == byte => {
                if bytes.peek().is_some_and(|next| !next.is_ascii_whitespace()) {
                    return Err("a space must follow a quote that closes");
                }
                quote = None;
            }
            (Some(b'"'), b'\\') => word.push(escaped(bytes).ok_or("a quote is not closed")?),
            (Some(_), b'\\') if bytes.peek() == Some(&b'\'') => {
                bytes.next();
                word.push(b'\'');
            }
            (Some(_), byte) => word.push(byte),
        }
    }
    if quote.is_some() { Err("a quote is not closed") } else { Ok(word) }
}

/// What stands behind a backslash within `"…"`.
fn escaped(bytes: &mut Peekable<impl Iterator<Item = u8>>) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(match bytes.next()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        b'x' => match (digit(bytes.next()?), digit(bytes.next()?)) {
            (Some(high), Some(low)) => high * 16 + low,
            (None, _) | (_, None) => return None,
        },
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_42_commands_are_quoted_as_redis_cli_reads_them() {
        let line = r#"  SET "two words\t\x41\"" 'it\'s \n' plain"#;
        let expected: Words = [&b"SET"[..], b"two words\tA\"", b"it's \\n", b"plain"].map(<[u8]>::to_vec).to_vec();
        assert_eq!(words(line), Ok(expected));
        for wrong in ["SET \"a", "SET 'a", "SET \"a\"b", "SET \"\\", "SET \"\\xg1\"", "SET \"\\x4\""] {
            assert!(words(wrong).is_err(), "{wrong}");
        }
        let found = commands("# data\n\nSET a 1\n  # more\nDEL \"\"\n").unwrap();
        assert_eq!(found.iter().map(|(line, words)| (*line, words.len())).collect::<Vec<_>>(), [(3, 3), (5, 2)]);
    }
}
