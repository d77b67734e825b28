//! Which lines of a comment a person speaks: whole lines of paragraphs at the top of the text, as GitHub would render it.
//! Whatever is quoted, listed, code, mathematics, a table, a comment, or stands between tags of HTML is not spoken. Pure.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Elements that something can stand in. Others mean nothing to GitHub, and a paragraph ends by itself.
const ELEMENTS: &[&str] = &[
    "a",
    "abbr",
    "address",
    "article",
    "aside",
    "audio",
    "b",
    "big",
    "blockquote",
    "button",
    "canvas",
    "center",
    "cite",
    "code",
    "dd",
    "del",
    "details",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "fieldset",
    "figcaption",
    "figure",
    "font",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "i",
    "iframe",
    "ins",
    "kbd",
    "label",
    "main",
    "mark",
    "math",
    "nav",
    "noscript",
    "object",
    "ol",
    "picture",
    "pre",
    "q",
    "ruby",
    "s",
    "samp",
    "script",
    "section",
    "select",
    "small",
    "span",
    "strike",
    "strong",
    "style",
    "sub",
    "summary",
    "sup",
    "svg",
    "table",
    "template",
    "textarea",
    "title",
    "tt",
    "u",
    "ul",
];
/// What opens for the rest of the text once it is left open, whatever it stands in.
const FORMATTING: &[&str] = &["a", "b", "big", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u"];

/// What a comment says by lines, without the blanks around each; `addressed` says which of them are wanted.
pub fn lines(body: &str, addressed: impl Fn(&str) -> bool) -> Vec<&str> {
    // Most comments are about something else.
    if !body.split(['\n', '\r']).any(|line| addressed(line.trim())) {
        return Vec::new();
    }
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_MATH
        | Options::ENABLE_GFM;
    let mut html = Html::default();
    // How many open elements each container around the present place found when it began.
    let mut containers: Vec<usize> = Vec::new();
    let mut paragraph: Option<Paragraph> = None;
    let mut spoken = Vec::new();
    for (event, range) in Parser::new_ext(body, options).into_offset_iter() {
        match event {
            Event::Start(Tag::Paragraph) => {
                let free = containers.is_empty() && html.is_closed();
                paragraph = free.then(|| Paragraph { range, inner: Vec::new(), open: None });
            }
            Event::End(TagEnd::Paragraph) => {
                if let Some(paragraph) = paragraph.take() {
                    spoken.extend(paragraph.lines(body).filter(|line| addressed(line)));
                }
            }
            Event::Start(_) => match &mut paragraph {
                Some(paragraph) => paragraph.inner.push(range),
                None => containers.push(html.open.len()),
            },
            Event::End(end) if paragraph.is_none() => {
                let before = containers.pop().unwrap_or_default();
                if matches!(end, TagEnd::BlockQuote(_) | TagEnd::Item | TagEnd::FootnoteDefinition) {
                    html.leave(before);
                }
            }
            Event::Html(text) => html.read(&text),
            Event::InlineHtml(text) => {
                html.read(&text);
                if let Some(paragraph) = &mut paragraph {
                    // What stands between a tag and the one that ends it is not spoken.
                    let start = *paragraph.open.get_or_insert(range.start);
                    if html.is_closed() {
                        paragraph.inner.push(start..range.end);
                        paragraph.open = None;
                    }
                }
            }
            Event::Code(_) | Event::InlineMath(_) | Event::DisplayMath(_) => {
                if let Some(paragraph) = &mut paragraph {
                    paragraph.inner.push(range);
                }
            }
            Event::End(_)
            | Event::Text(_)
            | Event::FootnoteReference(_)
            | Event::SoftBreak
            | Event::HardBreak
            | Event::Rule
            | Event::TaskListMarker(_) => {}
        }
    }
    spoken
}

/// A paragraph at the top of the text.
struct Paragraph {
    range: Range<usize>,
    /// Where code, emphasis, links, mathematics and tags stand in it.
    inner: Vec<Range<usize>>,
    /// Where the tag begins that was not ended yet.
    open: Option<usize>,
}

impl Paragraph {
    /// Its lines that begin in plain text, as they stand in the source.
    fn lines(mut self, body: &str) -> impl Iterator<Item = &str> {
        self.inner.extend(self.open.map(|open| open..self.range.end));
        let text = body.get(self.range.clone()).unwrap_or_default();
        let mut next = self.range.start;
        text.split(['\n', '\r']).filter_map(move |line| {
            let at = next;
            next += line.len() + 1;
            let bare = line.trim_start_matches(' ');
            let begins = at + line.len() - bare.len();
            let inside = self.inner.iter().any(|inner| inner.start < begins && begins < inner.end);
            // Four columns look like code, whatever stands above.
            let indented = line.len() - bare.len() >= 4;
            (!inside && !indented).then(|| bare.trim_end())
        })
    }
}

/// What raw HTML has opened.
#[derive(Default)]
struct Html {
    open: Vec<String>,
    /// A comment or a tag was begun and not ended: nothing that follows is seen.
    broken: bool,
}

impl Html {
    fn is_closed(&self) -> bool {
        self.open.is_empty() && !self.broken
    }

    /// At the end of a container its elements end, besides those that only say how letters look.
    fn leave(&mut self, before: usize) {
        let mut at = 0;
        self.open.retain(|name| {
            at += 1;
            at <= before || FORMATTING.contains(&name.as_str())
        });
    }

    /// Reads a piece of raw HTML.
    fn read(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find('<').filter(|_| !self.broken) {
            rest = &rest[at + 1..];
            let end = if let Some(comment) = rest.strip_prefix("!--") {
                // `<!-->` and `<!--->` are whole comments.
                let whole = comment.starts_with('>') || comment.starts_with("->");
                comment.find(if whole { ">" } else { "-->" }).map(|end| &comment[end..])
            } else if rest.starts_with(['!', '?']) {
                rest.find('>').map(|end| &rest[end..])
            } else {
                self.tag(rest)
            };
            match end {
                Some(after) => rest = after,
                None => self.broken = true,
            }
        }
    }

    /// Reads a tag from behind its `<`; gives what follows, or nothing where it does not end.
    fn tag<'a>(&mut self, rest: &'a str) -> Option<&'a str> {
        let (closes, named) = rest.strip_prefix('/').map_or((false, rest), |named| (true, named));
        let length = named.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(named.len());
        let (name, mut after) = named.split_at(length);
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Some(rest);
        }
        loop {
            let at = after.find(['>', '"', '\''])?;
            let mark = after[at..].chars().next()?;
            after = &after[at + 1..];
            if mark == '>' {
                break;
            }
            after = &after[after.find(mark)? + 1..];
        }
        let name = name.to_ascii_lowercase();
        if ELEMENTS.contains(&name.as_str()) {
            if !closes {
                self.open.push(name);
            } else if let Some(at) = self.open.iter().rposition(|open| *open == name) {
                self.open.remove(at);
            }
        }
        Some(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn heard(body: &str) -> Vec<&str> {
        lines(body, |line| line.starts_with("/x"))
    }

    #[test]
    fn b12_what_is_quoted_listed_hidden_or_code_is_not_spoken() {
        for quiet in [
            "please /x",
            "`/x`",
            "> /x",
            "> quoted\n/x",
            "> - deep\n/x",
            "- /x",
            "- item\n/x",
            "1. item\n\n   /x",
            "- ```\n  /x\n  ```",
            "    /x",
            "\t/x",
            "text\n    /x",
            "```\n/x\n```",
            "~~~ sh\n/x\n```\n/x\n~~~",
            "````\n```\n/x\n````",
            "```\nnever closed\n/x",
            "`one\n/x\ntwo`",
            "``one ` \n/x\ntwo``",
            "<!--\n/x\n-->",
            "<!--\n\n/x\n\n-->",
            "<!-- /x -->",
            "<!-- a --> <!--\n/x\n-->",
            "<!-- a --> <!--\n\n/x\n\n-->",
            "word <!--\n/x\n-->",
            "<pre>\n/x\n</pre>",
            "<pre>\n\n/x\n\n</pre>",
            "<details>\n\n/x\n\n</details>",
            "<details><summary>log</summary>\n\n/x\n\n</details>",
            "<DETAILS open>\n\n/x",
            "<blockquote>\n\n/x\n\n</blockquote>",
            "<details title=\"\n\n/x\n\n\">",
            "<b>\n/x\n</b>",
            "word <kbd>\n/x\n</kbd>",
            "a <del>b\n\n/x",
            "<table><tr><td>\n\n/x\n\n</td></tr></table>",
            "| a |\n|---|\n/x",
            "[a]: <b>\n'title\n/x\n'",
            "[link\n/x\ntext](https://example.com)",
            "*one\n/x\ntwo*",
            "~~one\n/x\ntwo~~",
            "$$\n/x\n$$",
            "[^1]: note\n/x\n\nsee [^1]",
            "/x\n---",
            "# /x",
            "> [!NOTE]\n> /x",
            "- <details>\n\n  a\n\n  /x",
            "\\/x",
            "&#47;x",
        ] {
            assert_eq!(heard(quiet), [] as [&str; 0], "{quiet:?}");
        }
    }

    #[test]
    fn b12_a_whole_line_of_a_plain_paragraph_is_spoken() {
        for loud in [
            "/x",
            "  /x  ",
            "Hello\r\n/x\r\nbye",
            "```\ncode\n```\n/x",
            "> quoted\n\n/x",
            "<!-- a -->\n/x",
            "<details>\n\nlog\n\n</details>\n\n/x",
            "<br>\n\n/x",
            "<img src=\"a\">\n\n/x",
            "a `b` c\n/x",
            "- item\n\n/x",
            "> <details>\n\n/x",
            "Vec<String>\n/x",
            "# Title\n/x",
            "a <b>bold</b> word\n/x",
            "| a |\n|---|\n| b |\n\n/x",
            "costs $5\n/x",
        ] {
            assert_eq!(heard(loud), ["/x"], "{loud:?}");
        }
        let reason = "/x staging `code` *stars* <b>x</b> [a](b) & more";
        assert_eq!(heard(&format!("{reason}\n/x two\n\n/x three")), [reason, "/x two", "/x three"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn any_text_is_read_and_what_is_heard_stands_in_it(
            pieces in proptest::collection::vec(
                prop_oneof![
                    "[ -~é\u{2028}\n\r\t]{0,12}",
                    Just("/x a\n".to_owned()),
                    Just("\n\n".to_owned()),
                    Just("<!--".to_owned()),
                    Just("-->".to_owned()),
                    Just("<details title='é".to_owned()),
                    Just("</details>".to_owned()),
                    Just("```\n".to_owned()),
                    Just("> ".to_owned()),
                    Just("- ".to_owned()),
                    Just("$$".to_owned()),
                ],
                0..24,
            ),
        ) {
            let body = pieces.concat();
            for line in heard(&body) {
                prop_assert!(body.split(['\n', '\r']).any(|l| l.trim() == line.trim()), "{line:?} of {body:?}");
            }
        }
    }
}
