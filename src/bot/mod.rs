//! Gather, decide, act: what the bot does per event.
