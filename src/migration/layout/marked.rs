//! One file with both directions in it, told apart by comments: goose (`-- +goose Up`), sql-migrate (`-- +migrate Up`),
//! dbmate (`-- migrate:up`).

use super::{Folder, Layout, Read, Reader, file_of, is_in_capitals};
use crate::migration::checksum::checksum;
use crate::migration::execution::is_blank_sql;
use crate::migration::{Directives, FileContent, Script, Severity, SourceFile, Version};

/// How much of a file is looked at for its first mark (bytes); tools want it at the top.
const HEAD: usize = 16 * 1024;

/// What is said of a file whose text goose fills in before it sends it.
const ENVSUB: &str = "asks for variables of the environment (`ENVSUB`) in its statements";

/// What is said of a statement that was begun: its own tool refuses the file.
const UNENDED: &str = "begins a statement that no `StatementEnd` ends";

/// The two directions of one file.
#[derive(Debug, PartialEq, Eq)]
pub struct Marked {
    /// The layout that the marks are of.
    pub layout: Layout,
    /// The forward script; it begins at its mark.
    pub up: Script,
    /// The backward script.
    pub down: Option<Script>,
    /// Whether the forward script runs outside a transaction.
    pub no_transaction: bool,
    /// What stands where no mark is.
    pub before: bool,
    /// The line of a mark that asks for something that is not done here.
    pub asks_for: Option<(u32, &'static str)>,
}

/// What a comment line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Up {
        no_transaction: bool,
    },
    Down {
        no_transaction: bool,
    },
    NoTransaction,
    Unsupported(&'static str),
    /// What follows is one statement, whatever stands in it. The lexer knows by itself where statements end.
    Begin,
    /// Here it ends.
    End,
    Other,
}

/// The layout and the mark of a comment line.
fn mark(line: &str) -> Option<(Layout, Mark)> {
    let comment = line.trim_start().strip_prefix("--")?.trim();
    // No allocation for the comments that are none: nearly all of them.
    let (layout, rest) = if let Some(rest) = comment.strip_prefix("+goose") {
        (Layout::Goose, rest)
    } else if let Some(rest) = comment.strip_prefix("+migrate") {
        (Layout::SqlMigrate, rest)
    } else {
        (Layout::Dbmate, comment.strip_prefix("migrate:")?)
    };
    let rest = rest.trim().to_ascii_lowercase();
    let mut words = rest.split_whitespace();
    let first = words.next().unwrap_or_default();
    let off = |mut words: std::str::SplitWhitespace<'_>| match layout {
        Layout::Dbmate => words.any(|w| w == "transaction:false"),
        _ => words.any(|w| w == "notransaction"),
    };
    Some((
        layout,
        match (layout, first) {
            (_, "up") => Mark::Up { no_transaction: off(words) },
            (_, "down") => Mark::Down { no_transaction: off(words) },
            (Layout::Goose, "no") if words.next() == Some("transaction") => Mark::NoTransaction,
            (Layout::Goose, "envsub") if words.next() == Some("on") => Mark::Unsupported(ENVSUB),
            (Layout::Goose | Layout::SqlMigrate, "statementbegin") => Mark::Begin,
            (Layout::Goose | Layout::SqlMigrate, "statementend") => Mark::End,
            _ => Mark::Other,
        },
    ))
}

/// The layout whose first mark stands at the top of `text`.
pub(super) fn layout_of(text: &str) -> Option<Layout> {
    layout_of_bytes(text.as_bytes())
}

/// The same of raw bytes.
pub(super) fn layout_of_bytes(bytes: &[u8]) -> Option<Layout> {
    let head = &bytes[..bytes.len().min(HEAD)];
    head.split(|b| *b == b'\n').filter(|line| line.trim_ascii_start().starts_with(b"--")).find_map(|line| {
        let (layout, mark) = mark(std::str::from_utf8(line).ok()?)?;
        matches!(mark, Mark::Up { .. } | Mark::Down { .. }).then_some(layout)
    })
}

