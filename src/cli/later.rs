//! Commands whose options are put together only where the command is meant.

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Exit;
use super::exit::Told;
use clap::{ArgMatches, Args, Command, Error, FromArgMatches, Parser};

/// Whether a command line is being read, which means one command. Whoever looks at the commands otherwise sees all of each.
static READING: AtomicBool = AtomicBool::new(false);

/// Reads a command line. There are hundreds of options in all, and a call needs those of one command.
///
/// # Errors
/// The exit code, once it is printed what is wrong with the line, or the help that it asks for.
pub(super) fn parse<T: Parser>(line: impl IntoIterator<Item: Into<OsString> + Clone>, told: Told) -> Result<T, Exit> {
    READING.store(true, Ordering::Relaxed);
    let parsed = T::try_parse_from(line);
    READING.store(false, Ordering::Relaxed);
    parsed.map_err(|error| {
        if error.use_stderr() && told == Told::Annotated {
            let text = error.to_string();
            anstream::eprintln!("{}", told.words(text.strip_prefix("error: ").unwrap_or(&text).trim_end()));
        } else {
            // As clap does itself, which ignores a closed pipe too.
            let _ = error.print();
        }
        if error.use_stderr() { Exit::Usage } else { Exit::Done }
    })
}

/// The options of one command.
#[derive(Debug)]
pub struct Later<T>(pub T);

impl<T: Args> FromArgMatches for Later<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Later<T> {
    fn augment_args(command: Command) -> Command {
        if READING.load(Ordering::Relaxed) { command.defer(complete::<T>) } else { T::augment_args(command) }
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }
}

/// Adds the options. What was said of the command beside its name stays: by then it is more than the options' own type says.
fn complete<T: Args>(command: Command) -> Command {
    let (about, long) = (command.get_about().cloned(), command.get_long_about().cloned());
    let mut command = T::augment_args(command);
    if let Some(about) = about {
        command = command.about(about);
    }
    match long {
        Some(long) => command.long_about(long),
        None => command.long_about(None::<&'static str>),
    }
}
