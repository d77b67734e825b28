//! A report made of tables, in every form it is wanted in: text, Markdown, JSON, CSV, HTML. Pure.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{escape, fold};

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// What it is.
    pub title: String,
    /// The time it is about.
    pub from: DateTime<Utc>,
    /// The end of that time.
    pub to: DateTime<Utc>,
    /// Its parts.
    pub parts: Vec<Part>,
}

/// One part of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is about.
    pub title: String,
    /// What a reader should know, in a sentence.
    pub note: String,
    /// The names of its columns.
    pub columns: Vec<&'static str>,
    /// Its rows, each as long as there are columns.
    pub rows: Vec<Vec<String>>,
}

impl Part {
    /// A part without rows yet.
    pub fn new(title: &str, note: impl Into<String>, columns: &[&'static str]) -> Self {
        Self { title: title.to_owned(), note: note.into(), columns: columns.to_vec(), rows: Vec::new() }
    }

    /// The same with rows.
    pub fn with(mut self, rows: impl IntoIterator<Item = Vec<String>>) -> Self {
        self.rows.extend(rows);
        self
    }
}

/// One line without anything that moves the cursor or breaks the row.
fn flat(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// For a terminal of `width` characters: a row that does not fit is cut.
pub fn text(sheet: &Sheet, width: usize) -> String {
    let mut out = fold::fold(&format!("{}\n{} to {}\n", flat(&sheet.title), day(sheet.from), day(sheet.to)), width);
    for part in &sheet.parts {
        let note = if part.note.is_empty() { String::new() } else { format!("  {}\n", flat(&part.note)) };
        out.push_str(&fold::fold(&format!("\n{}\n{note}", part.title), width));
        if part.rows.is_empty() {
            if !part.columns.is_empty() {
                out.push_str("  none\n");
            }
            continue;
        }
        let rows: Vec<Vec<String>> = part.rows.iter().map(|r| r.iter().map(|c| flat(c)).collect()).collect();
        let widths: Vec<usize> = part
            .columns
            .iter()
            .enumerate()
            .map(|(n, name)| {
                rows.iter().filter_map(|r| r.get(n)).map(|c| c.chars().count()).chain([name.len()]).max().unwrap_or(0)
            })
            .collect();
        line(&mut out, &part.columns.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>(), &widths, width);
        for row in &rows {
            line(&mut out, row, &widths, width);
        }
    }
    out
}

fn line(out: &mut String, cells: &[String], widths: &[usize], most: usize) {
    let mut text = String::from("  ");
    for (n, cell) in cells.iter().enumerate() {
        text.push_str(cell);
        if n + 1 < cells.len() {
            let used = cell.chars().count();
            text.extend(std::iter::repeat_n(' ', widths[n].saturating_sub(used) + 2));
        }
    }
    let text = text.trim_end();
    match text.char_indices().nth(most) {
        // One less, for the mark that something is missing.
        Some(_) => {
            let end = text.char_indices().nth(most.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
            let _ = writeln!(out, "{}…", &text[..end]);
        }
        None => {
            let _ = writeln!(out, "{text}");
        }
    }
}

/// As Markdown.
pub fn markdown(sheet: &Sheet) -> String {
    let mut out = format!("# {}\n\n{} to {}\n", escape::inline(&sheet.title), day(sheet.from), day(sheet.to));
    for part in &sheet.parts {
        let _ = writeln!(out, "\n## {}\n", escape::inline(&part.title));
        if !part.note.is_empty() {
            let _ = writeln!(out, "{}\n", escape::inline(&part.note));
        }
        if part.columns.is_empty() {
            continue;
        }
        if part.rows.is_empty() {
            out.push_str("None.\n");
            continue;
        }
        let _ = writeln!(out, "| {} |", part.columns.join(" | "));
        let _ = writeln!(out, "|{}", "---|".repeat(part.columns.len()));
        for row in &part.rows {
            let cells: Vec<String> = row.iter().map(|c| escape::inline(c)).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
    }
    out
}

/// As JSON: parts with their rows as objects, by the names of the columns.
pub fn json(sheet: &Sheet) -> Value {
    let parts: Vec<Value> = sheet
        .parts
        .iter()
        .map(|part| {
            let rows: Vec<Value> = part
                .rows
                .iter()
                .map(|row| {
                    let fields = part.columns.iter().zip(row).map(|(name, cell)| (key(name), json!(cell)));
                    Value::Object(fields.collect::<Map<String, Value>>())
                })
                .collect();
            json!({ "title": part.title, "note": part.note, "rows": rows })
        })
        .collect();
    json!({ "title": sheet.title, "from": sheet.from, "to": sheet.to, "parts": parts })
}

fn key(column: &str) -> String {
    column.replace(' ', "_")
}

/// As CSV: one table, whose first column is the part.
pub fn csv(sheet: &Sheet) -> String {
    let mut out = String::from("part,row,column,value\r\n");
    for part in &sheet.parts {
        for (n, row) in part.rows.iter().enumerate() {
            for (column, cell) in part.columns.iter().zip(row) {
                let _ = write!(out, "{},{},{},{}\r\n", field(&part.title), n + 1, field(column), field(cell));
            }
        }
    }
    out
}

/// A field that stays one, and that no spreadsheet takes for a formula.
fn field(text: &str) -> String {
    let text = flat(text);
    let text = if text.starts_with(['=', '+', '-', '@', '\t']) { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Text inside an element, as it was written.
fn element(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// As a page of HTML that needs nothing else.
pub fn html(sheet: &Sheet) -> String {
    let title = element(&sheet.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>\
         body{{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}}\
         table{{border-collapse:collapse;width:100%}}td,th{{border:1px solid #ccc;padding:.3rem .5rem;text-align:left;\
         vertical-align:top;overflow-wrap:anywhere}}th{{background:#f3f3f3}}@media print{{h2{{break-after:avoid}}}}\
         </style></head><body>\n<h1>{title}</h1>\n<p>{} to {}</p>\n",
        day(sheet.from),
        day(sheet.to)
    );
    for part in &sheet.parts {
        let _ = writeln!(out, "<h2>{}</h2>", element(&part.title));
        if !part.note.is_empty() {
            let _ = writeln!(out, "<p>{}</p>", element(&part.note));
        }
        if part.columns.is_empty() {
            continue;
        }
        if part.rows.is_empty() {
            out.push_str("<p>None.</p>\n");
            continue;
        }
        let cells = |row: &[String], tag: &str| {
            row.iter().map(|c| format!("<{tag}>{}</{tag}>", element(c))).collect::<String>()
        };
        let head: Vec<String> = part.columns.iter().map(|c| (*c).to_owned()).collect();
        let _ = writeln!(out, "<table><thead><tr>{}</tr></thead><tbody>", cells(&head, "th"));
        for row in &part.rows {
            let _ = writeln!(out, "<tr>{}</tr>", cells(row, "td"));
        }
        out.push_str("</tbody></table>\n");
    }
    out.push_str("</body></html>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sheet {
        let at = |day: i64| DateTime::from_timestamp(day * 86_400, 0).unwrap();
        Sheet {
            title: "Runs <b>".to_owned(),
            from: at(0),
            to: at(1),
            parts: vec![
                Part::new("Runs", "what ran", &["run", "by whom"]).with([
                    vec!["01".to_owned(), "=cmd,\"x\"".to_owned()],
                    vec!["02".to_owned(), "a\nb | <script>".to_owned()],
                ]),
                Part::new("Nothing", "", &["a"]),
            ],
        }
    }

    #[test]
    fn every_form_keeps_what_people_wrote_where_it_belongs() {
        let sheet = sample();
        assert!(csv(&sheet).contains("Runs,1,by whom,\"'=cmd,\"\"x\"\"\"\r\n"), "{}", csv(&sheet));
        assert!(html(&sheet).contains("<td>a\nb | &lt;script&gt;</td>"), "{}", html(&sheet));
        assert!(html(&sheet).contains("<title>Runs &lt;b&gt;</title>"));
        assert!(markdown(&sheet).contains("| 02 | a b \\| &lt;script&gt; |"), "{}", markdown(&sheet));
        assert_eq!(json(&sheet)["parts"][0]["rows"][0]["by_whom"], "=cmd,\"x\"");
        assert!(text(&sheet, 80).contains("  02   a b | <script>\n"), "{}", text(&sheet, 80));
        assert!(text(&sheet, 80).contains("Nothing\n  none\n"));
    }

    #[test]
    fn a_row_fits_the_terminal() {
        let mut sheet = sample();
        sheet.parts[0].note = "what ran, and who says that it should".to_owned();
        let told = text(&sheet, 20);
        assert!(told.lines().all(|l| l.chars().count() <= 20), "{told}");
        assert!(told.contains("\n  what ran, and who\n    says that it\n    should\n"), "{told}");
        assert!(text(&sample(), 12).lines().skip(6).all(|l| l.chars().count() <= 12), "{}", text(&sample(), 12));
    }
}
