//! Passwords that stand in a script, blotted out where the script is shown.

use std::borrow::Cow;

/// `sql` with the text of every literal behind the word `PASSWORD` as stars; each character keeps its place.
pub fn masked(sql: &str) -> Cow<'_, str> {
    let lower = sql.to_ascii_lowercase();
    if !lower.contains("password") {
        return Cow::Borrowed(sql);
    }
    let mut out = String::with_capacity(sql.len());
    let mut at = 0;
    for (found, word) in lower.match_indices("password") {
        // The word as a literal of its own, or inside of one that is blotted out already.
        if found < at || sql[..found].ends_with('\'') {
            continue;
        }
        let behind = found + word.len();
        let rest = &sql[behind..];
        let blanks = rest.len() - rest.trim_start().len();
        let literal = rest[blanks..].strip_prefix(['e', 'E']).unwrap_or(&rest[blanks..]);
        let Some(body) = literal.strip_prefix('\'') else { continue };
        let start = sql.len() - body.len();
        // A doubled quote is part of the text; an open one hides the rest.
        let mut end = start;
        loop {
            match sql[end..].find('\'') {
                None => break end = sql.len(),
                Some(n) if sql[end + n + 1..].starts_with('\'') => end += n + 2,
                Some(n) => break end += n,
            }
        }
        out.push_str(&sql[at..start]);
        out.extend(sql[start..end].chars().map(|c| if c == '\n' { c } else { '*' }));
        at = end;
    }
    out.push_str(&sql[at..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_become_stars_of_the_same_length() {
        for (sql, shown) in [
            ("create role a password 'sé''x' login;", "create role a password '*****' login;"),
            ("ALTER USER a ENCRYPTED PASSWORD\n E'x\ny';", "ALTER USER a ENCRYPTED PASSWORD\n E'*\n*';"),
            ("alter role a password 'open", "alter role a password '****"),
            ("alter role a password null; select 'password';", "alter role a password null; select 'password';"),
            ("select 1;", "select 1;"),
        ] {
            assert_eq!(masked(sql), shown);
        }
    }
}
