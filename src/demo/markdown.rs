//! Markdown as a person reads it on a terminal: the bot's comments rendered, with tables, folded parts and code.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use pulldown_cmark::{Alignment, Event, Options, Parser, Tag, TagEnd};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const CODE: Style = AnsiColor::Cyan.on_default();
const HEADING: Style = AnsiColor::Blue.on_default().bold();
const LINK: Style = Style::new().underline();

/// Renders `source` for a terminal of `width` columns; every line begins with `indent`. Styles are ANSI escapes, which
/// the caller's stream takes out where they are not wanted.
pub fn render(source: &str, width: usize, indent: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS | Options::ENABLE_STRIKETHROUGH;
    let mut page = Page { width: width.saturating_sub(indent.chars().count()).max(20), ..Page::default() };
    for event in Parser::new_ext(source, options) {
        page.event(event);
    }
    page.end_block();
    let mut out = String::new();
    let mut blank = true;
    for line in page.lines {
        // One empty line at most, none in front.
        let empty = line.is_empty();
        if !(empty && blank) {
            let _ = writeln!(out, "{}", format!("{indent}{line}").trim_end());
        }
        blank = empty;
    }
    out.trim_end().to_owned() + "\n"
}

/// A piece of text in one style; words of it are wrapped.
#[derive(Clone)]
struct Piece {
    text: String,
    style: Style,
}

#[derive(Default)]
struct Page {
    width: usize,
    lines: Vec<String>,
    inline: Vec<Piece>,
    styles: Vec<Style>,
    lists: Vec<Option<u64>>,
    marker: Option<String>,
    quote: usize,
    code: Option<String>,
    table: Option<Table>,
    /// Depth of `<details>`; what is inside is shown indented under its summary.
    details: usize,
    in_summary: bool,
}

#[derive(Default)]
struct Table {
    alignments: Vec<Alignment>,
    rows: Vec<Vec<Vec<Piece>>>,
    header_rows: usize,
}

