//! What a new migration is called: the next number or time of its folder, and where its files stand. Pure.

use chrono::{DateTime, Duration, NaiveDateTime, Utc};

use crate::migration::{Layout, Migration};

/// The place of a new migration in its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Stem of its files, or name of its folder.
    pub stem: String,
    /// The semantic version, in the layout that has one.
    pub version: String,
    /// Paths below the folder: of the forward script, and of the backward one where it has a file of its own.
    pub up: String,
    pub down: Option<String>,
}

/// Words as a file's name has them: lower case, `_` between them.
///
/// # Errors
/// Letters that such a name does not have. They are not left out: `Größe` is no `gr_e`, and how it is written in plain letters
/// depends on the language.
pub(super) fn snake(text: &str) -> Result<String, String> {
    let mut strange: Vec<String> = Vec::new();
    for c in text.chars().filter(|c| is_strange(*c)) {
        let shown = format!("`{c}`");
        if !strange.contains(&shown) {
            strange.push(shown);
        }
    }
    if !strange.is_empty() {
        return Err(format!(
            "a name has the letters a–z, digits and `_`, not {}: write it in those, such as `create_orders`; `--description` takes any text",
            strange.join(", ")
        ));
    }
    let plain: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' }).collect();
    Ok(plain.split_whitespace().collect::<Vec<_>>().join("_"))
}

/// Whether a character is more than what separates words: a letter, a digit, an accent or a picture beyond ASCII.
fn is_strange(c: char) -> bool {
    let separates = matches!(c, '\u{80}'..='\u{bf}' | '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{303f}');
    !c.is_ascii() && (c.is_alphanumeric() || !separates)
}

/// The highest number that one of these files of a folder begins with, whether it can be read as a migration or not.
pub(super) fn highest<'f>(files: impl IntoIterator<Item = &'f str>) -> Option<String> {
    let numbers = files.into_iter().filter_map(|file| {
        let (stem, ending) = file.rsplit_once('.')?;
        let end = stem.find(|c: char| !c.is_ascii_digit())?;
        let is_number = (1..=18).contains(&end) && stem[end..].starts_with(['_', '-']);
        (is_number && matches!(ending, "json" | "sql" | "lua")).then(|| stem[..end].to_owned())
    });
    numbers.max_by_key(|number| number.parse::<u64>().unwrap_or(0))
}

