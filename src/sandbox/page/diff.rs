//! Changed files with the annotations of checks at their lines.

use serde_json::Value;

use super::super::gitrepo::FileChange;
use super::super::state::CheckRun;
use super::markdown::escape;

/// Every changed file as a table of lines.
pub(super) fn render(files: &[FileChange], checks: &[&CheckRun]) -> String {
    let notes: Vec<&Value> = checks.iter().flat_map(|c| &c.annotations).collect();
    files.iter().map(|f| file(f, &notes)).collect()
}

fn file(file: &FileChange, notes: &[&Value]) -> String {
    let name = match &file.previous {
        Some(previous) => format!("{} → {}", escape(previous), escape(&file.path)),
        None => escape(&file.path),
    };
    let of_file: Vec<&Value> =
        notes.iter().copied().filter(|n| n["path"].as_str() == Some(file.path.as_str())).collect();
    let mut out = format!(
        "<details class=\"file\" open><summary><code>{name}</code> <span class=\"plus\">+{}</span> \
         <span class=\"minus\">−{}</span></summary><div class=\"scroll\"><table class=\"diff\">",
        file.additions, file.deletions
    );
    let (mut old, mut new) = (0u64, 0u64);
    for line in file.patch.as_deref().unwrap_or("@@ no text to show @@").lines() {
        let (class, left, right) = match line.as_bytes().first() {
            Some(b'@') => {
                (old, new) = start(line);
                ("hunk", String::new(), String::new())
            }
            Some(b'+') => {
                new += 1;
                ("add", String::new(), (new - 1).to_string())
            }
            Some(b'-') => {
                old += 1;
                ("del", (old - 1).to_string(), String::new())
            }
            Some(b'\\') => ("hunk", String::new(), String::new()),
            Some(_) | None => {
                (old, new) = (old + 1, new + 1);
                ("same", (old - 1).to_string(), (new - 1).to_string())
            }
        };
        out.push_str(&format!(
            "<tr class=\"{class}\"><td class=\"no\">{left}</td><td class=\"no\">{right}</td><td><pre>{}</pre></td></tr>",
            escape(line)
        ));
        if !right.is_empty() {
            for note in
                of_file.iter().filter(|n| n["end_line"].as_u64().map(|l| l.to_string()).as_ref() == Some(&right))
            {
                out.push_str(&format!("<tr><td></td><td></td><td>{}</td></tr>", annotation(note)));
            }
        }
    }
    out.push_str("</table></div></details>");
    out
}

/// First lines of a hunk, `@@ -old,… +new,… @@`.
fn start(line: &str) -> (u64, u64) {
    let number = |sign: char| {
        let rest = line.split_once(sign).map_or("", |(_, r)| r);
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().unwrap_or(1)
    };
    (number('-'), number('+'))
}

/// One annotation as a box.
pub(super) fn annotation(note: &Value) -> String {
    let text = |field: &str| escape(note[field].as_str().unwrap_or_default());
    let level = match note["annotation_level"].as_str() {
        Some("failure") => "failure",
        Some("warning") => "warning",
        Some(_) | None => "notice",
    };
    format!(
        "<div class=\"note {level}\"><b>{level}</b> <code>{}:{}</code> {}<div class=\"message\">{}</div></div>",
        text("path"),
        note["start_line"].as_u64().unwrap_or(0),
        text("title"),
        text("message"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunks_say_where_they_start() {
        assert_eq!(start("@@ -3,4 +10,6 @@ fn"), (3, 10));
        assert_eq!(start("@@ -0,0 +1 @@"), (0, 1));
    }
}
