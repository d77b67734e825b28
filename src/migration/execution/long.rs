//! Scripts that are too long to be held: looked over once, piece by piece, and read the same way again when they are sent.
//! Opens nothing itself; the reader is given.

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256, Sha384};

use super::{CannotExecute, Found, Kind, leading_modes, postgres};
use crate::ids::{Checksum, Engine};
use crate::migration::checksum::both_of;
use crate::migration::layout::split_marked;
use crate::migration::{Directives, backfill, destroys::destroys, verify};

/// Files above this many bytes are read in pieces where that is possible.
pub const LONG: u64 = 4 * 1024 * 1024;
/// How much is read at a time (bytes). The server holds all statements of a message at once, at about ten times their
/// length.
const PIECE: usize = 512 * 1024;

/// What a look over a long script of PostgreSQL found, which is one transaction and has nothing in it that asks for the
/// whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Long {
    /// The file, to be read again.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, lower-case hexadecimal.
    pub sha256: String,
    /// SHA-384 of the same, as sqlx keeps it.
    pub sha384: String,
    /// Of its text.
    pub checksum: Checksum,
    /// What stands before its first statement: comments, and the marks in them.
    pub head: String,
    /// The bytes to send: without the file's own BEGIN and COMMIT.
    pub body: Range<u64>,
    /// How many statements that is.
    pub statements: usize,
    /// Whether one of them destroys without a way back.
    pub destroys: bool,
}

impl Long {
    /// Looks over a script. `None`: it has to be read as a whole, because it does not run as one plain transaction, says what
    /// its queries must return, holds marks between its statements, or is no text.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn look_over(file: &Path, from: impl Read) -> std::io::Result<Option<Self>> {
        let mut pieces = Pieces::new(from);
        let (mut seen, mut sha384) = (Seen::default(), Sha384::new());
        loop {
            match pieces.next_piece() {
                Ok(Some(piece)) if seen.take(&piece) => sha384.update(&piece.text),
                Ok(None) => break,
                Err(Unreadable::File(e)) => return Err(e),
                Ok(Some(_)) | Err(Unreadable::Text | Unreadable::Statement(_)) => return Ok(None),
            }
        }
        let (bytes, (sha256, checksum)) = (pieces.at, pieces.sums());
        if seen.statements == 0 || seen.begun.is_some() != seen.ended.is_some() {
            return Ok(None);
        }
        let body = seen.begun.unwrap_or(0)..seen.ended.unwrap_or(bytes);
        let (file, sha384) = (file.to_path_buf(), hex::encode(sha384.finalize()));
        let Seen { head, statements, destroys, .. } = seen;
        Ok(Some(Self { file, bytes, sha256, sha384, checksum, head, body, statements, destroys }))
    }
}

/// What is remembered of the pieces that went by.
#[derive(Default)]
struct Seen {
    head: String,
    /// Where the script goes on behind its own BEGIN.
    begun: Option<u64>,
    /// Where its own COMMIT begins.
    ended: Option<u64>,
    /// Statements, without BEGIN and COMMIT.
    statements: usize,
    destroys: bool,
}

impl Seen {
    /// Whether the script is of the plain kind as far as this piece.
    fn take(&mut self, piece: &Piece) -> bool {
        let text = piece.text.as_str();
        let mut rest = text;
        if piece.at == 0 {
            let first = piece.found.first().map_or(text.len(), |f| f.range.start);
            self.head = text[..first].to_owned();
            rest = &text[first..];
            let marks = Directives::parse("", &self.head, 1, &mut Vec::new());
            if text.starts_with('\u{feff}') || marks.no_transaction || marks.backfill.is_some() {
                return false;
            }
            if split_marked("", text).is_some() {
                return false;
            }
        }
        // Another way of counting line ends gives another checksum; where a NUL byte stands is told by who reads all.
        let asks_for_all = text.contains(['\r', '\0'])
            || rest.contains("godwit:")
            || text.contains(backfill::MARKER)
            || verify::speaks(text);
        if asks_for_all || !piece.found.iter().all(|found| self.fits(piece, found)) {
            return false;
        }
        self.destroys |= destroys(Engine::Postgresql, text);
        true
    }

