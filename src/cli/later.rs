//! Commands whose options are put together only where the command is meant.

use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

/// The options of one command. There are hundreds in all, and a call needs those of one command. For a command that has
/// commands of its own this is nothing: a completion script would not know them.
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
        command.defer(complete::<T>)
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
