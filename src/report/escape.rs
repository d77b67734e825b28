//! Text that others wrote, made safe for GitHub's Markdown: it can neither call people, nor link, nor break out of
//! its table, fence or comment (GITHUB 3).

/// After `@` and `#` it keeps GitHub from making a mention or a reference; people do not see it.
const ZERO_WIDTH: char = '\u{200b}';

/// GitHub refuses comments above this many characters.
pub const COMMENT_LIMIT: usize = 65_536;
/// Characters of a server's output that are shown, so that three failures and what to do about them fit a comment.
const TAIL_LIMIT: usize = 12_000;
/// GitHub refuses fields of a check run above this many characters.
pub const CHECK_LIMIT: usize = 65_535;

/// One line of plain text: no markup, no mention, no reference, no link; line breaks become blanks.
pub fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = '\0';
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() || is_direction(c) => {}
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '|' | '~' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            '@' | '#' => {
                out.push(c);
                out.push(ZERO_WIDTH);
            }
            // `://` and `www.` would become links by themselves.
            '/' if before == ':' => {
                out.push(ZERO_WIDTH);
                out.push('/');
            }
            '.' if out.len() >= 3 && out.as_bytes()[out.len() - 3..].eq_ignore_ascii_case(b"www") => {
                out.push(ZERO_WIDTH);
                out.push('.');
            }
            c => out.push(c),
        }
        before = c;
    }
    out
}

/// Characters that reverse the direction of text, by which a line could show something else than it says.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A code span whose ticks outnumber those inside. Safe in a table too.
pub fn code(text: &str) -> String {
    let text: String = text
        .chars()
        .filter(|c| !is_direction(*c))
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        // Even inside a code span a bar ends the cell of a table.
        .replace('|', "\\|");
    if text.trim().is_empty() {
        return "(empty)".to_owned();
    }
    let ticks = "`".repeat(longest_run(&text, '`') + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// Our own sentences: what stands in backticks becomes a code span, the rest [`inline`] text. Whatever the values are,
/// each part is escaped by itself.
pub fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    // An odd number of ticks is not ours.
    if parts.len().is_multiple_of(2) {
        return inline(text);
    }
    parts
        .iter()
        .enumerate()
        .map(|(i, part)| match i % 2 {
            0 => inline_people(part),
            _ if part.is_empty() => "\\`\\`".to_owned(),
            _ => code(part),
        })
        .collect()
}

/// [`inline`], with `@login` and `@org/team` as code spans, which read better than a mention with a hidden character.
fn inline_people(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let name_end = rest[at + 1..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/')))
            .map_or(rest.len(), |n| at + 1 + n);
        out.push_str(&inline(&rest[..at]));
        if name_end > at + 1 {
            out.push_str(&code(&rest[at..name_end]));
        } else {
            out.push_str(&inline("@"));
        }
        rest = &rest[name_end..];
    }
    out.push_str(&inline(rest));
    out
}

/// A fenced block whose fence is longer than any in the text; ends with a line break.
pub fn fence(language: &str, text: &str) -> String {
    let ticks = "`".repeat(longest_run(text, '`').max(2) + 1);
    let text: String =
        text.chars().filter(|c| !is_direction(*c) && (!c.is_control() || matches!(c, '\n' | '\t'))).collect();
    format!("{ticks}{language}\n{}\n{ticks}\n", text.trim_end_matches('\n'))
}

/// A folded block; `title` is HTML that the caller has made safe, `body` Markdown. The blank line behind it lets GitHub
/// read what follows as Markdown again.
pub fn details(title: &str, body: &str) -> String {
    format!("<details><summary>{title}</summary>\n\n{}\n\n</details>\n\n", body.trim_end())
}

/// Text for the inside of an HTML element.
pub fn html(text: &str) -> String {
    inline(text).replace('\\', "")
}

/// A link that only goes where the caller says; without an address the text stands alone. `text` is Markdown already.
pub fn link(text: &str, address: Option<&str>) -> String {
    match address {
        Some(address) if address.starts_with("https://") || address.starts_with("http://") => {
            let safe: String = address
                .chars()
                .filter(|c| !c.is_control() && !c.is_whitespace())
                .map(|c| match c {
                    '(' => "%28".to_owned(),
                    ')' => "%29".to_owned(),
                    '<' => "%3C".to_owned(),
                    '>' => "%3E".to_owned(),
                    '|' => "%7C".to_owned(),
                    '`' => "%60".to_owned(),
                    '\\' => "%5C".to_owned(),
                    c => c.to_string(),
                })
                .collect();
            format!("[{text}]({safe})")
        }
        Some(_) | None => text.to_owned(),
    }
}

/// The path of a file as part of a web address: each name percent-encoded.
pub fn path_in_url(path: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    path.split('/').map(|name| utf8_percent_encode(name, NAME).to_string()).collect::<Vec<_>>().join("/")
}

/// The last `lines` lines of an output, and no more than fits a comment, with a word about the rest: what went wrong
/// stands at the end.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    let left_out = all.len().saturating_sub(lines);
    let kept = all[left_out..].join("\n");
    let excess = kept.chars().count().saturating_sub(TAIL_LIMIT);
    if excess > 0 {
        let end: String = kept.chars().skip(excess).collect();
        return format!("… everything before the last {TAIL_LIMIT} characters is left out\n{end}");
    }
    if left_out == 0 { kept } else { format!("… {left_out} lines left out\n{kept}") }
}

