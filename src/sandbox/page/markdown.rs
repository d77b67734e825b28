//! Markdown as GitHub shows it, with next to no HTML let through.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// HTML elements that comments may use; all others are shown as text.
const ALLOWED: [&str; 16] = [
    "<details>",
    "</details>",
    "<details open>",
    "<summary>",
    "</summary>",
    "<br>",
    "<br/>",
    "<br />",
    "<sub>",
    "</sub>",
    "<sup>",
    "</sup>",
    "<b>",
    "</b>",
    "<code>",
    "</code>",
];

/// Renders `text`. HTML comments vanish, raw HTML but for [`ALLOWED`] is escaped, links go to the web only, images
/// become their descriptions (nothing is loaded from elsewhere).
pub(super) fn render(text: &str) -> String {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_GFM;
    let mut events = Vec::new();
    let mut block: Option<String> = None;
    for event in Parser::new_ext(text, options) {
        match event {
            Event::Start(Tag::HtmlBlock) => block = Some(String::new()),
            Event::End(TagEnd::HtmlBlock) => {
                events.push(Event::Html(CowStr::from(clean(&block.take().unwrap_or_default()))));
            }
            Event::Html(raw) => match &mut block {
                Some(block) => block.push_str(&raw),
                None => events.push(Event::Html(CowStr::from(clean(&raw)))),
            },
            Event::InlineHtml(raw) => events.push(Event::InlineHtml(CowStr::from(clean(&raw)))),
            Event::Start(Tag::Image { .. }) => events.push(Event::Text(CowStr::from("🖼 "))),
            Event::End(TagEnd::Image) => {}
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let dest_url = if is_web(&dest_url) { dest_url } else { CowStr::from("#") };
                events.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
            }
            other => events.push(other),
        }
    }
    let mut out = String::new();
    html::push_html(&mut out, events.into_iter());
    out
}

fn is_web(url: &str) -> bool {
    let lower = url.to_ascii_lowercase();
    ["http://", "https://", "mailto:", "#", "/"].iter().any(|start| lower.starts_with(start))
}

/// Drops comments, keeps the allowed elements, escapes everything else.
fn clean(raw: &str) -> String {
    let mut out = String::new();
    let mut rest = raw;
    while let Some(at) = rest.find('<') {
        out.push_str(&escape(&rest[..at]));
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let end = rest.find('>').map_or(rest.len(), |e| e + 1);
        let tag = rest[..end].to_ascii_lowercase();
        if ALLOWED.contains(&tag.as_str()) {
            out.push_str(&tag);
        } else {
            out.push_str(&escape(&rest[..end]));
        }
        rest = &rest[end..];
    }
    out.push_str(&escape(rest));
    out
}

/// Text made safe for HTML, attributes included.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_run_is_shown_as_text() {
        for (text, absent) in [
            ("<script>alert(1)</script>", "<script"),
            ("a <img src=x onerror=alert(1)> b", "<img"),
            ("<details ontoggle=alert(1)>x</details>", "<details ontoggle"),
            ("[x](javascript:alert(1))", "javascript:"),
            ("[x](JaVaScRiPt:alert(1))", "aScRiPt:"),
            ("![x](https://elsewhere.example/a.png)", "elsewhere"),
            ("`<b>`", "<b>"),
            ("<svg/onload=alert(1)>", "<svg"),
        ] {
            let html = render(text);
            assert!(!html.contains(absent), "{text} gave {html}");
        }
    }

    #[test]
    fn what_the_bot_writes_is_rendered() {
        let html = render(
            "<!-- godwit:summary -->\n## Risk\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- [x] done\n\n<details><summary>More</summary>\n\n**bold**\n\n</details>\n",
        );
        for part in
            ["<table>", "checked", "<details>", "<summary>More</summary>", "<strong>bold</strong>", "</details>"]
        {
            assert!(html.contains(part), "no {part} in {html}");
        }
        let html = render("<details><summary>➖ <b>staging</b> on <code>shop</code></summary>\n\nx\n\n</details>\n");
        assert!(html.contains("<b>staging</b> on <code>shop</code>") && !html.contains("&lt;"), "{html}");
        assert!(!html.contains("godwit:summary"));
        assert_eq!(render("<!-- a\nb --> c").trim(), "c");
    }
}
