//! What to do about a connection that came to nothing over TLS, or for want of it. Pure.

/// How the URL of an engine says it.
pub(super) struct Words {
    /// What makes a connection encrypted.
    pub on: &'static str,
    /// What makes it plain.
    pub off: &'static str,
    /// What names the file of a private authority.
    pub authority: &'static str,
}

/// What to do about the client's or the server's `said`; nothing where it is not about TLS.
pub(super) fn help(said: &str, encrypted: bool, words: &Words) -> Option<String> {
    let said = said.to_ascii_lowercase();
    let speaks_of = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
    let Words { on, off, authority } = words;
    if encrypted {
        return if speaks_of(&["notvalidforname", "not valid for name"]) {
            Some("the server's certificate is made out to another name: connect by that name".to_owned())
        } else if speaks_of(&["certexpired", "certificateexpired", "expired"]) {
            Some("the server's certificate is out of date: have it renewed".to_owned())
        } else if speaks_of(&["certificate", "unknownissuer", "unknownca"]) {
            Some(format!(
                "nobody that is trusted here has signed the server's certificate: name the file of its authority with \
                 {authority} in the URL"
            ))
        } else if speaks_of(&["invalidcontenttype", "corrupt message", "does not support tls", "does not speak it"]) {
            Some(format!("the server does not speak TLS there: write {off} if that is meant"))
        } else {
            None
        };
    }
    let hung_up = ["no encryption", "end of file", "eof", "connection closed", "closed before", "reset", "broken pipe"];
    speaks_of(&hung_up).then(|| format!("a server that takes encrypted connections alone answers so: write {on}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Words = Words { on: "`tls=true`", off: "`tls=false`", authority: "`ca=FILE`" };

    #[test]
    fn each_way_to_fail_names_what_to_write() {
        for (said, encrypted, part) in [
            ("invalid peer certificate: UnknownIssuer", true, "`ca=FILE`"),
            ("invalid peer certificate: NotValidForName", true, "another name"),
            ("invalid peer certificate: Expired", true, "out of date"),
            ("received corrupt message of type InvalidContentType", true, "`tls=false`"),
            ("no pg_hba.conf entry for host \"::1\", no encryption", false, "`tls=true`"),
            ("unexpected end of file", false, "`tls=true`"),
        ] {
            let told = help(said, encrypted, &WORDS).unwrap_or_default();
            assert!(told.contains(part), "{said}: {told}");
        }
        for (said, encrypted) in [("connection refused", false), ("connection refused", true), ("password", false)] {
            assert_eq!(help(said, encrypted, &WORDS), None, "{said}");
        }
    }
}
