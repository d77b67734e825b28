//! `godwit seal`: a value as it may stand in a migration that everyone can read [S4-84].

use std::io::{IsTerminal as _, Read as _};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::exit::Failure;
use super::{Exit, Format, Global, print, targets};
use crate::ids::EnvironmentName;
use crate::runner::sealed::seal;

/// Arguments of `godwit seal`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit seal --env production < token.txt
  printf %s \"$TOKEN\" | godwit seal --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p

The value is read from standard input, and the line break at its end left out. What is printed goes between the quotes of a
literal of its own, where a value is written:
  ALTER ROLE shop PASSWORD 'ENC[age:…]';
  { \"type\": \"add_field\", \"collection\": \"shops\", \"field\": \"key\", \"value\": \"ENC[age:…]\" }
Only a run opens it, with the private key; lint, plan, comments and history show what stands in the file.")]
pub struct Args {
    /// Seal for the environment's own keys: `sealed.recipients` in `policies/environments.yml`
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<EnvironmentName>,
    /// Seal for this public key, too (may be given again)
    #[arg(long = "recipient", value_name = "age1…")]
    recipients: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Where nothing says for whom to seal, and where standard input holds no text.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let mut recipients = args.recipients;
    if let Some(name) = &args.env {
        let policy = targets::policy(global)?;
        let Some(settings) = policy.environments.get(name) else {
            return Err(Failure::usage(format!("`policies/environments.yml` has no environment `{name}`")));
        };
        if settings.sealed.recipients.is_empty() {
            return Err(Failure::usage(format!(
                "`{name}` names no public key: write `sealed: {{ recipients: [age1…] }}` into its part of \
                 `policies/environments.yml`; `age-keygen` makes a key"
            )));
        }
        recipients.extend(settings.sealed.recipients.iter().cloned());
    }
    if recipients.is_empty() {
        return Err(Failure::usage("say for whom: `--env ENVIRONMENT`, or a public key with `--recipient age1…`"));
    }
    recipients.sort();
    recipients.dedup();
    let value = value()?;
    let sealed = seal(value.expose_secret(), &recipients).map_err(Failure::usage)?;
    if global.format == Format::Json {
        print::json(&json!({ "sealed": sealed, "recipients": recipients }))?;
    } else {
        print::text(&format!("{sealed}\n"))?;
    }
    Ok(Exit::Done)
}

/// What standard input holds.
fn value() -> anyhow::Result<SecretString> {
    let mut input = std::io::stdin();
    if input.is_terminal() {
        anstream::eprintln!("the value, then Ctrl-D on a line of its own:");
    }
    let mut text = String::new();
    input
        .read_to_string(&mut text)
        .map_err(|e| Failure::usage(format!("the value cannot be read: {e}; seal text in UTF-8")))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return Err(Failure::usage("there is no value on standard input"));
    }
    Ok(SecretString::from(text))
}
