//! The URL of an Elasticsearch target.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::Url;

/// How to prove who we are.
#[derive(Clone)]
pub(super) enum Login {
    /// Nothing is asked.
    None,
    /// A user and a password.
    Basic(String, String),
    /// An encoded API key: a URL with a password and no user.
    ApiKey(String),
}

/// Where a cluster is, and which part of it is meant.
#[derive(Clone)]
pub(super) struct Address {
    /// `http` or `https`, host, port and path; nothing secret.
    pub url: Url,
    /// Who asks.
    pub login: Login,
    /// What Godwit's own indices are named after, so that several applications share a cluster.
    pub namespace: Option<String>,
    /// Whether the migrations' own names are put into the namespace too: a rehearsal.
    pub scratch: bool,
    /// The snapshot repository that backups go to.
    pub repository: Option<String>,
    /// A file with the certificates that the server's is signed by.
    pub ca: Option<PathBuf>,
}

impl Address {
    /// Reads `elasticsearch+http(s)://[user:password@]host[:port][/path][?namespace=NAME&repository=NAME&ca=FILE]`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix("elasticsearch+").unwrap_or(text);
        let mut url = Url::parse(text).map_err(|e| e.to_string())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("write `elasticsearch+https://HOST:9200`".to_owned());
        }
        let (mut namespace, mut ca, mut repository, mut scratch) = (None, None, None, false);
        for (key, value) in url.query_pairs() {
            match key.as_ref() {
                "namespace" => namespace = Some(checked_namespace(&value)?),
                "ca" => ca = Some(PathBuf::from(value.as_ref())),
                "repository" => repository = Some(value.into_owned()),
                "scratch" => scratch = true,
                other => {
                    return Err(format!(
                        "a URL of Elasticsearch has no parameter `{other}`; it has `namespace`, `repository` and `ca`"
                    ));
                }
            }
        }
        let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let login = match (url.username(), url.password()) {
            ("", None) => Login::None,
            ("", Some(key)) => Login::ApiKey(decode(key)),
            (user, password) => Login::Basic(decode(user), decode(password.unwrap_or_default())),
        };
        // A URL with a host always takes these.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        if !text.contains("://") || url.host_str().is_none_or(str::is_empty) {
            return Err("it names no host: `elasticsearch+https://HOST:9200`".to_owned());
        }
        if url.port().is_none() && !names_port(text) {
            // The port that Elasticsearch listens on, unless a proxy's is written out.
            let _ = url.set_port(Some(9200));
        }
        if scratch && namespace.is_none() {
            return Err("`scratch` needs a `namespace`".to_owned());
        }
        Ok(Self { url, login, namespace, scratch, repository, ca })
    }

    /// Whether it is this machine.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
    }
}

/// Whether the authority ends in a port, which `Url` drops when it is the scheme's own.
fn names_port(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
    host.rsplit_once(':').is_some_and(|(_, p)| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

fn checked_namespace(name: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
        return Err("`namespace` is 1 to 64 lower-case letters, digits, `-` and `_`".to_owned());
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_keep_no_secret_in_sight() {
        let a = Address::parse("elasticsearch+https://ann:s%40crt@es.example:9243/logs?namespace=shop&ca=%2Fca.pem");
        let a = a.ok().unwrap();
        assert_eq!(a.url.as_str(), "https://es.example:9243/logs");
        assert!(matches!(a.login, Login::Basic(u, p) if u == "ann" && p == "s@crt"));
        assert_eq!((a.namespace.as_deref(), a.ca), (Some("shop"), Some(PathBuf::from("/ca.pem"))));
        assert!(!a.scratch && a.repository.is_none());
        let kept = Address::parse("elasticsearch+http://h?namespace=x&scratch=true&repository=nightly").ok().unwrap();
        assert_eq!((kept.scratch, kept.repository.as_deref()), (true, Some("nightly")));
        let key = Address::parse("elasticsearch+https://:a2V5@es.example").ok().unwrap();
        assert!(matches!(key.login, Login::ApiKey(k) if k == "a2V5"));
        assert_eq!(key.url.as_str(), "https://es.example:9200/");
        assert_eq!(
            Address::parse("elasticsearch+https://es.example:443").ok().unwrap().url.port_or_known_default(),
            Some(443)
        );
        for bad in [
            "elasticsearch+ftp://x",
            "es",
            "elasticsearch+http://h?scratch=true",
            "elasticsearch+http://h?namespace=A",
            "elasticsearch+http://h?x=1",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
