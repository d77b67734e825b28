//! Sealed values where they are opened: before anything is changed, to see that they can be, and for the step that holds
//! them [S4-84]. Each is decrypted once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use secrecy::{ExposeSecret as _, SecretString};

use super::locked::{ByName, script_of};
use super::target::Job;
use crate::ids::Engine;
use crate::migration::Script;
use crate::migration::execution::CannotExecute;
use crate::migration::sealed::{self, Form, Hidden, Sealed};
use crate::plan::{MigrationPlan, Refusal};

/// The private key (`AGE-SECRET-KEY-1…`) that opens sealed values where no environment names one.
pub const IDENTITY: &str = "GODWIT_SEALED_IDENTITY";
/// The file that holds it.
pub const IDENTITY_FILE: &str = "GODWIT_SEALED_IDENTITY_FILE";

/// What a run does with sealed values.
#[derive(Debug, Clone)]
pub enum Opening {
    /// Opens them.
    With(Keys),
    /// Leaves them as they stand: a rehearsal needs nobody's secrets, and may be of files that nobody has agreed to.
    Never,
}

impl Default for Opening {
    fn default() -> Self {
        Opening::With(Keys::default())
    }
}

/// Private keys that open sealed values, or why there are none.
#[derive(Clone, Default)]
pub struct Keys {
    identities: Vec<SecretString>,
    /// Told when a value is to be opened.
    missing: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.identities.len())
    }
}

impl Keys {
    /// The keys of a text, one a line; lines that begin with `#` are comments, as `age-keygen` writes them.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let identities = lines
            .map(|line| {
                crate::redact::register(line);
                SecretString::from(line)
            })
            .collect();
        Self { identities, missing: None }
    }

    /// No keys; `why` is told where one would be needed.
    pub fn missing(why: String) -> Self {
        Self { identities: Vec::new(), missing: Some(why) }
    }

    /// Those of `GODWIT_SEALED_IDENTITY` or `GODWIT_SEALED_IDENTITY_FILE`, by `lookup`.
    pub fn from_variables(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let filled = |name: &str| lookup(name).filter(|text| !text.trim().is_empty());
        match (filled(IDENTITY), filled(IDENTITY_FILE)) {
            (Some(text), _) => Self::parse(&text),
            (None, Some(file)) => match std::fs::read_to_string(&file) {
                Ok(text) => Self::parse(&text),
                Err(e) => Self::missing(format!("`{file}`, named by `{IDENTITY_FILE}`, cannot be read: {e}")),
            },
            (None, None) => Self::default(),
        }
    }

    fn refusal(&self, message: String) -> Refusal {
        Refusal {
            reason: "sealed".to_owned(),
            message,
            what_to_do: self.missing.clone().unwrap_or_else(|| {
                format!(
                    "give the private key for which it was sealed: `sealed.identity` of the environment in \
                     `policies/environments.yml`, or `{IDENTITY}` or `{IDENTITY_FILE}`"
                )
            }),
            needs_human: false,
        }
    }
}

/// The values of a step that were opened, so that nothing that is told of it repeats them.
#[derive(Default)]
pub(super) struct Opened(OnceLock<Vec<Hidden>>);

impl Opened {
    /// `text` without any of them.
    pub fn blot(&self, text: &str) -> String {
        match self.0.get() {
            None => text.to_owned(),
            Some(values) => sealed::blotted(text, values),
        }
    }

    /// Why a step does not run, without any of them.
    pub fn blot_refusal(&self, refusal: Refusal) -> Refusal {
        Refusal { message: self.blot(&refusal.message), what_to_do: self.blot(&refusal.what_to_do), ..refusal }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.0.get().is_none()
    }

    fn remember(&self, values: &[SecretString]) {
        register(values);
        let _ = self.0.set(values.iter().map(|value| Hidden::of(value.expose_secret())).collect());
    }
}

/// Nothing that is ever printed shows these.
fn register(values: &[SecretString]) {
    // A common word would be blotted out of everything that this process ever prints.
    let long = values.iter().map(|value| value.expose_secret()).filter(|value| value.len() >= 8);
    long.for_each(crate::redact::register);
}

/// The values of scripts that were opened before anything was changed, each until its step runs.
#[derive(Default)]
pub(super) struct Kept(Mutex<HashMap<Place, Vec<SecretString>>>);

/// Where a script begins: its file, line and column.
type Place = (String, u32, u32);

impl Kept {
    fn place(script: &Script) -> Place {
        (script.path.clone(), script.first_line, script.first_column)
    }

    fn keep(&self, script: &Script, values: Vec<SecretString>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(Self::place(script), values);
    }