impl Page {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None => self.push(&text),
            },
            Event::Code(code) => self.push_styled(&code, CODE),
            Event::SoftBreak => self.push(" "),
            Event::HardBreak => self.push("\n"),
            Event::Rule => {
                self.end_block();
                let rule = "─".repeat(self.width.min(40));
                self.lines.push(format!("{DIM}{rule}{DIM:#}"));
                self.lines.push(String::new());
            }
            Event::TaskListMarker(done) => self.push(if done { "☑ " } else { "☐ " }),
            Event::Html(html) | Event::InlineHtml(html) => self.html(&html),
            Event::FootnoteReference(_) | Event::InlineMath(_) | Event::DisplayMath(_) => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { .. } => {
                self.end_block();
                self.styles.push(HEADING);
            }
            Tag::Strong => self.styles.push(BOLD),
            Tag::Emphasis => self.styles.push(Style::new().italic()),
            Tag::Strikethrough => self.styles.push(Style::new().strikethrough()),
            Tag::Link { .. } => self.styles.push(LINK),
            Tag::BlockQuote(_) => {
                self.end_block();
                self.quote += 1;
            }
            Tag::CodeBlock(_) => {
                self.end_block();
                self.code = Some(String::new());
            }
            Tag::List(first) => {
                if self.lists.is_empty() {
                    self.end_block();
                } else {
                    self.flush();
                }
                self.lists.push(first);
            }
            Tag::Item => {
                self.flush();
                self.marker = Some(match self.lists.last_mut() {
                    Some(Some(n)) => {
                        *n += 1;
                        format!("{}. ", *n - 1)
                    }
                    Some(None) | None => "• ".to_owned(),
                });
            }
            Tag::Table(alignments) => {
                self.end_block();
                self.table = Some(Table { alignments, ..Table::default() });
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.rows.push(Vec::new());
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph => {
                if self.lists.is_empty() {
                    self.end_block();
                } else {
                    self.flush();
                }
            }
            TagEnd::Heading(_) => {
                self.end_block();
                self.styles.pop();
            }
            TagEnd::Strong | TagEnd::Emphasis | TagEnd::Strikethrough | TagEnd::Link => {
                self.styles.pop();
            }
            TagEnd::BlockQuote(_) => {
                self.end_block();
                self.quote = self.quote.saturating_sub(1);
            }
            TagEnd::CodeBlock => {
                if let Some(code) = self.code.take() {
                    for line in code.trim_end().lines() {
                        let prefix = self.prefix();
                        self.lines.push(format!("{prefix}{DIM}│{DIM:#} {CODE}{line}{CODE:#}"));
                    }
                    self.lines.push(String::new());
                }
            }
            TagEnd::Item => self.flush(),
            TagEnd::List(_) => {
                self.flush();
                self.lists.pop();
                if self.lists.is_empty() {
                    self.lines.push(String::new());
                }
            }
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.inline);
                if let Some(row) = self.table.as_mut().and_then(|t| t.rows.last_mut()) {
                    row.push(cell);
                }
            }
            TagEnd::TableHead => {
                if let Some(table) = &mut self.table {
                    table.header_rows = table.rows.len();
                }
            }
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    self.draw(&table);
                }
            }
            _ => {}
        }
    }

    /// `<details>`, `<summary>` and `<br>` mean something; comments and every other tag are not shown.
    fn html(&mut self, html: &str) {
        let mut rest = html;
        while let Some(start) = rest.find('<') {
            let (text, tagged) = rest.split_at(start);
            self.html_text(text);
            if let Some(comment) = tagged.strip_prefix("<!--") {
                rest = comment.split_once("-->").map_or("", |(_, after)| after);
                continue;
            }
            let (tag, after) = tagged.split_once('>').unwrap_or((tagged, ""));
            match tag.trim_start_matches('<').split_whitespace().next().unwrap_or("") {
                "details" => {
                    self.end_block();
                }
                "summary" => {
                    self.in_summary = true;
                    self.push_styled("▸ ", DIM);
                }
                "/summary" => {
                    self.in_summary = false;
                    self.flush();
                    self.details += 1;
                }
                "/details" => {
                    self.end_block();
                    self.details = self.details.saturating_sub(1);
                }
                "br" | "br/" => self.push("\n"),
                "b" | "strong" => self.styles.push(BOLD),
                "/b" | "/strong" => {
                    self.styles.pop();
                }
                "code" => self.styles.push(CODE),
                "/code" => {
                    self.styles.pop();
                }
                _ => {}
            }
            rest = after;
        }
        self.html_text(rest);
    }

    fn html_text(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.push(text.trim_matches('\n'));
        }
    }

    fn push(&mut self, text: &str) {
        let style = self.styles.last().copied().unwrap_or_default();
        self.push_styled(text, style);
    }

    fn push_styled(&mut self, text: &str, style: Style) {
        self.inline.push(Piece { text: text.to_owned(), style });
    }

    fn prefix(&self) -> String {
        let mut prefix = "  ".repeat(self.details);
        for _ in 0..self.quote {
            let _ = write!(prefix, "{DIM}▏{DIM:#} ");
        }
        prefix
    }

    /// Ends a paragraph, with an empty line behind it.
    fn end_block(&mut self) {
        let had = !self.inline.is_empty();
        self.flush();
        if had {
            self.lines.push(String::new());
        }
    }

    /// Wraps what has been collected.
    fn flush(&mut self) {
        let pieces = std::mem::take(&mut self.inline);
        let marker = self.marker.take();
        if pieces.is_empty() && marker.is_none() {
            return;
        }
        let depth = self.lists.len();
        let outer = format!("{}{}", self.prefix(), "  ".repeat(depth.saturating_sub(1)));
        let first = marker.clone().unwrap_or_else(|| if depth > 0 { "  ".to_owned() } else { String::new() });
        let hanging = " ".repeat(first.chars().count());
        let room = self.width.saturating_sub(2 * (self.details + self.quote + depth) + first.chars().count()).max(20);
        for (n, line) in wrap(&pieces, room).into_iter().enumerate() {
            self.lines.push(format!("{outer}{}{line}", if n == 0 { &first } else { &hanging }));
        }
    }

    fn draw(&mut self, table: &Table) {
        let columns = table.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![1; columns];
        for row in &table.rows {
            for (i, cell) in row.iter().enumerate() {
                widths[i] = widths[i].max(length(cell));
            }
        }
        // Shrink the widest columns until the table fits; their cells wrap.
        let room = self.width.saturating_sub(2 * self.details + 3 * columns.saturating_sub(1)).max(columns * 8);
        while widths.iter().sum::<usize>() > room {
            let Some(widest) = widths.iter_mut().max() else { break };
            *widest -= 1;
        }
        let prefix = self.prefix();
        for (n, row) in table.rows.iter().enumerate() {
            let cells: Vec<Vec<String>> = (0..columns)
                .map(|i| row.get(i).map_or_else(Vec::new, |c| wrap(&styled(c, n < table.header_rows), widths[i])))
                .collect();
            for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0).max(1) {
                let parts: Vec<String> = (0..columns)
                    .map(|i| {
                        let text = cells[i].get(line).cloned().unwrap_or_default();
                        let pad = " ".repeat(widths[i].saturating_sub(visible(&text)));
                        match table.alignments.get(i) {
                            Some(Alignment::Right) => format!("{pad}{text}"),
                            Some(Alignment::None | Alignment::Left | Alignment::Center) | None => {
                                format!("{text}{pad}")
                            }
                        }
                    })
                    .collect();
                self.lines.push(format!("{prefix}{}", parts.join(&format!(" {DIM}│{DIM:#} "))));
            }
            if n + 1 == table.header_rows {
                let rule: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
                self.lines.push(format!("{prefix}{DIM}{}{DIM:#}", rule.join("─┼─")));
            }
        }
        self.lines.push(String::new());
    }
}

