//! The App: its tokens, its installation, its deliveries.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::super::state::{Token, World};

/// Makes an installation token; gives it and its end.
pub(in crate::sandbox) fn mint(
    world: &mut World,
    permissions: Option<BTreeMap<String, String>>,
    repositories: Option<Vec<u64>>,
) -> (String, DateTime<Utc>) {
    let expires_at = world.now() + chrono::Duration::hours(1);
    let token = format!("ghs_{}{}", ulid::Ulid::generate(), world.new_id());
    let permissions = permissions.unwrap_or_else(|| world.app.permissions.clone());
    world.tokens.insert(token.clone(), Token { expires_at, permissions, repositories });
    (token, expires_at)
}
