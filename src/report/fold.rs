//! Prose that fits a terminal: lines are broken at blanks, and words, commands and paths stay whole. Pure.

use std::fmt::Write as _;

use crate::redact;

/// Less than this is no width that anything can be laid out in.
const LEAST: usize = 20;

/// `text`, its lines broken where they are longer than `width`. What goes on stands below the second column of a row, else
/// two blanks further in than the line began.
pub fn fold(text: &str, width: usize) -> String {
    let width = width.max(LEAST);
    if text.lines().all(|line| seen(line) <= width) {
        return text.to_owned();
    }
    // A credential that a line's end stands in would not be found any more.
    let text = redact::text(text);
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive('\n') {
        let line = piece.strip_suffix('\n').unwrap_or(piece);
        one(&mut out, line, width, None);
        if line.len() < piece.len() {
            out.push('\n');
        }
    }
    out
}

/// The same for what was written to `out` since it was `from` bytes long.
pub(super) fn since(out: &mut String, from: usize, width: usize) {
    let folded = fold(&out[from..], width);
    out.truncate(from);
    out.push_str(&folded);
}

/// One line, and its end; what goes on is `hang` blanks in.
pub(super) fn hanging(out: &mut String, line: &str, width: usize, hang: usize) {
    if seen(line) <= width {
        out.push_str(line);
    } else {
        one(out, &redact::text(line), width.max(LEAST), Some(hang));
    }
    out.push('\n');
}

fn one(out: &mut String, line: &str, width: usize, hang: Option<usize>) {
    if seen(line) <= width {
        out.push_str(line);
        return;
    }
    let hang = hang.unwrap_or_else(|| hang_of(line, width));
    let mut column = 0;
    for (gap, atom) in atoms(line, width.saturating_sub(hang)) {
        let length = seen(atom);
        // What begins the line stays there, however long it is, and so does a column that fits nowhere.
        let no_gain = column == 0 || gap > 1 && hang + length > width;
        if column + gap + length > width && !no_gain {
            let _ = write!(out, "\n{:hang$}", "");
            column = hang;
        } else {
            let _ = write!(out, "{:gap$}", "");
            column += gap;
        }
        out.push_str(atom);
        column += length;
    }
}

/// Where the second column of a row begins, or a little further in than the line.
fn hang_of(line: &str, width: usize) -> usize {
    let begins = line.len() - line.trim_start_matches(' ').len();
    let second = line[begins..].find("  ").and_then(|at| {
        let rest = &line[begins + at..];
        let blanks = rest.len() - rest.trim_start_matches(' ').len();
        // At the end of a line nothing follows.
        (blanks < rest.len()).then(|| seen(&line[..begins + at]) + blanks)
    });
    second.filter(|column| *column <= width / 2).unwrap_or(begins.min(width / 2) + 2)
}

/// The words of a line, each with the blanks before it. What stands in backticks is one, where `room` is enough for it: half
/// a command is none.
fn atoms(line: &str, room: usize) -> Vec<(usize, &str)> {
    let mut atoms = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let word = rest.trim_start_matches(' ');
        let gap = rest.len() - word.len();
        let short = word.find(' ').unwrap_or(word.len());
        let mut end = short;
        // An odd number of backticks: the one that is open is closed further on.
        while word[..end].matches('`').count() % 2 == 1 {
            let Some(close) = word[end..].find('`') else {
                end = short;
                break;
            };
            let close = end + close + 1;
            end = word[close..].find(' ').map_or(word.len(), |at| close + at);
        }
        if seen(&word[..end]) > room {
            end = short;
        }
        if end > 0 {
            atoms.push((gap, &word[..end]));
        }
        rest = &word[end..];
    }
    atoms
}

/// How many characters of `text` are seen: colours are not.
fn seen(text: &str) -> usize {
    let mut count = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            let _ = chars.by_ref().find(|c| c.is_ascii_alphabetic());
        } else {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_commands_stay_whole() {
        let text = "note: what stands here is longer than the line, see `godwit logs -v` and\nshort\n";
        let expected = "note: what stands here is\n  longer than the line, see\n  `godwit logs -v` and\nshort\n";
        assert_eq!(fold(text, 30), expected);
        let path = format!("  {}/{} is a path\n", "a".repeat(30), "b".repeat(30));
        assert_eq!(fold(&path, 30), format!("  {}/{}\n    is a path\n", "a".repeat(30), "b".repeat(30)));
        // A command longer than the line is broken like anything else, and so is what only begins in backticks.
        assert_eq!(fold("run `one two three four five six` then", 20), "run `one two three\n  four five six`\n  then");
        assert_eq!(fold("an odd ` stands among the words", 20), "an odd ` stands\n  among the words");
    }

    #[test]
    fn what_goes_on_stands_below_the_second_column() {
        let row = "  ok         name: `db` is the server of the shop\n";
        assert_eq!(fold(row, 30), "  ok         name: `db` is the\n             server of the\n             shop\n");
        // Neither is there a place for one that is too long for any.
        let row = "written  docs/migrations/0001_customers.md and more\n";
        assert_eq!(fold(row, 30), "written  docs/migrations/0001_customers.md\n         and more\n");
        // A first column that leaves no room for another is no column.
        let row = "  a_rather_long_name_of_something  and what is said of it\n";
        assert_eq!(fold(row, 30), "  a_rather_long_name_of_something\n    and what is said of it\n");
    }

    #[test]
    fn what_fits_and_what_has_no_width_stays_as_it_is() {
        let text = "  a  b\n\n   \n  trailing  \nno end";
        assert_eq!(fold(text, 30), text);
        let long = format!("{}\n", "word ".repeat(100));
        assert_eq!(fold(&long, usize::MAX), long);
        assert_eq!(fold("", 30), "");
    }

    #[test]
    fn colours_take_no_room() {
        let line = "\u{1b}[1m\u{1b}[31merror[some-rule]\u{1b}[0m\u{1b}[1m: short\u{1b}[0m";
        assert_eq!(fold(line, 24), line);
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost(text in "[a-c` ä\n]{0,200}", width in 0_usize..60) {
            let words = |t: &str| t.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let folded = fold(&text, width);
            proptest::prop_assert_eq!(words(&folded), words(&text));
            // Blanks alone are never broken, so they may push a word out.
            for line in folded.lines().filter(|l| !l.contains("  ") && seen(l.trim()) > width.max(LEAST)) {
                proptest::prop_assert_eq!(words(line).len(), 1, "{:?}", line);
            }
        }
    }
}