/// The directions of a file that is marked; `None` where no forward mark is.
pub fn split(path: &str, text: &str) -> Option<Marked> {
    let wanted = layout_of(text)?;
    let (mut up, mut down, mut no_transaction, mut asks_for) = (None, None, false, None);
    let (mut at, mut begun) = (0, None);
    for (line, n) in text.split_inclusive('\n').zip(1u32..) {
        if let Some((layout, mark)) = mark(line)
            && layout == wanted
        {
            if begun.is_some() && matches!(mark, Mark::Up { .. } | Mark::Down { .. } | Mark::Begin) {
                asks_for = asks_for.or(begun.map(|n| (n, UNENDED)));
            }
            match mark {
                Mark::Up { no_transaction: off } if up.is_none() => {
                    up = Some((at, n));
                    no_transaction |= off;
                }
                Mark::Down { .. } if down.is_none() => down = Some((at, n)),
                Mark::NoTransaction => no_transaction = true,
                Mark::Unsupported(what) => asks_for = asks_for.or(Some((n, what))),
                Mark::Up { .. } => asks_for = asks_for.or(Some((n, "begins its forward part a second time"))),
                Mark::Down { .. } => asks_for = asks_for.or(Some((n, "begins its backward part a second time"))),
                Mark::Begin => begun = Some(n),
                Mark::End if begun.is_none() => {
                    asks_for = asks_for.or(Some((n, "ends a statement that nothing began")))
                }
                Mark::End => begun = None,
                Mark::Other => {}
            }
        }
        at += line.len();
    }
    asks_for = asks_for.or(begun.map(|n| (n, UNENDED)));
    let (start, line) = up?;
    let first = down.map_or(start, |(at, _)| start.min(at));
    let before = !is_blank_sql(&text[..first]);
    let script = |from: usize, to: usize, first_line| Script { first_line, ..Script::whole(path, &text[from..to]) };
    let (up, down) = match down {
        Some((middle, below)) if middle > start => {
            (script(start, middle, line), Some(script(middle, text.len(), below)))
        }
        Some((middle, below)) => (script(start, text.len(), line), Some(script(middle, start, below))),
        None => (script(start, text.len(), line), None),
    };
    Some(Marked { layout: wanted, up, down, no_transaction, before, asks_for })
}

pub(super) fn read(folder: &Folder<'_>, reader: &mut Reader<'_>) {
    let mut found: Vec<(Version, &str, &str, &SourceFile)> = Vec::new();
    for &(name, file) in &folder.files {
        match named(reader.layout, name) {
            Some((version, ..)) if reader.layout == Layout::Goose && !Version::can_be_kept(version.as_str()) => {
                reader.too_high(&file.path, version.as_str());
            }
            Some((version, stem, title)) => found.push((version, stem, title, file)),
            None => unreadable(name, file, reader),
        }
    }
    for (version, stem, title, file) in found {
        read_one(version, stem, title, file, reader);
    }
}

/// Version, stem and title of a file's name, as the layout's tool reads it.
fn named(layout: Layout, file: &str) -> Option<(Version, &str, &str)> {
    let stem = file.strip_suffix(".sql")?;
    let digits = stem.find(|c: char| !c.is_ascii_digit()).unwrap_or(stem.len());
    let (number, rest) = stem.split_at(digits);
    let title = rest.trim_start_matches(['_', '-']);
    match layout {
        // Its order: the number in front where there is one, then the whole name.
        Layout::SqlMigrate if number.is_empty() => Some((Version::textual(stem, &format!("~{stem}")), stem, stem)),
        Layout::SqlMigrate => Some((Version::numeric(number), stem, title)),
        // Its order is that of the file names; what follows the digits is never one.
        Layout::Dbmate => (!number.is_empty()).then(|| (Version::textual(number, &format!("{number}_")), stem, title)),
        _ => (!number.is_empty() && rest.starts_with('_')).then(|| (Version::numeric(number), stem, title)),
    }
}

fn read_one(version: Version, stem: &str, title: &str, file: &SourceFile, reader: &mut Reader<'_>) {
    let Some(whole) = reader.script(file) else { return };
    let layout = reader.layout;
    let marked = match split(&file.path, &whole.text) {
        Some(marked) if marked.layout == layout => marked,
        Some(marked) => {
            let message = format!("is marked for `{}`, but this folder is read as `{layout}`", marked.layout);
            let help = "take it out of the folder, or write the marks of the folder's own tool";
            return reader.problem(&file.path, 1, "unsupported-layout", Severity::Error, message, help);
        }
        None => {
            let mark = match layout {
                Layout::Goose => "-- +goose Up",
                Layout::SqlMigrate => "-- +migrate Up",
                _ => "-- migrate:up",
            };
            let message = format!("has no line `{mark}`, so nothing of it would ever run");
            let help = "write the mark above the statements that go forward";
            return reader.problem(&file.path, 1, "unsupported-file", Severity::Error, message, help);
        }
    };
    let fills_in = marked.asks_for.filter(|(_, what)| *what == ENVSUB);
    if let Some((line, what)) = marked.asks_for.filter(|_| fills_in.is_none()) {
        let help = "write the statements out as they are to be sent, each direction once";
        reader.problem(&file.path, line, "unsupported-file", Severity::Error, what.to_owned(), help);
        return;
    }
    if marked.before {
        let message = "holds statements above its first mark, which would never run".to_owned();
        reader.problem(&file.path, 1, "unsupported-file", Severity::Error, message, "move them below the mark");
        return;
    }
    let Marked { up, down, no_transaction, .. } = marked;
    let mut directives = Directives::parse(&up.path, &up.text, up.first_line, &mut reader.set.problems);
    directives.no_transaction |= no_transaction;
    let checksum = checksum(&up.text);
    let files = file_of(file).into_iter().collect();
    let has_down = down.is_some();
    // The way back may ask for variables as well.
    let down = down.filter(|_| fills_in.is_none());
    let added = reader.add_scripts(stem, version, title, Read { up, down, checksum, directives, files }, has_down);
    if let Some((line, what)) = fills_in.filter(|_| added.is_some()) {
        let help = "if it is applied nowhere yet, write the statements out as they are to be sent; else let goose run it where it \
                    is missing, and write new ones without variables";
        reader.cannot_run(&file.path, line, what, help);
    }
}

