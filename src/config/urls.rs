//! Which addresses of a repository's configuration may be asked: the server's list, by repository and environment
//! (DECISIONS 22). None, unless the operator says so; the command line asks any.

use std::str::FromStr;

use url::Url;

use crate::ids::{EnvironmentName, RepoName};

/// The server's whole list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedUrls(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// `None`: any.
    repo: Option<RepoName>,
    /// `None`: any.
    environment: Option<EnvironmentName>,
    urls: Vec<Url>,
}

/// What one environment may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum UrlList {
    /// Everything.
    Any,
    /// What stands below one of these.
    Below(Vec<Url>),
    /// Nothing.
    #[default]
    Nothing,
}

/// Why a text is no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`GODWIT_ALLOWED_URLS`: `{part}`: {problem}; write `owner/repo:environment=https://HOST/PATH,…;…`, with `*` for any repository or environment"
)]
pub struct InvalidAllowedUrls {
    /// The rule.
    pub part: String,
    /// What is wrong with it.
    pub problem: String,
}

impl FromStr for AllowedUrls {
    type Err = InvalidAllowedUrls;

    fn from_str(text: &str) -> Result<Self, InvalidAllowedUrls> {
        text.split([';', '\n']).map(str::trim).filter(|p| !p.is_empty()).map(rule).collect::<Result<_, _>>().map(Self)
    }
}

fn rule(part: &str) -> Result<Rule, InvalidAllowedUrls> {
    let wrong = |problem: String| InvalidAllowedUrls { part: part.to_owned(), problem };
    let (place, urls) = part.split_once('=').ok_or_else(|| wrong("there is no `=`".into()))?;
    let (repo, environment) = place.trim().split_once(':').ok_or_else(|| wrong("there is no `:` before `=`".into()))?;
    let urls: Vec<Url> = urls
        .split(',')
        .map(str::trim)
        .filter(|u| !u.is_empty())
        .map(|u| match Url::parse(u) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.host_str().is_some() => Ok(url),
            Ok(_) | Err(_) => Err(wrong(format!("`{u}` is not an `http://` or `https://` address"))),
        })
        .collect::<Result<_, _>>()?;
    if urls.is_empty() {
        return Err(wrong("it names no address".into()));
    }
    let repo = match repo.trim() {
        "*" => None,
        name => Some(name.parse::<RepoName>().map_err(|e| wrong(e.to_string()))?),
    };
    let environment = match environment.trim() {
        "*" => None,
        name => Some(name.parse::<EnvironmentName>().map_err(|e| wrong(e.to_string()))?),
    };
    Ok(Rule { repo, environment, urls })
}

impl AllowedUrls {
    /// What an environment of a repository may ask.
    pub fn of(&self, repo: &RepoName, environment: &EnvironmentName) -> UrlList {
        let urls: Vec<Url> = self
            .0
            .iter()
            // GitHub does not tell repositories apart by case.
            .filter(|r| r.repo.as_ref().is_none_or(|n| n.as_str().eq_ignore_ascii_case(repo.as_str())))
            .filter(|r| r.environment.as_ref().is_none_or(|e| e == environment))
            .flat_map(|r| r.urls.iter().cloned())
            .collect();
        if urls.is_empty() { UrlList::Nothing } else { UrlList::Below(urls) }
    }
}

impl UrlList {
    /// Whether `url` may be asked: the same scheme, host and port, and a path at or below one that is listed.
    pub fn allows(&self, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else { return false };
        let below = |listed: &Url| {
            let root = listed.path().trim_end_matches('/');
            listed.origin() == url.origin()
                && url.path().strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match self {
            UrlList::Any => matches!(url.scheme(), "http" | "https"),
            UrlList::Below(listed) => listed.iter().any(below),
            UrlList::Nothing => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_for_a_place_may_be_asked() {
        let rules =
            "o/r:production=https://shop.example.com/health, http://metrics:9090;*:staging=http://staging:8080/";
        let list: AllowedUrls = rules.parse().unwrap();
        let of = |repo: &str, environment: &str| {
            list.of(&RepoName::new(repo).unwrap(), &EnvironmentName::new(environment).unwrap())
        };
        for (repo, environment, url, expected) in [
            ("o/r", "production", "https://shop.example.com/health", true),
            ("O/R", "production", "https://shop.example.com/health/deep?x=1", true),
            ("o/r", "production", "https://shop.example.com/healthy", false),
            ("o/r", "production", "https://shop.example.com/health/../admin", false),
            ("o/r", "production", "http://shop.example.com/health", false),
            ("o/r", "production", "https://shop.example.com:8443/health", false),
            ("o/r", "production", "https://shop.example.com@evil.example/health", false),
            ("o/r", "production", "http://metrics:9090/metrics", true),
            ("o/r", "staging", "http://metrics:9090/metrics", false),
            ("o/other", "staging", "http://staging:8080/anything", true),
            ("o/other", "production", "https://shop.example.com/health", false),
            ("o/r", "production", "file:///etc/passwd", false),
        ] {
            assert_eq!(of(repo, environment).allows(url), expected, "{repo} {environment} {url}");
        }
        assert!(UrlList::Any.allows("http://anything/") && !UrlList::Any.allows("file:///x"));
        assert!(!UrlList::default().allows("http://anything/"));
    }

    #[test]
    fn wrong_rules_say_which_and_why() {
        for (text, problem) in [
            ("o/r:production", "no `=`"),
            ("o/r=http://x", "no `:`"),
            ("o/r:production=", "names no address"),
            ("o/r:production=ftp://x", "not an `http://`"),
            ("o/r:production=localhost", "not an `http://`"),
            ("nowhere:production=http://x", "repository name"),
        ] {
            let error = text.parse::<AllowedUrls>().unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains(text), "{error}");
        }
    }
}