    fn take(&self, script: &Script) -> Option<Vec<SecretString>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&Self::place(script))
    }
}

/// A script as it runs: with its sealed values opened, which `opened` remembers. Those that are `kept` are not decrypted again.
pub(super) fn open<'s>(
    engine: Engine,
    script: &'s Script,
    opening: &Opening,
    kept: &Kept,
    opened: &Opened,
) -> Result<Cow<'s, Script>, Refusal> {
    let Some((text, values)) = script_opened(engine, script, opening, kept)? else { return Ok(Cow::Borrowed(script)) };
    opened.remember(&values);
    Ok(Cow::Owned(Script { text, ..script.clone() }))
}

/// Sees that a script can be opened; what that took is `kept` for its step.
fn try_opening(engine: Engine, script: &Script, opening: &Opening, kept: &Kept) -> Result<(), Refusal> {
    if let Some((_, values)) = script_opened(engine, script, opening, kept)? {
        register(&values);
        kept.keep(script, values);
    }
    Ok(())
}

/// The text of a script with its sealed values opened, and these; `None` where it runs as it stands.
fn script_opened(
    engine: Engine,
    script: &Script,
    opening: &Opening,
    kept: &Kept,
) -> Result<Option<(String, Vec<SecretString>)>, Refusal> {
    let Opening::With(keys) = opening else { return Ok(None) };
    if !sealed::holds(&script.text) {
        return Ok(None);
    }
    opened_text(Form::of_migrations(engine), &script.text, keys, kept.take(script))
        .map(Some)
        .map_err(|wrong| wrong.refusal(keys, &script.path, script.first_line))
}

/// Seed data as it is put in, with its sealed values opened; beside it what takes them out of messages.
///
/// # Errors
/// Why one cannot be opened.
pub(super) fn open_seed<'s>(
    engine: Engine,
    (file, text): (&str, &'s str),
    keys: &Keys,
) -> Result<(Cow<'s, str>, Opened), Refusal> {
    let opened = Opened::default();
    if !sealed::holds(text) {
        return Ok((Cow::Borrowed(text), opened));
    }
    let (text, values) =
        opened_text(Form::of_seeds(engine), text, keys, None).map_err(|wrong| wrong.refusal(keys, file, 1))?;
    opened.remember(&values);
    Ok((Cow::Owned(text), opened))
}

/// Why a sealed value is not opened.
enum Closed {
    /// It stands where it cannot be opened.
    Wrong(CannotExecute),
    /// Its line, and what is wrong with the key.
    Key(u32, String),
}

impl Closed {
    fn refusal(self, keys: &Keys, file: &str, first_line: u32) -> Refusal {
        match self {
            Closed::Wrong(wrong) => Refusal {
                reason: wrong.rule.to_owned(),
                message: format!("{file}:{}: {}", first_line + wrong.line - 1, wrong.message),
                what_to_do: wrong.help,
                needs_human: false,
            },
            Closed::Key(line, why) => {
                keys.refusal(format!("{file}:{}: a sealed value cannot be opened: {why}", first_line + line - 1))
            }
        }
    }
}

/// A text with its sealed values opened, and these; `known` are those of the same text, where it was opened before.
fn opened_text(
    form: Form,
    text: &str,
    keys: &Keys,
    known: Option<Vec<SecretString>>,
) -> Result<(String, Vec<SecretString>), Closed> {
    let all = sealed::all(form, text).map_err(Closed::Wrong)?;
    let decrypted =
        |one: &Sealed| age_file::value(&one.file, &keys.identities).map_err(|why| Closed::Key(one.line, why));
    let values = match known {
        Some(values) => values,
        None => all.iter().map(decrypted).collect::<Result<_, _>>()?,
    };
    let exposed: Vec<&str> = values.iter().map(|v| v.expose_secret()).collect();
    let text = sealed::filled(text, &all, &exposed).map_err(Closed::Wrong)?;
    Ok((text, values))
}

/// What is to be known of sealed values before anything is changed: a line for each script that holds some where the plan
/// is only shown, and each that cannot be opened where it is carried out.
pub(super) fn foretell(job: &Job<'_>, plan: &MigrationPlan) -> Result<Vec<String>, Vec<Refusal>> {
    let by_name = ByName::new(job.set);
    let (mut notes, mut refusals) = (Vec::new(), Vec::new());
    for step in &plan.steps {
        let Some(script) = by_name.of(step).and_then(|m| script_of(m, step.action)).filter(|s| sealed::holds(&s.text))
        else {
            continue;
        };
        if job.options.dry_run {
            let count = sealed::each(Form::of_migrations(step.engine), &script.text).len();
            let values = match count {
                1 => "a sealed value, which is".to_owned(),
                _ => format!("{count} sealed values, which are"),
            };
            notes.push(format!(
                "{}: `{}` holds {values} opened when the step runs, and shown nowhere",
                step.target, script.path
            ));
        } else if let Err(refusal) = try_opening(step.engine, script, &job.options.opening, &job.kept) {
            refusals.push(refusal);
        }
    }
    if refusals.is_empty() { Ok(notes) } else { Err(refusals) }
}

