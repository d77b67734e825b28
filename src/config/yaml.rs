//! YAML into types, with errors that name file, line and what is allowed.

use serde::de::DeserializeOwned;

use super::ConfigError;

/// Parses `text` of `file` into `T`, which refuses unknown keys itself (`deny_unknown_fields`).
///
/// # Errors
/// The parser's message with its line and column. The text is never quoted: it could hold a secret.
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, ConfigError> {
    serde_yaml::from_str(text).map_err(|e| {
        let location = e.location();
        let message = e.to_string();
        // The location stands in front, in the form editors understand.
        let message = message.rsplit_once(" at line ").map_or(message.clone(), |(m, _)| m.to_owned());
        ConfigError {
            file: file.to_owned(),
            line: location.as_ref().map(serde_yaml::Location::line),
            column: location.as_ref().map(serde_yaml::Location::column),
            message,
        }
    })
}