fn styled(cell: &[Piece], header: bool) -> Vec<Piece> {
    cell.iter().map(|p| Piece { text: p.text.clone(), style: if header { p.style.bold() } else { p.style } }).collect()
}

fn length(cell: &[Piece]) -> usize {
    cell.iter().map(|p| p.text.width()).sum()
}

/// Columns that `text` takes without its ANSI escapes.
fn visible(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().width()
}

/// The byte up to which `word` fits into `width` columns; at least one character.
fn cut_at(word: &str, width: usize) -> usize {
    let mut used = 0;
    for (at, c) in word.char_indices() {
        used += c.width().unwrap_or(0);
        if used > width && at > 0 {
            return at;
        }
    }
    word.len()
}

/// Breaks pieces into lines of at most `width` characters, at spaces; a longer word is cut.
fn wrap(pieces: &[Piece], width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for piece in pieces {
        let style = piece.style;
        for (n, part) in piece.text.split('\n').enumerate() {
            if n > 0 {
                lines.push(String::new());
                used = 0;
            }
            for word in part.split_inclusive(' ') {
                let mut word = word;
                let len = word.trim_end().width();
                if used > 0 && used + len > width {
                    lines.push(String::new());
                    used = 0;
                }
                while width > 1 && word.trim_end().width() > width {
                    let cut = cut_at(word, width);
                    if let Some(line) = lines.last_mut() {
                        let _ = write!(line, "{style}{}{style:#}", &word[..cut]);
                    }
                    lines.push(String::new());
                    word = &word[cut..];
                }
                if used == 0 && word.trim().is_empty() {
                    continue;
                }
                if let Some(line) = lines.last_mut() {
                    let _ = write!(line, "{style}{word}{style:#}");
                }
                used += word.width();
            }
        }
    }
    while lines.last().is_some_and(|l| visible(l) == 0) {
        lines.pop();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(source: &str, width: usize) -> String {
        anstream::adapter::strip_str(&render(source, width, "")).to_string()
    }

    #[test]
    fn tables_line_up_and_fit() {
        let text = plain(
            "| role | who |\n|---|---:|\n| `dba` | dora |\n| tech_lead | a very long list of people who could |\n",
            40,
        );
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0].trim_end(), "role      │                          who");
        assert!(lines.iter().all(|l| l.chars().count() <= 40), "{text}");
    }

    #[test]
    fn folded_parts_markers_and_comments() {
        let text = plain(
            "<!-- godwit:summary -->\n## Risk **HIGH**\n\n- one\n- two\n\n<details><summary>SQL</summary>\n\n```sql\nselect 1;\n```\n\n</details>\n\nend\n",
            60,
        );
        assert_eq!(text, "Risk HIGH\n\n• one\n• two\n\n▸ SQL\n  │ select 1;\n\nend\n");
    }

    #[test]
    fn wide_signs_take_two_columns() {
        let text = plain("| a | b |\n|---|---|\n| ✅ yes | x |\n| no | y |\n", 60);
        let bars: Vec<_> = text.lines().skip(2).map(|l| l[..l.find('│').unwrap_or(0)].width()).collect();
        assert_eq!(bars[0], bars[1], "{text}");
    }

    #[test]
    fn long_words_are_cut_and_never_loop() {
        let text = plain(&"x".repeat(100), 30);
        assert!(text.lines().all(|l| l.chars().count() <= 30));
        assert_eq!(text.matches('x').count(), 100);
    }
}
