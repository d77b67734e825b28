//! Text with variables in it, which are filled in only where a run happens.

use std::fmt;

/// A variable that a target needs is not set, or empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the variable `{variable}` is not set; `{path}` needs it")]
pub struct MissingVariable {
    /// The variable.
    pub variable: String,
    /// Where it is used, such as `production.targets.shop-pg.password`.
    pub path: String,
}

/// Text with `${VAR}` and `${VAR:-default}` in it. Its literal parts could be secrets, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable { name: String, default: Option<String> },
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.variables()).finish()
    }
}

impl Template {
    /// Reads `text`; `$$` stands for a dollar sign.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            literal.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(tail) = after.strip_prefix('$') {
                literal.push('$');
                rest = tail;
            } else if let Some(body) = after.strip_prefix('{') {
                let end = body.find('}').ok_or("a `${` is not closed by `}`")?;
                let (name, default) = match body[..end].split_once(":-") {
                    Some((name, default)) => (name, Some(default.to_owned())),
                    None => (&body[..end], None),
                };
                let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                if !valid {
                    return Err("a variable is written `${NAME}` or `${NAME:-default}`, letters, digits and `_`");
                }
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::Variable { name: name.to_owned(), default });
                rest = &body[end + 1..];
            } else {
                literal.push('$');
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// The names of its variables, in order.
    pub fn variables(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter_map(|p| match p {
                Part::Variable { name, .. } => Some(name.as_str()),
                Part::Text(_) => None,
            })
            .collect()
    }

    /// The text, if it has no variable.
    pub(super) fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Text(text)] => Some(text),
            [] => Some(""),
            _ => None,
        }
    }

    /// The literal text in front of the first variable.
    pub(super) fn head(&self) -> &str {
        match self.0.first() {
            Some(Part::Text(text)) => text,
            Some(Part::Variable { .. }) | None => "",
        }
    }

    pub(super) fn fill(&self, path: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, MissingVariable> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable { name, default } => {
                    // As in a shell, `:-` also replaces an empty value.
                    let value = lookup(name).filter(|v| !v.is_empty()).or_else(|| default.clone());
                    out.push_str(
                        &value.ok_or_else(|| MissingVariable { variable: name.clone(), path: path.to_owned() })?,
                    );
                }
            }
        }
        Ok(out)
    }

    /// The variables that have no default.
    pub(super) fn needed(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|p| match p {
            Part::Variable { name, default: None } => Some(name.as_str()),
            Part::Variable { default: Some(_), .. } | Part::Text(_) => None,
        })
    }

    /// Its literal text, with the control character 1 for each variable.
    pub(super) fn shape(&self) -> String {
        self.0
            .iter()
            .map(|p| match p {
                Part::Text(text) => text.as_str(),
                Part::Variable { .. } => "\u{1}",
            })
            .collect()
    }
}
