//! Byte offsets into lines and columns; columns count characters, so that they fit what an editor shows.

use crate::migration::Script;

/// Where the lines of a text begin; made only when there is something to locate.
pub struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    first_line: u32,
    first_column: u32,
}

/// A line and a column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column in characters.
    pub column: u32,
}

impl<'a> Lines<'a> {
    /// `first_line` is the line of the file at which `text` starts.
    pub fn new(text: &'a str, first_line: u32) -> Self {
        let mut starts = vec![0];
        starts.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1));
        Self { text, starts, first_line, first_column: 1 }
    }

    /// The lines of a script, which may begin within a line of its file.
    pub fn of(script: &'a Script) -> Self {
        Self { first_column: script.first_column, ..Self::new(&script.text, script.first_line) }
    }

    /// Where byte `at` stands; beyond the end counts as the end.
    pub fn position(&self, at: usize) -> Position {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let index = self.starts.partition_point(|s| *s <= at).saturating_sub(1);
        let before = &self.text[self.starts[index]..at];
        // The carriage return of a CRLF is part of the line's end, not a column.
        let before = before.strip_suffix('\r').unwrap_or(before);
        Position {
            line: self.first_line.saturating_add(u32::try_from(index).unwrap_or(u32::MAX)),
            column: u32::try_from(before.chars().count()).unwrap_or(u32::MAX).saturating_add(if index == 0 {
                self.first_column
            } else {
                1
            }),
        }
    }

    /// First byte of a line of the file, if the text has it.
    pub fn offset_of_line(&self, line: u32) -> Option<usize> {
        let index = usize::try_from(line.checked_sub(self.first_line)?).ok()?;
        self.starts.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_line_ends_are_not_columns() {
        let text = "a\r\näö x\r\nz";
        let lines = Lines::new(text, 1);
        for (needle, line, column) in [("a", 1, 1), ("\r\nä", 1, 2), ("x", 2, 4), ("z", 3, 1)] {
            let at = text.find(needle).expect("in the text");
            assert_eq!(lines.position(at), Position { line, column }, "{needle:?}");
        }
        assert_eq!(lines.position(1000), Position { line: 3, column: 2 });
        assert_eq!(Lines::new("x", 40).position(0).line, 40);
        assert_eq!(lines.offset_of_line(2), Some(3));
        assert_eq!(Lines::new("", 1).position(0), Position { line: 1, column: 1 });
    }
}