/// The place behind `there`, the migrations of the folder in their order, and behind `taken`, the [`highest`] number of its
/// files. `step` moves the semantic version on.
pub(super) fn next(
    layout: Layout,
    name: &str,
    (there, taken): (&[&Migration], Option<&str>),
    step: Step,
    now: DateTime<Utc>,
) -> Place {
    let last = there.iter().filter(|m| !m.repeatable).max_by(|a, b| a.version.cmp(&b.version));
    let number = last.map(|m| digits_of(m.id.as_str().trim_start_matches('V')));
    let value = |number: &str| number.parse::<u64>().unwrap_or(0);
    let number = match (number.as_deref(), taken) {
        (Some(number), Some(taken)) if value(taken) > value(number) => Some(taken),
        (None, taken) => taken,
        (number, _) => number,
    };
    let time = |form: &str| stamp(number, now).format(form).to_string();
    let long = |default: bool| number.map_or(default, |n| n.len() >= 12);
    let pairs = last.is_none_or(|m| m.up.path.ends_with(".up.sql"));
    let counted = |width: usize, times: bool| if long(times) { time("%Y%m%d%H%M%S") } else { after(number, width) };
    let pair = |stem: String| {
        let (up, down) = if pairs {
            (format!("{stem}.up.sql"), Some(format!("{stem}.down.sql")))
        } else {
            (format!("{stem}.sql"), None)
        };
        Place { up, down, stem, version: String::new() }
    };
    let one = |stem: String| Place { up: format!("{stem}.sql"), down: None, stem, version: String::new() };
    match layout {
        Layout::Numbered => pair(format!("{}_{name}", counted(4, false))),
        Layout::Sqlx => pair(format!("{}_{name}", counted(4, true))),
        Layout::Service => {
            let stem = format!("{}_{name}", after(number, 4));
            Place { up: format!("{stem}.up.sql"), down: Some(format!("{stem}.down.sql")), stem, version: String::new() }
        }
        Layout::Goose => one(format!("{}_{name}", counted(5, false))),
        Layout::Dbmate => one(format!("{}_{name}", counted(14, true))),
        Layout::SqlMigrate => one(format!("{}-{name}", counted(1, true))),
        Layout::Flyway => {
            let version = match last.map(|m| m.version.as_str()) {
                Some(text) if text.len() < 12 => raise(text),
                Some(_) => time("%Y%m%d%H%M%S"),
                None => "1".to_owned(),
            };
            let stem = format!("V{version}__{name}");
            let down = Some(format!("U{version}__{name}.sql"));
            Place { up: format!("{stem}.sql"), down, stem, version: String::new() }
        }
        Layout::Prisma => {
            let stem = format!("{}_{name}", time("%Y%m%d%H%M%S"));
            Place { up: format!("{stem}/migration.sql"), down: None, stem, version: String::new() }
        }
        Layout::Diesel => {
            let stem = format!("{}_{name}", time("%Y-%m-%d-%H%M%S"));
            Place { up: format!("{stem}/up.sql"), down: Some(format!("{stem}/down.sql")), stem, version: String::new() }
        }
        Layout::Scripts => {
            let before = last.map(|m| m.version.as_str());
            // The time in the last script's name, behind its number.
            let at: Option<String> = last.map(|m| m.id.as_str().splitn(4, '_').skip(1).take(2).collect());
            let time = stamp(at.as_deref(), now).format("%Y%m%d_%H%M%S");
            let stem = format!("{}_{time}_{name}", after(before, 3));
            let down = Some(format!("../rollbacks/{stem}_rollback.sql"));
            Place { up: format!("{stem}.sql"), down, stem, version: String::new() }
        }
        Layout::Typed => {
            let stem = format!("{}_{name}", after(number, 3));
            let version = last.map_or_else(|| "1.0.0".to_owned(), |m| semver_after(m.version.as_str(), step));
            Place { up: format!("{stem}.json"), down: Some(format!("{stem}_rollback")), stem, version }
        }
    }
}

/// How far a semantic version moves [S4-41] [S4-42] [S4-43].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Major,
    Minor,
    Patch,
}

fn semver_after(text: &str, step: Step) -> String {
    let mut parts = text.split('.').map(|p| p.parse::<u64>().unwrap_or(0));
    let (major, minor, patch) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    match step {
        Step::Major => format!("{}.0.0", major.saturating_add(1)),
        Step::Minor => format!("{major}.{}.0", minor.saturating_add(1)),
        Step::Patch => format!("{major}.{minor}.{}", patch.saturating_add(1)),
    }
}

/// The digits that a name begins with, separators of a time left out.
fn digits_of(id: &str) -> String {
    let end = id.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(id.len());
    id[..end].chars().filter(char::is_ascii_digit).collect()
}

/// The number behind `last`, as wide as that one, or `width` for the first.
fn after(last: Option<&str>, width: usize) -> String {
    let width = last.map_or(width, str::len);
    let next = last.map_or(1, |n| n.parse::<u64>().map_or(1, |n| n.saturating_add(1)));
    format!("{next:0width$}")
}

/// The last part of a version raised by one.
fn raise(version: &str) -> String {
    let at = version.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    format!("{}{}", &version[..at], after(Some(&version[at..]), 1))
}