    fn fits(&mut self, piece: &Piece, found: &Found) -> bool {
        match &found.kind {
            Kind::Begin { modes: None } if self.statements == 0 && self.begun.is_none() => {
                // Behind the BEGIN stands its `;`, which may not be sent twice.
                let behind = piece.text[found.range.end..].find(';').map_or(0, |at| at + 1);
                self.begun = Some(piece.at + (found.range.end + behind) as u64);
                true
            }
            Kind::Commit if self.begun.is_some() && self.ended.is_none() => {
                self.ended = Some(piece.at + found.range.start as u64);
                true
            }
            Kind::Ordinary | Kind::Session | Kind::MayCommit if self.ended.is_none() => {
                self.statements += 1;
                self.statements > 1 || leading_modes(&piece.text, found).is_none()
            }
            _ => false,
        }
    }
}

/// Why a script cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// It is not UTF-8.
    #[error("it is not UTF-8")]
    Text,
    /// Its statements cannot be told apart.
    #[error("{0}")]
    Statement(CannotExecute),
}

/// Some whole statements of a script.
#[derive(Debug)]
pub struct Piece {
    /// Their text, with what stands between them.
    pub text: String,
    /// The byte of the script at which it begins.
    pub at: u64,
    /// The line of the script at which it begins, from 1.
    pub line: u32,
    /// The statements in it.
    found: Vec<Found>,
}

impl Piece {
    /// The part of it that lies in `body`, a range of the script's bytes, and the line at which that begins.
    pub fn within(&self, body: &Range<u64>) -> (&str, u32) {
        let inside = |at: u64| usize::try_from(at.saturating_sub(self.at)).unwrap_or(usize::MAX).min(self.text.len());
        let (from, to) = (inside(body.start), inside(body.end));
        let lines = self.text.as_bytes()[..from].iter().filter(|b| **b == b'\n').count();
        (self.text.get(from..to).unwrap_or_default(), self.line + u32::try_from(lines).unwrap_or(0))
    }
}

/// Reads a script of PostgreSQL piece by piece, and sums it up on the way.
pub struct Pieces<R> {
    from: R,
    /// What was read and not given out.
    rest: Vec<u8>,
    /// The byte and the line at which it begins.
    at: u64,
    line: u32,
    hash: Sha256,
    /// Line breaks at the end, which may be the end of the script.
    breaks: usize,
}

