//! The databases that migrations run on: one thin driver per engine. No policy inside.