/// A value for the keys of `recipients` (`age1…`), as it is written into a migration between the quotes of a literal.
///
/// # Errors
/// A recipient that is no public key; a build without encryption.
pub fn seal(value: &str, recipients: &[String]) -> Result<String, String> {
    age_file::sealed(value, recipients).map(|file| sealed::written(&file))
}

#[cfg(feature = "encryption")]
mod age_file {
    use super::*;

    /// The value that an age file holds.
    pub fn value(file: &[u8], identities: &[SecretString]) -> Result<SecretString, String> {
        if identities.is_empty() {
            return Err("no key is given".to_owned());
        }
        let mut last = String::new();
        for text in identities {
            let key: age::x25519::Identity =
                text.expose_secret().parse().map_err(|_| "the key given is no `AGE-SECRET-KEY-1…`".to_owned())?;
            match age::decrypt(&key, file) {
                Ok(bytes) => {
                    return String::from_utf8(bytes)
                        .map(SecretString::from)
                        .map_err(|_| "what it holds is not UTF-8 text".to_owned());
                }
                Err(age::DecryptError::NoMatchingKeys) => "it was sealed for another key".clone_into(&mut last),
                Err(other) => last = format!("it is damaged: {other}"),
            }
        }
        Err(last)
    }

    /// The age file of a value.
    pub fn sealed(value: &str, recipients: &[String]) -> Result<Vec<u8>, String> {
        let keys = recipients
            .iter()
            .map(|text| {
                text.parse::<age::x25519::Recipient>().map_err(|e| format!("`{text}` is no `age1…` public key: {e}"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let encryptor = age::Encryptor::with_recipients(keys.iter().map(|k| k as &dyn age::Recipient))
            .map_err(|e| e.to_string())?;
        let mut file = Vec::new();
        let mut writer = encryptor.wrap_output(&mut file).map_err(|e| e.to_string())?;
        std::io::Write::write_all(&mut writer, value.as_bytes()).map_err(|e| e.to_string())?;
        writer.finish().map_err(|e| e.to_string())?;
        Ok(file)
    }
}

#[cfg(not(feature = "encryption"))]
mod age_file {
    use super::*;

    const UNABLE: &str = "this build cannot encrypt or decrypt: it lacks the feature `encryption`";

    pub fn value(_: &[u8], _: &[SecretString]) -> Result<SecretString, String> {
        Err(UNABLE.to_owned())
    }

    pub fn sealed(_: &str, _: &[String]) -> Result<Vec<u8>, String> {
        Err(UNABLE.to_owned())
    }
}

#[cfg(all(test, feature = "encryption"))]
mod tests {
    use age::secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn s4_84_what_was_opened_before_anything_was_changed_is_decrypted_once() {
        let key = age::x25519::Identity::generate();
        let sealed = seal("a long password", &[key.to_public().to_string()]).unwrap();
        let script = Script::whole("1_a.up.sql", format!("alter role app password '{sealed}';"));
        let with = Opening::With(Keys::parse(key.to_string().expose_secret()));
        let without = Opening::With(Keys::default());
        let (kept, opened) = (Kept::default(), Opened::default());
        try_opening(Engine::Postgresql, &script, &with, &kept).unwrap();
        // With no key there is nothing to decrypt with.
        let run = open(Engine::Postgresql, &script, &without, &kept, &opened).unwrap();
        assert!(run.text.ends_with(r"E'a\u0020long\u0020password';"), "{}", run.text);
        assert!(!opened.blot("it was a long password").contains("long"));
        // Nothing is kept beyond its step, nor for another script.
        assert!(open(Engine::Postgresql, &script, &without, &kept, &opened).is_err());
        try_opening(Engine::Postgresql, &script, &with, &kept).unwrap();
        let down = Script { first_line: 2, ..script.clone() };
        assert!(open(Engine::Postgresql, &down, &without, &kept, &opened).is_err());
        // What cannot be opened is told, and a rehearsal opens nothing.
        assert!(try_opening(Engine::Postgresql, &down, &without, &kept).is_err());
        assert!(try_opening(Engine::Postgresql, &down, &Opening::Never, &kept).is_ok());
        assert_eq!(open(Engine::Postgresql, &down, &Opening::Never, &kept, &opened).unwrap().text, script.text);
    }
}
