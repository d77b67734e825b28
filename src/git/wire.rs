//! Fetching over git's smart HTTP protocol (version 0), with the pack written straight into the mirror.
//!
//! libgit2 is built without TLS, and registering a transport of one's own with it is `unsafe` and process-wide. A fetch is
//! two requests, so they are made here: the token is an argument of each, and stands in a header only.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use git2::{Oid, Repository};
use secrecy::{ExposeSecret as _, SecretString};

use super::GitError;

/// The longest packet of the protocol.
const MAX_PACKET: usize = 65_520;
/// Commits named as already here; enough for the server to leave out nearly everything.
const MAX_HAVES: usize = 256;

/// What the server says it has.
#[derive(Debug, Default)]
pub(super) struct Advertisement {
    /// Name and commit of each reference, in the server's order.
    pub refs: Vec<(String, Oid)>,
    capabilities: Vec<String>,
}

impl Advertisement {
    /// The commit a reference points at.
    pub fn find(&self, name: &str) -> Option<Oid> {
        self.refs.iter().find(|(n, _)| n == name).map(|(_, oid)| *oid)
    }

    /// Whether commits that no reference points at may be asked for.
    pub fn serves_any_commit(&self) -> bool {
        self.capabilities.iter().any(|c| {
            matches!(c.as_str(), "allow-reachable-sha1-in-want" | "allow-any-sha1-in-want" | "allow-tip-sha1-in-want")
        })
    }
}

/// An HTTP client that trusts the machine's certificates. It follows no redirect to another host with the token.
pub(super) fn agent(timeout: Duration) -> ureq::Agent {
    let native = rustls_native_certs::load_native_certs();
    let certificates: Vec<_> = native.certs.iter().map(|c| ureq::tls::Certificate::from_der(c).to_owned()).collect();
    let roots = ureq::tls::RootCerts::Specific(Arc::new(certificates));
    ureq::Agent::config_builder()
        .tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build())
        .user_agent(concat!("git/2.0 (godwit ", env!("CARGO_PKG_VERSION"), ")"))
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(timeout))
        .timeout_recv_body(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(3)
        .build()
        .into()
}

fn authorization(token: Option<&SecretString>) -> Option<String> {
    let token = token?;
    let pair = format!("x-access-token:{}", token.expose_secret());
    Some(format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair)))
}

/// Asks what the server has.
pub(super) fn advertisement(
    agent: &ureq::Agent,
    url: &str,
    token: Option<&SecretString>,
) -> Result<Advertisement, GitError> {
    let mut request = agent.get(format!("{url}/info/refs?service=git-upload-pack"));
    if let Some(value) = authorization(token) {
        request = request.header("authorization", value);
    }
    let response = answered(request.call())?;
    parse_advertisement(&mut response.into_body().into_reader())
}

/// Fetches `wants` and all they build on into `repository`.
pub(super) fn fetch_pack(
    agent: &ureq::Agent,
    url: &str,
    token: Option<&SecretString>,
    repository: &Repository,
    wants: &[Oid],
    haves: &[Oid],
) -> Result<(), GitError> {
    let mut request = agent
        .post(format!("{url}/git-upload-pack"))
        .header("content-type", "application/x-git-upload-pack-request")
        .header("accept", "application/x-git-upload-pack-result");
    if let Some(value) = authorization(token) {
        request = request.header("authorization", value);
    }
    let response = answered(request.send(&request_body(wants, haves)[..]))?;
    let odb = repository.odb()?;
    let mut pack = odb.packwriter()?;
    copy_pack(&mut response.into_body().into_reader(), &mut pack)?;
    pack.commit()?;
    Ok(())
}

/// The wants, what is here already, and `done`: the server answers in one go, without negotiation.
fn request_body(wants: &[Oid], haves: &[Oid]) -> Vec<u8> {
    let mut body = Vec::new();
    for (i, want) in wants.iter().enumerate() {
        let capabilities = if i == 0 { " side-band-64k ofs-delta no-progress agent=godwit" } else { "" };
        packet(&mut body, &format!("want {want}{capabilities}\n"));
    }
    body.extend_from_slice(b"0000");
    for have in haves.iter().take(MAX_HAVES) {
        packet(&mut body, &format!("have {have}\n"));
    }
    packet(&mut body, "done\n");
    body
}

fn packet(body: &mut Vec<u8>, line: &str) {
    body.extend_from_slice(format!("{:04x}{line}", line.len() + 4).as_bytes());
}

