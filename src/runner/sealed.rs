//! Sealed values where they are opened: right before a step that holds them is carried out [S4-84].

use std::borrow::Cow;
use std::sync::OnceLock;

use secrecy::{ExposeSecret as _, SecretString};

use super::locked::{ByName, script_of};
use super::target::Job;
use crate::ids::Engine;
use crate::migration::Script;
use crate::migration::execution::CannotExecute;
use crate::migration::sealed::{self, Form, Hidden};
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
        for value in values {
            // A common word would be blotted out of everything that this process ever prints.
            if value.expose_secret().len() >= 8 {
                crate::redact::register(value.expose_secret());
            }
        }
        let _ = self.0.set(values.iter().map(|value| Hidden::of(value.expose_secret())).collect());
    }
}

/// A script as it runs: with its sealed values opened, which `opened` remembers.
pub(super) fn open<'s>(
    engine: Engine,
    script: &'s Script,
    opening: &Opening,
    opened: &Opened,
) -> Result<Cow<'s, Script>, Refusal> {
    let Opening::With(keys) = opening else { return Ok(Cow::Borrowed(script)) };
    if !sealed::holds(&script.text) {
        return Ok(Cow::Borrowed(script));
    }
    let (text, values) = opened_text(Form::of_migrations(engine), &script.text, keys)
        .map_err(|wrong| wrong.refusal(keys, &script.path, script.first_line))?;
    opened.remember(&values);
    Ok(Cow::Owned(Script { text, ..script.clone() }))
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
        opened_text(Form::of_seeds(engine), text, keys).map_err(|wrong| wrong.refusal(keys, file, 1))?;
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

fn opened_text(form: Form, text: &str, keys: &Keys) -> Result<(String, Vec<SecretString>), Closed> {
    let all = sealed::all(form, text).map_err(Closed::Wrong)?;
    let mut values = Vec::with_capacity(all.len());
    for one in &all {
        values.push(age_file::value(&one.file, &keys.identities).map_err(|why| Closed::Key(one.line, why))?);
    }
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
        } else if let Err(refusal) = open(step.engine, script, &job.options.opening, &Opened::default()) {
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
