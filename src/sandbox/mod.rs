//! A stand-in for GitHub: stateful REST, git over HTTP, signed webhooks, faults. Knows nothing of the bot.