/// `text` in at most `limit` characters: cut at the end of a line, open fences and folds closed, `note` (Markdown) as
/// the last line. Text within the limit is not touched.
pub fn cut_at(text: &str, limit: usize, note: &str) -> String {
    if length(text) <= limit {
        return text.to_owned();
    }
    let mut state = Open::default();
    let mut kept = String::new();
    let mut used = 0;
    // What the kept text needs behind it to be whole.
    let mut closing = format!("\n\n{note}\n");
    for line in text.split_inclusive('\n') {
        let mut next = state.clone();
        next.read(line);
        let needed = format!("{}\n{note}\n", next.closing());
        if used + length(line) + length(&needed) > limit {
            break;
        }
        used += length(line);
        kept.push_str(line);
        state = next;
        closing = needed;
    }
    if kept.is_empty() {
        // One line longer than everything allowed.
        let room = limit.saturating_sub(length(&closing));
        let mut taken = 0;
        kept = text
            .chars()
            .take_while(|c| {
                taken += c.len_utf16();
                taken <= room
            })
            .collect();
    }
    kept.push_str(&closing);
    kept
}

/// Length as the strictest reading of "characters" counts: UTF-16 units.
fn length(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// What is open at some line: a fence, folds.
#[derive(Debug, Clone, Default)]
struct Open {
    fence: Option<String>,
    folds: usize,
}

impl Open {
    fn read(&mut self, line: &str) {
        let line = line.trim_end();
        let ticks: String = line.chars().take_while(|c| *c == '`').collect();
        match &self.fence {
            Some(fence) => {
                if ticks.len() >= fence.len() && line.len() == ticks.len() {
                    self.fence = None;
                }
            }
            None if ticks.len() >= 3 => self.fence = Some(ticks),
            None => {
                self.folds += line.matches("<details>").count();
                self.folds = self.folds.saturating_sub(line.matches("</details>").count());
            }
        }
    }

    fn closing(&self) -> String {
        let mut out = String::from("\n");
        if let Some(fence) = &self.fence {
            out.push_str(fence);
            out.push('\n');
        }
        for _ in 0..self.folds {
            out.push_str("\n</details>\n");
        }
        out
    }
}

fn longest_run(text: &str, of: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_of_others_becomes_markup() {
        for (input, expected) in [
            ("hi @alice", "hi @\u{200b}alice"),
            ("<!-- godwit:summary -->", "&lt;\\!-- godwit:summary --&gt;"),
            ("a | b", "a \\| b"),
            ("[x](https://evil.example)", "\\[x\\](https:\u{200b}//evil.example)"),
            ("www.evil.example", "www\u{200b}.evil.example"),
            ("fixes #1", "fixes #\u{200b}1"),
            ("two\nlines", "two lines"),
            ("abc\u{202e}def", "abcdef"),
        ] {
            assert_eq!(inline(input), expected);
        }
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`x`"), "`` `x` ``");
        assert_eq!(code("a|b\nc"), "`a\\|b c`");
        assert_eq!(prose("only @bob holds `dba|x`"), "only `@bob` holds `dba\\|x`");
        assert_eq!(prose("a ` @x"), "a \\` @\u{200b}x");
        assert_eq!(link("x", Some("javascript:alert(1)")), "x");
        assert_eq!(link("x", Some("https://h/a(b) c")), "[x](https://h/a%28b%29c)");
        assert_eq!(path_in_url("a b/c#d.sql"), "a%20b/c%23d.sql");
        assert!(fence("sql", "```\n@all").starts_with("````sql\n"));
    }

    #[test]
    fn what_is_cut_is_closed() {
        let text =
            format!("# head\n<details><summary>x</summary>\n\n```sql\n{}```\n</details>\n", "select 1;\n".repeat(50));
        let cut = cut_at(&text, 200, "_cut_");
        assert!(length(&cut) <= 200);
        assert!(cut.ends_with("```\n\n</details>\n\n_cut_\n"), "{cut}");
    }

    proptest! {
        #[test]
        fn a_cut_text_fits_and_is_balanced(
            lines in prop::collection::vec("(```|````|<details>|</details>|[a-zäß😀 ]{0,12})", 0..40),
            limit in 60usize..200,
        ) {
            let text = lines.join("\n");
            let cut = cut_at(&text, limit, "_cut_");
            prop_assert!(length(&cut) <= limit.max(length(&text).min(limit)));
            if cut != text {
                let mut open = Open::default();
                for line in cut.lines() {
                    open.read(line);
                }
                prop_assert!(open.fence.is_none() && open.folds == 0, "{cut}");
                prop_assert!(cut.ends_with("_cut_\n"));
            }
        }

        #[test]
        fn the_failing_end_is_kept(
            lines in prop::collection::vec("[a-zäß😀 ]{0,40}", 0..200), wide in 0usize..40_000, most in 1usize..80,
        ) {
            let text = format!("{}\n{}THE END", lines.join("\n"), "é".repeat(wide));
            let out = tail(&text, most);
            prop_assert!(out.ends_with("THE END"));
            prop_assert!(out.chars().count() <= TAIL_LIMIT + 100);
        }

        #[test]
        fn no_mention_and_no_comment_mark_survives(text in "\\PC{0,60}") {
            let out = inline(&text);
            prop_assert!(!out.contains('<'));
            let mut chars = out.chars().peekable();
            while let Some(c) = chars.next() {
                if c == '@' {
                    prop_assert_eq!(chars.peek(), Some(&'\u{200b}'));
                }
            }
            let span = code(&text);
            prop_assert!(!span.contains('\n'));
        }
    }
}
