//! Prisma's description of a schema (`schema.prisma`), as far as tables and columns go.

use std::collections::BTreeSet;

/// A model, with the table that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name in the file.
    pub name: String,
    /// The table, with its schema where one is written.
    pub table: String,
    /// The file and the line (from 1) at which it begins.
    pub place: (String, u32),
    /// Its columns.
    pub fields: Vec<Field>,
    /// Whether a field could not be understood.
    pub unclear: bool,
}

/// A field that is a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name in the file.
    pub name: String,
    /// The column.
    pub column: String,
    /// Whether it may be missing; `None` where that says nothing of the column (lists).
    pub optional: Option<bool>,
    /// Line of the file.
    pub line: u32,
}

/// Prisma's own types of columns.
const SCALARS: [&str; 9] = ["String", "Boolean", "Int", "BigInt", "Float", "Decimal", "DateTime", "Json", "Bytes"];

/// What the files of one schema say together.
#[derive(Debug, Default)]
pub struct Schema {
    /// Its models.
    pub models: Vec<Model>,
    /// Tables that it names without asking for their columns: views, and what is left to others.
    pub other: BTreeSet<String>,
}

/// A block of a file: `model User {` to `}`.
struct Block<'a> {
    kind: &'a str,
    name: &'a str,
    line: u32,
    body: Vec<(u32, String)>,
    file: &'a str,
}

/// Reads the files of one schema.
pub fn read(files: &[(String, String)]) -> Schema {
    let blocks: Vec<Block<'_>> = files.iter().flat_map(|(path, text)| blocks(path, text)).collect();
    let of = |kind: &str| blocks.iter().filter(|b| b.kind == kind).map(|b| b.name).collect::<BTreeSet<_>>();
    let (enums, models, types) = (of("enum"), of("model"), of("type"));
    let mut schema = Schema::default();
    for block in &blocks {
        match block.kind {
            "model" => schema.models.push(model(block, &enums, &models, &types)),
            "view" => drop(schema.other.insert(table_of(block))),
            _ => {}
        }
    }
    schema
}

fn blocks<'a>(file: &'a str, text: &'a str) -> Vec<Block<'a>> {
    let mut found: Vec<Block<'a>> = Vec::new();
    let mut open = false;
    for (line, n) in text.lines().zip(1u32..) {
        let bare = without_comment(line);
        let bare = bare.trim();
        if open {
            if bare == "}" {
                open = false;
            } else if !bare.is_empty()
                && let Some(block) = found.last_mut()
            {
                block.body.push((n, bare.to_owned()));
            }
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(kind), Some(name)) = (words.next(), words.next()) else { continue };
        let known = matches!(kind, "model" | "enum" | "type" | "view" | "datasource" | "generator");
        if known && bare.contains('{') {
            found.push(Block { kind, name: name.trim_end_matches('{'), line: n, body: Vec::new(), file });
            open = !bare.ends_with('}');
        }
    }
    found
}

/// A line up to its `//`, which in a text is none.
fn without_comment(line: &str) -> &str {
    let mut in_text = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '/' if !in_text && line[at..].starts_with("//") => return &line[..at],
            _ => {}
        }
    }
    line
}

/// The text that an attribute is given: `@map("x")`, `@@schema("x")`, `@@map(name: "x")`.
fn given<'a>(line: &'a str, attribute: &str) -> Option<&'a str> {
    let mut from = 0;
    loop {
        let at = from + line[from..].find(attribute)?;
        let rest = &line[at + attribute.len()..];
        let whole = !line[..at].ends_with('@') || attribute.starts_with("@@");
        if let Some(arguments) = rest.strip_prefix('(').filter(|_| whole) {
            return arguments.split('"').nth(1);
        }
        from = at + attribute.len();
    }
}

fn table_of(block: &Block<'_>) -> String {
    let said = |attribute: &str| block.body.iter().find_map(|(_, line)| given(line, attribute));
    let name = said("@@map").unwrap_or(block.name);
    match said("@@schema").filter(|schema| *schema != "public") {
        Some(schema) => format!("{schema}.{name}"),
        None => name.to_owned(),
    }
}

fn model(block: &Block<'_>, enums: &BTreeSet<&str>, models: &BTreeSet<&str>, types: &BTreeSet<&str>) -> Model {
    let mut fields = Vec::new();
    let mut unclear = false;
    for (line, text) in block.body.iter().filter(|(_, t)| !t.starts_with("@@")) {
        let mut words = text.split_whitespace();
        let (Some(name), Some(ty)) = (words.next(), words.next()) else {
            unclear = true;
            continue;
        };
        let base = ty.trim_end_matches(['?', '[', ']', '!']);
        let is_unsupported = base.starts_with("Unsupported");
        if models.contains(base) {
            continue;
        }
        if !(SCALARS.contains(&base) || enums.contains(base) || types.contains(base) || is_unsupported) {
            unclear = true;
            continue;
        }
        let optional = match (ty.contains("[]"), is_unsupported) {
            (true, _) => None,
            (false, true) => Some(text.contains(")?")),
            (false, false) => Some(ty.ends_with('?')),
        };
        let column = given(text, "@map").unwrap_or(name).to_owned();
        fields.push(Field { name: name.to_owned(), column, optional, line: *line });
    }
    Model {
        name: block.name.to_owned(),
        table: table_of(block),
        place: (block.file.to_owned(), block.line),
        fields,
        unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"
// everything here is a sample
generator client { provider = "prisma-client-js" }
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL") // "not here"
}
enum Role { ADMIN
  USER
}
model User {
  id        String   @id @default(cuid())
  email     String   @unique @map("e_mail") // @map("other")
  role      Role     @default(USER)
  tags      String[]
  nick      String?
  where     Unsupported("point")?
  posts     Post[]
  @@map("users")
  @@index([email])
}
/// a view
view Totals {
  id Int @unique
}
model Post {
  id     Int  @id
  by     User @relation(fields: [byId], references: [id])
  byId   String @map(name: "by_id")
  odd    Strange
  @@schema("blog")
}
"#;

    #[test]
    fn n16_models_fields_and_names_are_read() {
        let schema = read(&[("prisma/schema.prisma".to_owned(), SCHEMA.to_owned())]);
        let [user, post] = schema.models.as_slice() else { panic!("{:?}", schema.models) };
        assert_eq!((user.table.as_str(), post.table.as_str()), ("users", "blog.Post"));
        let columns: Vec<(&str, Option<bool>)> = user.fields.iter().map(|f| (f.column.as_str(), f.optional)).collect();
        assert_eq!(
            columns,
            [
                ("id", Some(false)),
                ("e_mail", Some(false)),
                ("role", Some(false)),
                ("tags", None),
                ("nick", Some(true)),
                ("where", Some(true))
            ]
        );
        assert!(!user.unclear && post.unclear);
        assert_eq!(post.fields.iter().map(|f| f.column.as_str()).collect::<Vec<_>>(), ["id", "by_id"]);
        assert_eq!(schema.other.iter().collect::<Vec<_>>(), ["Totals"]);
    }
}
