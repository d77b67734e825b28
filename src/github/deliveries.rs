//! GitHub's log of the App's webhook deliveries, and asking for one again.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::client::{Github, Method, Repeat, segment};
use super::error::GithubError;

/// One attempt to deliver a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Attempt {
    /// Of this attempt.
    pub id: u64,
    /// Of the delivery, the same in each attempt: `X-GitHub-Delivery`.
    pub guid: String,
    /// When it was sent.
    pub delivered_at: DateTime<Utc>,
    /// What it was answered with; GitHub writes a code of its own where there was no answer.
    pub status_code: i64,
    /// Whether somebody asked for it, after the first.
    #[serde(default)]
    pub redelivery: bool,
}

impl Github {
    /// A page of the log, newest first, and where the next one begins.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn attempts(&self, cursor: Option<&str>) -> Result<(Vec<Attempt>, Option<String>), GithubError> {
        let cursor = cursor.map(|c| format!("&cursor={}", segment(c))).unwrap_or_default();
        let (page, next) = self.caller().get_linked(&format!("/app/hook/deliveries?per_page=100{cursor}")).await?;
        // Only the cursor is taken from it: where GitHub is, the settings say.
        Ok((page, next.as_deref().and_then(cursor_of)))
    }

    /// Asks GitHub to deliver once more; it keeps the delivery's id.
    ///
    /// # Errors
    /// When GitHub refuses, as for what is older than three days.
    pub async fn deliver_again(&self, attempt: u64) -> Result<(), GithubError> {
        let path = format!("/app/hook/deliveries/{attempt}/attempts");
        self.caller().send(Method::Post, &path, None, Repeat::Never).await?;
        Ok(())
    }
}

/// The cursor in the address of a page.
fn cursor_of(address: &str) -> Option<String> {
    let (_, query) = address.split_once('?')?;
    let cursor = query.split('&').find_map(|pair| pair.strip_prefix("cursor="))?;
    Some(percent_encoding::percent_decode_str(cursor).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_from_an_address() {
        assert_eq!(cursor_of("https://h/x?per_page=1&cursor=v1_1%2B2").as_deref(), Some("v1_1+2"));
        assert_eq!(cursor_of("https://h/x?per_page=1"), None);
    }
}