fn answered(
    result: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<ureq::http::Response<ureq::Body>, GitError> {
    let response = result.map_err(|e| GitError::Transport(crate::redact::text(&e.to_string())))?;
    match response.status().as_u16() {
        200 => Ok(response),
        401 | 403 => Err(GitError::Refused),
        404 | 410 => Err(GitError::NoRepository),
        status => Err(GitError::Transport(format!("git's server answered with status {status}"))),
    }
}

/// One packet: its bytes, or `None` for a flush. `Err` on a cut-off stream.
fn read_packet(stream: &mut dyn Read) -> Result<Option<Vec<u8>>, GitError> {
    let protocol = |what: &str| GitError::Transport(format!("git's server does not speak the protocol: {what}"));
    let mut length = [0; 4];
    stream.read_exact(&mut length).map_err(|e| GitError::Transport(format!("the answer broke off: {e}")))?;
    let length = std::str::from_utf8(&length)
        .ok()
        .and_then(|s| usize::from_str_radix(s, 16).ok())
        .ok_or_else(|| protocol("a packet without a length"))?;
    match length {
        0 => Ok(None),
        4..=MAX_PACKET => {
            let mut data = vec![0; length - 4];
            stream.read_exact(&mut data).map_err(|e| GitError::Transport(format!("the answer broke off: {e}")))?;
            Ok(Some(data))
        }
        _ => Err(protocol("a packet of impossible length")),
    }
}

fn parse_advertisement(stream: &mut dyn Read) -> Result<Advertisement, GitError> {
    let mut found = Advertisement::default();
    let Some(first) = read_packet(stream)? else {
        return Err(GitError::Transport("git's server sent an empty answer".to_owned()));
    };
    if !first.starts_with(b"# service=git-upload-pack") {
        return Err(GitError::Transport("git's server does not speak the smart protocol".to_owned()));
    }
    if read_packet(stream)?.is_some() {
        return Err(GitError::Transport("git's server does not speak the protocol: no flush".to_owned()));
    }
    while let Some(line) = read_packet(stream)? {
        let line = String::from_utf8_lossy(&line);
        let (entry, capabilities) = line.split_once('\0').unwrap_or((&line, ""));
        found.capabilities.extend(capabilities.split_whitespace().map(str::to_owned));
        if let Some((oid, name)) = entry.trim_end().split_once(' ')
            && let Ok(oid) = Oid::from_str(oid)
            && !oid.is_zero()
        {
            found.refs.push((name.to_owned(), oid));
        }
    }
    Ok(found)
}

/// Takes the pack out of the side-band packets; band 3 is the server's error text.
fn copy_pack(stream: &mut dyn Read, pack: &mut dyn Write) -> Result<(), GitError> {
    let mut began = false;
    loop {
        let Some(data) = read_packet(stream)? else {
            return if began { Ok(()) } else { Err(GitError::Transport("git's server sent no pack".to_owned())) };
        };
        match data.first() {
            Some(1) => {
                began = true;
                pack.write_all(&data[1..]).map_err(|e| GitError::Transport(format!("cannot keep the pack: {e}")))?;
            }
            Some(2) => {}
            Some(3) => {
                let text = String::from_utf8_lossy(&data[1..]).trim().to_owned();
                return Err(GitError::Transport(format!("git's server says: {text}")));
            }
            _ if data.starts_with(b"NAK") || data.starts_with(b"ACK ") || data.starts_with(b"shallow ") => {}
            _ if data.starts_with(b"ERR ") => {
                let text = String::from_utf8_lossy(&data[4..]).trim().to_owned();
                return Err(GitError::Transport(format!("git's server says: {text}")));
            }
            _ => return Err(GitError::Transport("git's server does not speak the protocol".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parts: &[Option<&[u8]>]) -> Vec<u8> {
        let mut out = Vec::new();
        for part in parts {
            match part {
                Some(data) => {
                    out.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
                    out.extend_from_slice(data);
                }
                None => out.extend_from_slice(b"0000"),
            }
        }
        out
    }

    #[test]
    fn an_advertisement_is_read() {
        let sha = "1".repeat(40);
        let first = format!("{sha} HEAD\0side-band-64k allow-tip-sha1-in-want\n");
        let second = format!("{sha} refs/heads/main\n");
        let bytes =
            lines(&[Some(b"# service=git-upload-pack\n"), None, Some(first.as_bytes()), Some(second.as_bytes()), None]);
        let found = parse_advertisement(&mut &bytes[..]).unwrap();
        assert_eq!(found.find("refs/heads/main"), Oid::from_str(&sha).ok());
        assert!(found.serves_any_commit());
        // An empty repository names no reference, only capabilities.
        let empty = format!("{} capabilities^{{}}\0side-band-64k\n", "0".repeat(40));
        let bytes = lines(&[Some(b"# service=git-upload-pack\n"), None, Some(empty.as_bytes()), None]);
        assert!(parse_advertisement(&mut &bytes[..]).unwrap().refs.is_empty());
    }

    #[test]
    fn broken_answers_are_errors() {
        for bytes in [&b""[..], b"0", b"zzzz", b"0001", b"0008abc", b"<html>not found</html>", b"0000"] {
            assert!(parse_advertisement(&mut &*bytes).is_err(), "{bytes:?}");
            assert!(copy_pack(&mut &*bytes, &mut Vec::new()).is_err(), "{bytes:?}");
        }
        let error = lines(&[Some(b"\x03access denied\n"), None]);
        assert!(copy_pack(&mut &error[..], &mut Vec::new()).unwrap_err().to_string().contains("access denied"));
    }

    #[test]
    fn the_pack_is_taken_out_of_its_bands() {
        let bytes = lines(&[Some(b"NAK\n"), Some(b"\x02counting"), Some(b"\x01PA"), Some(b"\x01CK"), None]);
        let mut pack = Vec::new();
        copy_pack(&mut &bytes[..], &mut pack).unwrap();
        assert_eq!(pack, b"PACK");
    }
}