/// A file that is no migration: said when it looks as if it should be one.
fn unreadable(name: &str, file: &SourceFile, reader: &mut Reader<'_>) {
    if matches!(file.content, FileContent::Directory) {
        // `script` knows the words for it.
        let _ = reader.script(file);
        return;
    }
    let is_marked = name.ends_with(".sql") && file.content.bytes().and_then(layout_of_bytes).is_some();
    let numbered = name.starts_with(|c: char| c.is_ascii_digit());
    if is_marked || (numbered && name.ends_with(".sql")) {
        let message = "looks like a migration, but its name does not fit `VERSION_name.sql`, so it would never run";
        let help = "rename it: digits, `_`, a name, `.sql`";
        reader.problem(&file.path, 1, "file-name", Severity::Error, message.to_owned(), help);
    } else if numbered && is_in_capitals(name) {
        reader.in_capitals(&file.path);
    } else if numbered && name.ends_with(".go") && !name.ends_with("_test.go") {
        reader.program(&file.path);
    } else if name.ends_with(".sql") {
        reader.stray(file, "is no migration: its name has no version in front");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, MigrationSet, resolve};

    fn read(files: &[(&str, &str)]) -> MigrationSet {
        let files: Vec<_> = files.iter().map(|(p, t)| SourceFile::new(*p, t.as_bytes())).collect();
        resolve(&files, &[MigrationRoot::folder("")])
    }

    #[test]
    fn a_statement_that_is_begun_is_ended() {
        let asks = |text: &str| split("1_a.sql", text).expect("is marked").asks_for;
        for tool in ["goose", "migrate"] {
            let of = |text: &str| asks(&text.replace("+", &format!("+{tool} ")));
            let whole = "-- +Up\n-- +StatementBegin\nselect 1;\n-- +StatementEnd\n-- +Down\nselect 2;\n";
            assert_eq!(of(whole), None);
            assert_eq!(of(&whole.replace("select 1;", "-- +NO TRANSACTION\nselect 1;")), None);
            assert_eq!(of(&whole.replace("-- +StatementEnd\n", "")), Some((2, UNENDED)));
            assert_eq!(of(whole.split("-- +StatementEnd").next().unwrap_or_default()), Some((2, UNENDED)));
            let ended = Some((3, "ends a statement that nothing began"));
            assert_eq!(of(&whole.replace("-- +StatementBegin\n", "")), ended);
        }
    }

    #[test]
    fn goose_files_are_cut_at_their_marks() {
        let text = "-- a title\n-- +goose NO TRANSACTION\n-- +goose Up\n-- +goose StatementBegin\ncreate table a (n int);\n\
                    -- +goose StatementEnd\n\n-- +goose Down\ndrop table a;\n";
        let set = read(&[("00001_a.sql", text), ("00002_b.sql", "--  +goose up\nselect 1;")]);
        let (a, b) = (&set.migrations[0], &set.migrations[1]);
        assert_eq!((a.layout, a.id.as_str(), a.name.as_str()), (Layout::Goose, "00001_a", "a"));
        assert!(a.directives.no_transaction && a.is_reversible() && !b.directives.no_transaction);
        assert_eq!((a.up.first_line, a.down.as_ref().map(|d| d.first_line)), (3, Some(8)));
        assert!(!a.up.text.contains("drop table") && a.up.text.contains("create table"));
        assert_eq!(a.files.len(), 1);
        let told: Vec<_> = set.problems.iter().chain(&set.remarks).map(|p| (p.file.as_str(), p.rule)).collect();
        assert_eq!(told, [("00002_b.sql", "missing-down")]);
        // An edit of the way back is no edit of what was applied.
        let mended = read(&[("00001_a.sql", &text.replace("drop table a", "drop table if exists a"))]);
        assert_eq!(mended.migrations[0].checksum, a.checksum);
        assert_ne!(mended.digest(), read(&[("00001_a.sql", text)]).digest());
    }

    #[test]
    fn sql_migrate_and_dbmate_say_for_each_direction_whether_it_is_a_transaction() {
        let set = read(&[
            ("1_a.sql", "-- +migrate Up notransaction\nselect 1;\n-- +migrate Down\nselect 2;"),
            ("base.sql", "-- +migrate Up\nselect 3;\n-- +migrate Down\nselect 4;"),
        ]);
        assert_eq!(set.problems, []);
        assert_eq!(set.migrations.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["1_a", "base"]);
        assert_eq!(set.migrations[0].layout, Layout::SqlMigrate);
        assert!(set.migrations[0].directives.no_transaction && !set.migrations[1].directives.no_transaction);
        let set = read(&[
            ("9_b.sql", "-- migrate:up\nselect 1;\n-- migrate:down\nselect 2;"),
            ("10_a.sql", "-- migrate:up transaction:false\nselect 1;\n-- migrate:down transaction:false\nselect 2;"),
        ]);
        assert_eq!(set.problems, []);
        // dbmate goes by file name, and so does this.
        assert_eq!(set.migrations.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["10_a", "9_b"]);
        assert!(set.migrations[0].directives.no_transaction && !set.migrations[1].directives.no_transaction);
    }

    #[test]
    fn nothing_in_a_folder_of_marked_files_is_skipped_silently() {
        let set = read(&[
            ("00001_a.sql", "-- +goose Up\nselect 1;\n-- +goose Down\nselect 2;"),
            ("00002_b.sql", "select 1;"),
            ("00003_c.go", "package m"),
            ("00004_d.sql", "create table early (n int);\n-- +goose Up\nselect 1;\n-- +goose Down\nselect 2;"),
            ("00005_e.sql", "-- +goose Up\n-- +goose ENVSUB ON\nselect '${X}';\n-- +goose Down\nselect 2;"),
            ("six.sql", "-- +goose Up\nselect 1;\n-- +goose Down\nselect 2;"),
            ("notes.sql", "select 1;"),
            ("README.md", "read me"),
        ]);
        assert_eq!(set.migrations.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["00001_a", "00005_e"]);
        // goose may have filled it in and run it: then it is no error, and there is no way back here.
        assert!(
            set.migrations[1].unrunnable.as_ref().is_some_and(|u| u.line == 2) && !set.migrations[1].is_reversible()
        );
        assert!(set.remarks.iter().any(|p| (p.file.as_str(), p.rule) == ("00005_e.sql", "unsupported-file")));
        let problems: Vec<_> = set.problems.iter().map(|p| (p.file.as_str(), p.line, p.rule)).collect();
        assert_eq!(
            problems,
            [
                ("00002_b.sql", 1, "unsupported-file"),
                ("00003_c.go", 1, "unsupported-file"),
                ("00004_d.sql", 1, "unsupported-file"),
                ("notes.sql", 1, "stray-file"),
                ("six.sql", 1, "file-name"),
            ]
        );
    }

    #[test]
    fn a_folder_that_speaks_for_two_layouts_is_not_guessed_at() {
        let files = [
            ("m/00001_a.sql", "-- +goose Up\nselect 1;\n-- +goose Down\nselect 2;"),
            ("m/V2__b.sql", "select 1;"),
            ("m/3_c.sql", "-- migrate:up\nselect 1;"),
        ]
        .map(|(p, t)| SourceFile::new(p, t));
        let set = resolve(&files, &[MigrationRoot::folder("m")]);
        assert_eq!((set.migrations.len(), set.problems.len()), (0, 1), "{:?}", set.problems);
        let problem = &set.problems[0];
        assert_eq!((problem.rule, problem.severity), ("ambiguous-layout", Severity::Error));
        for part in ["`flyway` (by `V2__b.sql`)", "`goose` (by `00001_a.sql`)", "`dbmate`", "3 files"] {
            assert!(problem.message.contains(part), "{}", problem.message);
        }
        assert!(problem.help.contains("path: m, layout: flyway"), "{}", problem.help);
        // What the configuration says holds, and what does not fit it is said file by file.
        let given = MigrationRoot { layout: Some(Layout::Goose), ..MigrationRoot::folder("m") };
        let set = resolve(&files, &[given]);
        assert_eq!(set.migrations.len(), 1);
        let problems: Vec<_> = set.problems.iter().map(|p| (p.file.as_str(), p.rule)).collect();
        assert_eq!(problems, [("m/3_c.sql", "unsupported-layout"), ("m/V2__b.sql", "stray-file")]);
    }
}
