//! Where something stands on a line of a file: what a problem of the files themselves is marked with. Pure.

use std::ops::Range;

/// A line of a file and what of it is meant; columns count characters from 1, so that they fit what an editor shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The line, from 1.
    pub line: u32,
    /// The first column.
    pub column: u32,
    /// The column behind the last; `column` where only the beginning is known.
    pub end_column: u32,
}

impl Spot {
    /// The bytes `range` of `text`, with which the file begins. What goes on over several lines is marked on its first;
    /// beyond the end counts as the end.
    pub fn of(text: &str, range: Range<usize>) -> Self {
        let inside = |at: usize| {
            let mut at = at.min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = (inside(range.start), inside(range.end.max(range.start)));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let first_line = text[start..end].lines().next().unwrap_or_default();
        let column = count(text[line_start..start].chars()).saturating_add(1);
        Self {
            line: count(text[..start].bytes().filter(|b| *b == b'\n')).saturating_add(1),
            column,
            end_column: column.saturating_add(count(first_line.chars())),
        }
    }

    /// Where `part` stands, which was borrowed from `text`.
    pub fn of_part(text: &str, part: &str) -> Self {
        let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        Self::of(text, start..start.saturating_add(part.len()))
    }

    /// A place that a reader of JSON gives: a line and the bytes of it that were read, both from 1, or 0 where it knows
    /// none.
    pub fn read_to(text: &str, line: usize, bytes: usize) -> Self {
        let line_start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let at = line_start.saturating_add(bytes.saturating_sub(1));
        Self::of(text, at..at)
    }

    /// The same in the file, of which the text begins on `line` at `column`.
    #[must_use]
    pub fn within(self, line: u32, column: u32) -> Self {
        let moved = if self.line == 1 { column.saturating_sub(1) } else { 0 };
        Self {
            line: self.line.saturating_add(line.saturating_sub(1)),
            column: self.column.saturating_add(moved),
            end_column: self.end_column.saturating_add(moved),
        }
    }
}

/// A line of which nothing nearer is known.
impl From<u32> for Spot {
    fn from(line: u32) -> Self {
        Self { line, column: 1, end_column: 1 }
    }
}

fn count(of: impl Iterator) -> u32 {
    u32::try_from(of.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_the_mark_ends_with_its_line() {
        let text = "{\r\n  \"ä\": \"ö\", \"b\": {\r\n  }\r\n}";
        for (part, line, column, end_column) in
            [("\"ä\"", 2, 3, 6), ("\"b\"", 2, 13, 16), ("{\r\n  }", 2, 18, 19), ("}\r\n}", 3, 3, 4)]
        {
            let at = text.find(part).expect("in the text");
            let spot = Spot { line, column, end_column };
            assert_eq!(Spot::of(text, at..at + part.len()), spot, "{part}");
            assert_eq!(Spot::of_part(text, &text[at..at + part.len()]), spot, "{part}");
        }
        assert_eq!(Spot::of(text, 1000..2000), Spot { line: 4, column: 2, end_column: 2 });
        // The byte in the middle of a letter belongs to it.
        assert_eq!(Spot::of("ö", 1..2).column, 1);
        assert_eq!(Spot::read_to(text, 2, 4), Spot { line: 2, column: 4, end_column: 4 });
        assert_eq!(Spot::read_to(text, 0, 0), Spot::from(1));
        assert_eq!(Spot::read_to(text, 99, 99).line, 4);
    }

    #[test]
    fn a_text_within_a_file_moves_its_first_line_sideways() {
        let here = Spot { line: 1, column: 2, end_column: 4 };
        assert_eq!(here.within(7, 13), Spot { line: 7, column: 14, end_column: 16 });
        assert_eq!(Spot { line: 2, ..here }.within(7, 13), Spot { line: 8, column: 2, end_column: 4 });
    }
}
