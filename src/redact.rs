//! Credentials taken out of text before anyone sees it (B-20).

use std::ops::Range;
use std::sync::{LazyLock, RwLock};

use aho_corasick::AhoCorasick;

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
fn password_at(after: &str) -> Option<Range<usize>> {
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

/// `input` without any registered secret, without the password part of anything that looks like a URL or a connection
/// string, and without the keys of known makers.
pub fn text(input: &str) -> String {
    let mut out = input.to_owned();
    if let Ok(secrets) = SECRETS.read() {
        for secret in secrets.iter() {
            if out.contains(secret.as_str()) {
                out = out.replace(secret.as_str(), "****");
            }
        }
    }
    let out = url_passwords(&out);
    let secrets = secrets_in(&out);
    if secrets.is_empty() { out } else { blotted(&out, secrets) }
}

/// Whether `text`, the value of `key`, is a secret: named like one, or looking like one.
pub fn is_secret(key: &str, text: &str) -> bool {
    // A reference to a field (`$old_password`) or a name of a type is no secret.
    if text.is_empty() || text.starts_with('$') || is_sealed(text) {
        return false;
    }
    is_name_of_secret(key) || looks_secret(text)
}

/// Whether what has this name (of a key, a column, an option) is a secret.
pub fn is_name_of_secret(name: &str) -> bool {
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
    let last = name.rsplit('.').next().unwrap_or(name);
    let plain: String = last.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    NAMES.contains(&plain.as_str())
}

/// An access key, a private key, or a URL or a connection string with a password.
pub fn looks_secret(text: &str) -> bool {
    !secrets_in(text).is_empty()
        || (text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----"))
        || text.contains("://") && url_passwords(text) != *text
}

/// Where secrets stand that can be told by their looks, in order and apart from each other: passwords of URLs and of
/// libpq's connection strings, and keys that begin as their makers let them begin.
pub fn secrets_in(text: &str) -> Vec<Range<usize>> {
    let mut found = tokens(text);
    found.extend(connection_passwords(text, false));
    found.extend(url_secrets(text).into_iter().filter(|(_, is_password)| *is_password).map(|(range, _)| range));
    found.retain(|range| !is_placeholder(&text[range.clone()]));
    found.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
    let mut end = 0;
    found.retain(|range| {
        range.start >= end && {
            end = range.end;
            true
        }
    });
    found
}

/// Whether a text is a value that was encrypted before it was written down [S4-84].
pub fn is_sealed(text: &str) -> bool {
    text.starts_with("ENC[age:") && text.ends_with(']')
}

/// Whether a text stands where a secret is filled in later, or where none is.
pub fn is_placeholder(text: &str) -> bool {
    const WORDS: [&str; 14] = [
        "changeme",
        "change_me",
        "disabled",
        "dummy",
        "example",
        "invalid",
        "none",
        "null",
        "password",
        "placeholder",
        "redacted",
        "removed",
        "secret",
        "unset",
    ];
    let first = text.chars().next().unwrap_or('*');
    let repeats =
        text.chars().all(|c| c == first) && (!first.is_alphanumeric() || first.is_alphabetic() && text.len() > 2);
    repeats
        || is_sealed(text)
        || text.starts_with(['$', '<', '{', '%', ':', '@'])
        || WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// How a key begins, how many letters follow at least, and which.
type Kind = (&'static str, usize, fn(&u8) -> bool);

/// Keys of known makers: AWS, GitHub, GitLab, Stripe, Slack, npm, Google.
const KINDS: [Kind; 16] = [
    ("AKIA", 16, is_upper_or_digit),
    ("ASIA", 16, is_upper_or_digit),
    ("AIza", 35, is_of_token),
    ("ghp_", 16, u8::is_ascii_alphanumeric),
    ("gho_", 16, u8::is_ascii_alphanumeric),
    ("ghu_", 16, u8::is_ascii_alphanumeric),
    ("ghs_", 16, u8::is_ascii_alphanumeric),
    ("ghr_", 16, u8::is_ascii_alphanumeric),
    ("github_pat_", 22, is_of_token),
    ("glpat-", 20, is_of_token),
    ("npm_", 36, u8::is_ascii_alphanumeric),
    ("rk_live_", 10, u8::is_ascii_alphanumeric),
    ("sk_live_", 10, u8::is_ascii_alphanumeric),
    ("xoxa-", 20, is_of_token),
    ("xoxb-", 20, is_of_token),
    ("xoxp-", 20, is_of_token),
];

/// How every one of [`KINDS`] begins, looked for at once.
static BEGINNINGS: LazyLock<AhoCorasick> =
    LazyLock::new(|| AhoCorasick::new(KINDS.map(|(begins, ..)| begins)).expect("a few short words"));

/// Where keys of known makers stand.
fn tokens(text: &str) -> Vec<Range<usize>> {
    let key = |begins: aho_corasick::Match| {
        let (_, least, belongs) = KINDS[begins.pattern().as_usize()];
        let within = text[..begins.start()].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let letters = text[begins.end()..].bytes().take_while(belongs).count();
        let exact = text[begins.range()].ends_with("IA") && letters != least;
        (!within && !exact && letters >= least).then(|| begins.start()..begins.end() + letters)
    };
    BEGINNINGS.find_iter(text).filter_map(key).collect()
}

fn is_upper_or_digit(byte: &u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn is_of_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The values of `password=…` in libpq's connection strings. Where the text is not known to be one (`known`), another of
/// its keywords must stand beside it: `password=` alone may be anybody's.
pub fn connection_passwords(text: &str, known: bool) -> Vec<Range<usize>> {
    const KEYWORDS: [&str; 14] = [
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "dbname",
        "host",
        "hostaddr",
        "keepalives",
        "options",
        "port",
        "service",
        "sslmode",
        "target_session_attrs",
        "user",
    ];
    let is_pair = |word: &str| {
        let word = word.trim_start_matches(['\'', '"', '`', '(']);
        let separated = word.ends_with([',', ';']);
        word.split_once('=').is_some_and(|(key, _)| !separated && KEYWORDS.contains(&key))
    };
    let mut found = Vec::new();
    for (at, word) in text.match_indices("password") {
        let before = &text[..at];
        if before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) {
            continue;
        }
        let Some(value) = text[at + word.len()..].trim_start().strip_prefix('=').map(str::trim_start) else { continue };
        // Within SQL the quotes of a value are doubled.
        let quote = ["''", "\\'", "'"].into_iter().find(|quote| value.starts_with(quote)).unwrap_or_default();
        let body = &value[quote.len()..];
        let end = match quote {
            "" => body
                .find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | '<' | '\\'))
                .unwrap_or(body.len()),
            // An open quote is none of a value's.
            quote => match body.find(quote).filter(|end| !body[..*end].contains(['\n', '"'])) {
                Some(end) => end,
                None => continue,
            },
        };
        let start = text.len() - body.len();
        let range = start..start + end;
        let behind = text[range.end..].trim_start_matches(['\'', '\\']);
        let spaced = behind.starts_with(char::is_whitespace);
        let beside = before.ends_with(char::is_whitespace)
            && before.split_whitespace().next_back().is_some_and(is_pair)
            || spaced && behind.split_whitespace().next().is_some_and(is_pair);
        // An assignment in SQL, in a list of several.
        let listed = quote.is_empty() && text[range.clone()].ends_with([',', ';']);
        if !range.is_empty() && (known || beside && !listed) {
            found.push(range);
        }
    }
    found
}

/// The password part of a URL, as written.
fn password_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    Some(&rest[password_at(rest)?]).filter(|password| !password.is_empty())
}

fn url_passwords(input: &str) -> String {
    blotted(input, url_secrets(input).into_iter().map(|(range, _)| range))
}

/// `input` with four stars for each of `ranges`, which are in order.
fn blotted(input: &str, ranges: impl IntoIterator<Item = Range<usize>>) -> String {
    let mut out = String::with_capacity(input.len());
    let mut at = 0;
    for range in ranges {
        out.extend([&input[at..range.start], "****"]);
        at = range.end;
    }
    out.push_str(&input[at..]);
    out
}

/// The secrets of everything in `input` that looks like a URL, and whether each is a password.
fn url_secrets(input: &str) -> Vec<(Range<usize>, bool)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = input[from..].find("://") {
        let start = from + at + 3;
        let after = &input[start..];
        let end =
            after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>')).unwrap_or(after.len());
        let url = &after[..end];
        // A bare user part may itself be a token (`https://ghs_…@host`).
        let secret = match password_at(url) {
            Some(password) => Some((password, true)),
            None => authority(url).rfind('@').map(|at| (0..at, false)),
        };
        found.extend(secret.map(|(range, is_password)| (start + range.start..start + range.end, is_password)));
        from = start + end;
    }
    found
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
    fn b20_x01_passwords_of_connection_strings_and_known_keys_vanish() {
        for (input, expected) in [
            ("CONNECTION 'host=h dbname=d password=hunter2'", "CONNECTION 'host=h dbname=d password=****'"),
            ("dblink('password=hunter2 host=h')", "dblink('password=**** host=h')"),
            ("'host=h password=''a b'' port=1'", "'host=h password=''****'' port=1'"),
            ("host=h password = 'a b' user=u", "host=h password = '****' user=u"),
            ("UPDATE t SET a = 1, password=b, host=c", "UPDATE t SET a = 1, password=b, host=c"),
            ("the option password=required", "the option password=required"),
            ("host=h sslpassword=x old_password=y", "host=h sslpassword=x old_password=y"),
            ("key AKIAIOSFODNN7EXAMPLE.", "key ****."),
            ("ghp_0123456789abcdefghij and sk_live_0123456789ab", "**** and ****"),
            ("ghp_short, task_live_0123456789ab", "ghp_short, task_live_0123456789ab"),
        ] {
            assert_eq!(text(input), expected);
        }
        for (secret, looks) in [
            ("postgres://root:pw@host/db", true),
            ("postgres://root:****@host/db", false),
            ("postgres://root:${PW}@host/db", false),
            ("host=h password=changeme", false),
            ("AKIAIOSFODNN7EXAMPL", false),
        ] {
            assert_eq!(!secrets_in(secret).is_empty(), looks, "{secret}");
        }
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