/// Now, or the second behind `last` where that lies ahead.
fn stamp(last: Option<&str>, now: DateTime<Utc>) -> DateTime<Utc> {
    let last = last.and_then(|text| NaiveDateTime::parse_from_str(text, "%Y%m%d%H%M%S").ok());
    last.map_or(now, |last| now.max(last.and_utc() + Duration::seconds(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    fn place(layout: Layout, files: &[&str], name: &str) -> Place {
        let files: Vec<_> = files.iter().map(|p| SourceFile::new(format!("m/{p}"), "select 1;")).collect();
        let set = resolve(&files, &[MigrationRoot { layout: Some(layout), ..MigrationRoot::folder("m") }]);
        let there: Vec<_> = set.migrations.iter().collect();
        next(layout, name, (&there, None), Step::Minor, "2026-03-04T05:06:07Z".parse().unwrap())
    }

    #[test]
    fn each_layout_counts_in_its_own_way() {
        for (layout, files, stem) in [
            (Layout::Numbered, &[][..], "0001_a"),
            (Layout::Numbered, &["09_x.up.sql", "09_x.down.sql"], "10_a"),
            (Layout::Numbered, &["20260304050607_x.up.sql"], "20260304050608_a"),
            (Layout::Service, &["0041_x.up.sql", "0041_x.down.sql"], "0042_a"),
            (Layout::Flyway, &["V1.9__x.sql"], "V1.10__a"),
            (Layout::Flyway, &["V3__x.sql", "R__view.sql"], "V4__a"),
            (Layout::Prisma, &["20250101000000_x/migration.sql"], "20260304050607_a"),
            (Layout::Diesel, &["2026-03-04-050607_x/up.sql"], "2026-03-04-050608_a"),
            (Layout::Scripts, &["007_20250101_000000_x.sql"], "008_20260304_050607_a"),
            (Layout::Sqlx, &[], "20260304050607_a"),
            (Layout::Dbmate, &[], "20260304050607_a"),
            (Layout::SqlMigrate, &[], "20260304050607-a"),
            (Layout::Goose, &[], "00001_a"),
        ] {
            assert_eq!(place(layout, files, "a").stem, stem, "{layout} {files:?}");
        }
        assert_eq!(place(Layout::Sqlx, &["1_x.sql"], "a").down, None);
        assert_eq!(semver_after("1.9.3", Step::Minor), "1.10.0");
        assert_eq!(
            (semver_after("1.9.3", Step::Major), semver_after("1.9.3", Step::Patch)),
            ("2.0.0".into(), "1.9.4".into())
        );
        assert_eq!(snake("Add user-preferences  Table!").as_deref(), Ok("add_user_preferences_table"));
        assert_eq!(snake("orders – the “new” ones…").as_deref(), Ok("orders_the_new_ones"));
        for (name, strange) in [
            ("Ünïcode", "`Ü`, `ï`:"),
            ("U\u{308}nicode", "`\u{308}`"),
            ("заказы", "`з`"),
            ("m²", "`²`"),
            ("go 🚀", "`🚀`"),
        ] {
            let told = snake(name).expect_err(name);
            assert!(told.contains(strange), "{told}");
        }
    }

    #[test]
    fn what_cannot_be_read_takes_its_number_all_the_same() {
        let stem = |there: &[&str], layout| {
            let files: Vec<_> = there.iter().map(|p| SourceFile::new(format!("m/{p}"), "{")).collect();
            let set = resolve(&files, &[MigrationRoot { layout: Some(layout), ..MigrationRoot::folder("m") }]);
            let migrations: Vec<_> = set.migrations.iter().collect();
            let taken = highest(there.iter().copied());
            next(layout, "a", (&migrations, taken.as_deref()), Step::Minor, Utc::now()).stem
        };
        assert_eq!(stem(&["001_x.json"], Layout::Typed), "002_a");
        assert_eq!(stem(&["001_x.json", "012_y.lua", "README.md", "20_z.txt"], Layout::Typed), "013_a");
        assert_eq!(stem(&["0001_x.up.sql", "0002_y.down.sql"], Layout::Numbered), "0003_a");
        assert_eq!(highest(["V3__x.sql", "7.sql", "3rd.sql", "0_x.sql"]), Some("0".to_owned()));
    }
}