impl<R: Read> Pieces<R> {
    /// Reads from the beginning of a script.
    pub fn new(from: R) -> Self {
        Self { from, rest: Vec::new(), at: 0, line: 1, hash: Sha256::new(), breaks: 0 }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When it cannot be read, or not be understood.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, Unreadable> {
        loop {
            // One statement may be longer than a piece: twice as much each time, so that it is not looked at too often.
            let before = self.rest.len();
            let most = PIECE.max(before) as u64;
            let read = self.from.by_ref().take(most).read_to_end(&mut self.rest)?;
            self.sum_up(before);
            let is_all = (read as u64) < most;
            let text = match std::str::from_utf8(&self.rest) {
                Ok(text) => text,
                // A character may go on in what comes next.
                Err(e) if e.error_len().is_none() && !is_all => {
                    std::str::from_utf8(&self.rest[..e.valid_up_to()]).map_err(|_| Unreadable::Text)?
                }
                Err(_) => return Err(Unreadable::Text),
            };
            let (found, end) = if is_all {
                (postgres::split(text).map_err(Unreadable::Statement)?, text.len())
            } else {
                postgres::complete(text).map_err(Unreadable::Statement)?
            };
            if end > 0 {
                return self.cut(end, found).map(Some);
            }
            if is_all {
                return Ok(None);
            }
        }
    }

    fn cut(&mut self, end: usize, found: Vec<Found>) -> Result<Piece, Unreadable> {
        let rest = self.rest.split_off(end);
        let text = String::from_utf8(std::mem::replace(&mut self.rest, rest)).map_err(|_| Unreadable::Text)?;
        let (at, line) = (self.at, self.line);
        self.at += end as u64;
        self.line += u32::try_from(text.as_bytes().iter().filter(|b| **b == b'\n').count()).unwrap_or(0);
        Ok(Piece { text, at, line, found })
    }

    /// Counts in what was read behind `before`; line breaks wait until something follows them.
    fn sum_up(&mut self, before: usize) {
        let new = &self.rest[before..];
        let text = new.iter().rposition(|b| *b != b'\n').map_or(0, |at| at + 1);
        if text > 0 {
            for _ in 0..std::mem::take(&mut self.breaks) {
                self.hash.update(b"\n");
            }
            self.hash.update(&new[..text]);
        }
        self.breaks += new.len() - text;
    }

    /// SHA-256 of all bytes that were read, and the checksum of that text.
    pub fn sums(&self) -> (String, Checksum) {
        both_of(self.hash.clone(), self.breaks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::checksum::both;
    use crate::migration::execution::{Execution, execution};

    fn long(rows: usize) -> String {
        let mut text = String::from("-- godwit: risk=LOW\ncreate table t (a text);\n");
        for n in 0..rows {
            text.push_str(&format!("insert into t values ('; {n} é {}');\n", "x".repeat(100)));
        }
        text
    }

    fn look(text: &str) -> Option<Long> {
        Long::look_over(Path::new("a.sql"), text.as_bytes()).expect("a text")
    }

    #[test]
    fn pieces_hold_whole_statements_and_give_the_script_back() {
        let text = long(30_000);
        let mut pieces = Pieces::new(text.as_bytes());
        let (mut again, mut count) = (String::new(), 0);
        while let Some(piece) = pieces.next_piece().expect("a text") {
            assert_eq!(piece.at as usize, again.len());
            assert_eq!(piece.line as usize, again.matches('\n').count() + 1);
            assert!(piece.text.len() < 2 * PIECE);
            again.push_str(&piece.text);
            count += 1;
        }
        assert!(count >= 3, "{count}");
        assert!(again == text);
        assert_eq!(pieces.sums(), both(text.as_bytes(), &text));
    }

    #[test]
    fn a_statement_longer_than_a_piece_stays_whole() {
        let text = format!("select 1;select '{}';select 2", "é".repeat(3 * PIECE));
        let mut pieces = Pieces::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some(piece) = pieces.next_piece().expect("a text") {
            all.push(piece.text);
        }
        assert_eq!(all.concat(), text);
        assert!(all.iter().any(|piece| piece.len() > 6 * PIECE));
    }

    #[test]
    fn r13_a_look_over_finds_what_reading_the_whole_finds() {
        for (before, after) in [("", ""), ("", "\n\n"), ("begin;\n", "commit;\n"), ("-- why\nBEGIN;", "COMMIT; -- end")]
        {
            let text = format!("{before}{}{after}", long(10_000).replacen("-- godwit: risk=LOW\n", "", 1));
            let found = look(&text).expect("a plain script");
            let Ok(Execution::Transaction { body, modes: None }) = execution(Engine::Postgresql, &text, false) else {
                panic!("one transaction")
            };
            assert_eq!(found.body, body.start as u64..body.end as u64);
            assert_eq!((found.sha256, found.checksum), both(text.as_bytes(), &text));
            assert_eq!((found.bytes as usize, found.statements, found.destroys), (text.len(), 10_001, false));
        }
        assert_eq!(look(&long(9)).expect("a plain script").head, "-- godwit: risk=LOW\n");
        assert!(look(&format!("{}drop table t;", long(20_000))).expect("a plain script").destroys);
    }

    #[test]
    fn what_asks_for_the_whole_text_is_left_to_it() {
        for part in [
            "vacuum t;",
            "create index concurrently i on t (a);",
            "begin; select 1; commit;",
            "commit;",
            "rollback;",
            "-- godwit: waive=x reason=y\nselect 1;",
            "select 1;\r\nselect 2;",
            "select '\0';",
            "select count(*) from t;\n-- Should return 0\n",
            "\\copy t from x",
            "select 'open",
            "select /* godwit:batch */ 1",
            "begin isolation level serializable; select 1; commit;",
        ] {
            assert_eq!(look(&format!("{}{part}", long(10))), None, "{part}");
        }
        for text in [
            "-- godwit: no-transaction\nselect 1;",
            "-- +goose Up\nselect 1;",
            "set transaction isolation level serializable; select 1;",
            "begin; select 1;",
            "-- nothing\n",
            "\u{feff}select 1;",
        ] {
            assert_eq!(look(text), None, "{text}");
        }
        assert_eq!(Long::look_over(Path::new("a"), &b"select '\xff';"[..]).expect("readable"), None);
    }
}
