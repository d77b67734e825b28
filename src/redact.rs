//! Credentials taken out of text before anyone sees it (B-20).

use std::sync::RwLock;

static SECRETS: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// Remembers a secret of this process (a password, a token, a key): [`text`] blots it out wherever it turns up,
/// whatever a driver prints. Very short ones are not taken, since they would blot out ordinary words.
pub fn register(secret: &str) {
    if secret.len() < 4 {
        return;
    }
    // Log lines and reports are JSON, where quotes and line ends look different.
    let quoted = serde_json::Value::from(secret).to_string();
    let quoted = quoted.trim_start_matches('"').strip_suffix('"').unwrap_or(secret);
    for form in [secret, quoted] {
        let Ok(mut secrets) = SECRETS.write() else { return };
        if secrets.iter().any(|s| s == form) {
            continue;
        }
        secrets.push(form.to_owned());
        // A secret that contains another one goes first.
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
    }
}

/// Registers the password of a connection URL, raw and percent-decoded.
pub fn register_url(url: &str) {
    if let Some(password) = password_of(url) {
        register(password);
        register(&percent_encoding::percent_decode_str(password).decode_utf8_lossy());
    }
}

/// A connection URL, however it is written, without its password.
pub fn url(url: &str) -> String {
    match (url.split_once(':'), url.rsplit_once('@')) {
        // Whoever left out `//` may have written a password all the same.
        (Some((scheme, rest)), Some((_, host))) if !rest.starts_with("//") => text(&format!("{scheme}:****@{host}")),
        _ => text(url),
    }
}

/// The user and host part of what follows `://`.
fn authority(after: &str) -> &str {
    after.split(['/', '?', '#']).next().unwrap_or(after)
}

/// Where the password of what follows `://` begins and ends: before the last `@` of the authority, or, where a character that
/// should have been written as `%2F`, `%3F` or `%23` cuts it short, before the last `@` of all.
fn password_at(after: &str) -> Option<std::ops::Range<usize>> {
    let authority = authority(after);
    let colon = authority.find(':');
    let at = match (authority.rfind('@'), colon) {
        (Some(at), _) => at,
        // What is no port behind the colon is a part of a password.
        (None, Some(colon)) if !authority[colon + 1..].bytes().all(|b| b.is_ascii_digit()) => after.rfind('@')?,
        (None, _) => return None,
    };
    let colon = colon.filter(|colon| *colon < at)?;
    Some(colon + 1..at)
}

/// Whether a URL's password holds a character that ends it there, so that the rest of it reads as something else.
pub fn is_cut_short(url: &str) -> bool {
    let Some((_, after)) = url.split_once("://") else { return false };
    password_at(after).is_some_and(|password| after[password].contains(['/', '?', '#']))
}

/// `input` without any registered secret and without the password part of anything that looks like a URL.
pub fn text(input: &str) -> String {
    let mut out = input.to_owned();
    if let Ok(secrets) = SECRETS.read() {
        for secret in secrets.iter() {
            if out.contains(secret.as_str()) {
                out = out.replace(secret.as_str(), "****");
            }
        }
    }
    url_passwords(&out)
}

/// Whether `text`, the value of `key`, is a secret: named like one, or looking like one.
pub fn is_secret(key: &str, text: &str) -> bool {
    const NAMES: [&str; 11] = [
        "password",
        "passwd",
        "pwd",
        "secret",
        "token",
        "apikey",
        "accesskey",
        "privatekey",
        "clientsecret",
        "authtoken",
        "secretkey",
    ];
    // A reference to a field (`$old_password`) or a name of a type is no secret.
    if text.is_empty() || text.starts_with('$') {
        return false;
    }
    let plain: String = key
        .rsplit('.')
        .next()
        .unwrap_or(key)
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_lowercase();
    NAMES.contains(&plain.as_str()) || looks_secret(text)
}

/// An access key, a private key, or a URL with a password.
pub fn looks_secret(text: &str) -> bool {
    let access_key = text.match_indices("AKIA").any(|(at, _)| {
        let id: Vec<u8> = text[at + 4..].bytes().take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit()).collect();
        id.len() == 16
    });
    access_key
        || (text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----"))
        || text.contains("://") && url_passwords(text) != *text
}

/// The password part of a URL, as written.
fn password_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    Some(&rest[password_at(rest)?]).filter(|password| !password.is_empty())
}

fn url_passwords(input: &str) -> String {
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end =
            after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>')).unwrap_or(after.len());
        let (url, tail) = after.split_at(end);
        // A bare user part may itself be a token (`https://ghs_…@host`).
        let secret = password_at(url).or_else(|| authority(url).rfind('@').map(|at| 0..at));
        match secret {
            Some(secret) => out.extend([&url[..secret.start], "****", &url[secret.end..]]),
            None => out.push_str(url),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b20_passwords_of_urls_vanish() {
        for (input, expected) in [
            ("connect postgres://u:hunter2@h:5432/db failed", "connect postgres://u:****@h:5432/db failed"),
            ("https://ghs_abc@github.com/o/r", "https://****@github.com/o/r"),
            ("see https://example.com/a@b", "see https://example.com/a@b"),
            ("postgres://u:p@ss@h/db", "postgres://u:****@h/db"),
            ("no url: a@b", "no url: a@b"),
            ("`postgres://u:TOP#SEC@h/x`", "`postgres://u:****@h/x`"),
            ("redis://u:TOP/SEC@h/0 and mongodb://u:T?P@h", "redis://u:****@h/0 and mongodb://u:****@h"),
            ("postgres://h:5432/db?user=a@b", "postgres://h:5432/db?user=a@b"),
        ] {
            assert_eq!(text(input), expected);
        }
        assert_eq!(url("postgres:u:TOPSEC@h/db"), "postgres:****@h/db");
        assert_eq!(url("sqlite:/a/b.db"), "sqlite:/a/b.db");
        assert!(is_cut_short("redis://u:TOP/SEC@h") && !is_cut_short("postgres://h:5432/db?user=a@b"));
    }

    #[test]
    fn b20_secrets_vanish_from_json_too() {
        register("plan\"ted\nacross-lines");
        let line = serde_json::json!({ "m": "it is plan\"ted\nacross-lines" }).to_string();
        assert_eq!(text(&line), r#"{"m":"it is ****"}"#);
    }

    #[test]
    fn b20_registered_secrets_vanish_wherever_they_stand() {
        register_url("postgres://u:pl%40nted-9@h/db");
        assert_eq!(text("password pl@nted-9 or pl%40nted-9"), "password **** or ****");
    }
}
