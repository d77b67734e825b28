//! Git over smart HTTP: a small upload-pack (protocol version 0, stateless) on libgit2, so that no git program is
//! needed to serve a clone or a fetch.

use std::io::Read;
use std::sync::Arc;

use base64::Engine;
use git2::{Oid, Repository};

use super::Shared;
use super::gitrepo;
use super::http::{Content, Reply, Request};
use super::state::{Permission, Repo, World};

const CAPABILITIES: &str = "multi_ack_detailed no-done side-band-64k thin-pack ofs-delta no-progress \
    allow-tip-sha1-in-want allow-reachable-sha1-in-want";

/// Payload of one side-band packet: 65,520 bytes a line, less its length and channel.
const CHUNK: usize = 65_515;

pub(super) fn is_git(path: &str) -> bool {
    path.ends_with(".git/info/refs")
        || path.ends_with(".git/git-upload-pack")
        || path.ends_with(".git/git-receive-pack")
}

pub(super) fn answer(shared: &Arc<Shared>, request: &Request) -> Reply {
    let Some((name, service)) = request.path.trim_start_matches('/').split_once(".git/") else {
        return Reply::text(404, "text/plain", "Not Found");
    };
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
    let found = shared.look(|w| match access(w, &name, request.header("authorization")) {
        Access::Read(repo) => Ok(*repo),
        Access::Login => Err(Reply::text(401, "text/plain", "Repository not found.")
            .header("www-authenticate", "Basic realm=\"GitHub\"")),
        Access::Missing => Err(Reply::text(404, "text/plain", "Repository not found.")),
    });
    let repo = match found {
        Ok(repo) => repo,
        Err(reply) => return reply,
    };
    let Ok(git) = gitrepo::open(&repo.git_dir) else {
        return Reply::text(500, "text/plain", "repository cannot be opened");
    };
    let reply = match (request.method.as_str(), service, request.param("service").as_deref()) {
        ("GET", "info/refs", Some("git-upload-pack")) => advertise(&git, &repo),
        ("POST", "git-upload-pack", _) => upload_pack(&git, request),
        _ => return Reply::text(403, "text/plain", "only fetching is served here"),
    };
    reply.unwrap_or_else(|e| Reply::text(500, "text/plain", e.message().to_owned())).header("cache-control", "no-cache")
}

enum Access {
    Read(Box<Repo>),
    Login,
    Missing,
}

/// Only a live installation token opens a repository; without one even a public repository asks for a login, so that
/// a bot that forgets its token is noticed.
fn access(world: &World, name: &str, authorization: Option<&str>) -> Access {
    let Some(token) = authorization.and_then(basic_password) else { return Access::Login };
    if let Some(login) = world.personal_tokens.get(&token) {
        return match world.repo(name) {
            Some(repo) if !repo.private || world.permission(repo, login) >= Permission::Read => {
                Access::Read(Box::new(repo.clone()))
            }
            Some(_) | None => Access::Missing,
        };
    }
    let Some(token) = world.tokens.get(&token).filter(|t| t.expires_at > world.now()) else { return Access::Login };
    if world.app.suspended || !token.permissions.contains_key("contents") {
        return Access::Login;
    }
    let Some(repo) = world.repo(name) else { return Access::Missing };
    let chosen = token.repositories.as_ref().is_none_or(|ids| ids.contains(&repo.id));
    if (repo.installed && chosen) || world.permission(repo, &world.app.bot_login()) >= Permission::Read {
        Access::Read(Box::new(repo.clone()))
    } else {
        Access::Missing
    }
}

/// The password of `Basic …` whose user is `x-access-token`.
fn basic_password(header: &str) -> Option<String> {
    let encoded = header.strip_prefix("Basic ").or_else(|| header.strip_prefix("basic "))?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.strip_prefix("x-access-token:").map(str::to_owned)
}

fn line(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(format!("{:04x}", payload.len() + 4).as_bytes());
    out.extend_from_slice(payload);
}

/// Every ref that is served, in order of its name.
fn refs(git: &Repository, repo: &Repo) -> Result<Vec<(String, Oid)>, git2::Error> {
    let mut refs = Vec::new();
    for reference in git.references()? {
        let reference = reference?;
        let name = String::from_utf8_lossy(reference.name_bytes()).into_owned();
        let Some(oid) = reference.target() else { continue };
        if let Some(branch) = name.strip_prefix(&repo.heads) {
            refs.push((format!("refs/heads/{branch}"), oid));
        } else if repo.fork_of.is_none() && (name.starts_with("refs/pull/") || name.starts_with("refs/tags/")) {
            refs.push((name, oid));
        }
    }
    refs.sort();
    Ok(refs)
}

fn advertise(git: &Repository, repo: &Repo) -> Result<Reply, git2::Error> {
    let mut out = Vec::new();
    line(&mut out, b"# service=git-upload-pack\n");
    out.extend_from_slice(b"0000");
    let mut refs = refs(git, repo)?;
    let head = format!("refs/heads/{}", repo.default_branch);
    let symref = match refs.iter().find(|(name, _)| *name == head).map(|(_, oid)| *oid) {
        Some(oid) => {
            refs.insert(0, ("HEAD".to_owned(), oid));
            format!(" symref=HEAD:{head}")
        }
        None => String::new(),
    };
    if refs.is_empty() {
        refs.push(("capabilities^{}".to_owned(), Oid::ZERO_SHA1));
    }
    for (index, (name, oid)) in refs.iter().enumerate() {
        let capabilities =
            if index == 0 { format!("\0{CAPABILITIES}{symref} agent=godwit-sandbox") } else { String::new() };
        line(&mut out, format!("{oid} {name}{capabilities}\n").as_bytes());
    }
    out.extend_from_slice(b"0000");
    let kind = "application/x-git-upload-pack-advertisement";
    Ok(Reply { status: 200, headers: Vec::new(), content: Content::Bytes(kind, out) })
}

/// What a client asked for.
#[derive(Debug, Default)]
struct Asked {
    wants: Vec<Oid>,
    haves: Vec<Oid>,
    capabilities: String,
    depth: Option<u32>,
    done: bool,
}

/// Reads packet lines; `None` for what is no request.
fn parse(body: &[u8]) -> Option<Asked> {
    let mut asked = Asked::default();
    let mut rest = body;
    while rest.len() >= 4 {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..4]).ok()?, 16).ok()?;
        if length < 4 {
            rest = &rest[4..];
            continue;
        }
        let payload = rest.get(4..length)?;
        rest = &rest[length..];
        let text = String::from_utf8_lossy(payload);
        let text = text.trim_end_matches('\n');
        let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
        match verb {
            "want" => {
                let (oid, capabilities) = argument.split_once(' ').unwrap_or((argument, ""));
                asked.wants.push(Oid::from_str(oid).ok()?);
                if asked.wants.len() == 1 {
                    asked.capabilities = capabilities.to_owned();
                }
            }
            "have" => asked.haves.push(Oid::from_str(argument).ok()?),
            "deepen" => asked.depth = argument.parse().ok(),
            "done" => asked.done = true,
            _ => return None,
        }
    }
    Some(asked)
}

fn upload_pack(git: &Repository, request: &Request) -> Result<Reply, git2::Error> {
    let mut body = Vec::new();
    if request.header("content-encoding") == Some("gzip") {
        let read = flate2::read::GzDecoder::new(&request.body[..]).take(64 * 1024 * 1024).read_to_end(&mut body);
        if read.is_err() {
            return Ok(Reply::text(400, "text/plain", "body is not gzip"));
        }
    } else {
        body.clone_from(&request.body);
    }
    let result = |out: Vec<u8>| Reply {
        status: 200,
        headers: Vec::new(),
        content: Content::Bytes("application/x-git-upload-pack-result", out),
    };
    let mut out = Vec::new();
    let Some(asked) = parse(&body) else {
        line(&mut out, b"ERR upload-pack: not a request that is understood\n");
        return Ok(result(out));
    };
    if asked.depth.is_some() {
        line(&mut out, b"ERR upload-pack: shallow clones are not served\n");
        return Ok(result(out));
    }
    for want in &asked.wants {
        // GitHub serves every commit that it still has, also one that no reference names since a force-push.
        if git.find_commit(*want).is_err() {
            line(&mut out, format!("ERR upload-pack: not our ref {want}\n").as_bytes());
            return Ok(result(out));
        }
    }
    if asked.wants.is_empty() {
        return Ok(result(out));
    }
    let common: Vec<Oid> = asked.haves.iter().copied().filter(|oid| git.find_commit(*oid).is_ok()).collect();
    let detailed = asked.capabilities.contains("multi_ack_detailed");
    let no_done = asked.capabilities.contains("no-done");
    if detailed {
        for oid in &common {
            line(&mut out, format!("ACK {oid} common\n").as_bytes());
        }
        let ready = !common.is_empty() && !asked.done;
        if let (true, Some(last)) = (ready, common.last()) {
            line(&mut out, format!("ACK {last} ready\n").as_bytes());
        }
        if !asked.done {
            line(&mut out, b"NAK\n");
            if !(ready && no_done) {
                return Ok(result(out));
            }
        }
        match common.last() {
            Some(last) => line(&mut out, format!("ACK {last}\n").as_bytes()),
            None => line(&mut out, b"NAK\n"),
        }
    } else {
        match common.first() {
            Some(first) => line(&mut out, format!("ACK {first}\n").as_bytes()),
            None => line(&mut out, b"NAK\n"),
        }
        if !asked.done {
            return Ok(result(out));
        }
    }
    let pack = pack(git, &asked.wants, &common)?;
    if asked.capabilities.contains("side-band-64k") {
        for chunk in pack.chunks(CHUNK) {
            let mut payload = Vec::with_capacity(chunk.len() + 1);
            payload.push(1);
            payload.extend_from_slice(chunk);
            line(&mut out, &payload);
        }
        out.extend_from_slice(b"0000");
    } else {
        out.extend_from_slice(&pack);
    }
    Ok(result(out))
}

/// All objects reachable from `wants` and not from `haves`.
fn pack(git: &Repository, wants: &[Oid], haves: &[Oid]) -> Result<Vec<u8>, git2::Error> {
    let mut walk = git.revwalk()?;
    for want in wants {
        walk.push(*want)?;
    }
    for have in haves {
        walk.hide(*have)?;
    }
    let mut builder = git.packbuilder()?;
    builder.set_threads(1);
    builder.insert_walk(&mut walk)?;
    let mut buffer = git2::Buf::new();
    builder.write_buf(&mut buffer)?;
    Ok(buffer.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_are_none_are_refused() {
        for bad in [&b"0008oops"[..], b"zzzz", b"00ffwant short", b"000fwant nothex"] {
            assert!(parse(bad).is_none(), "{bad:?}");
        }
        let asked =
            parse(b"0032want 0123456789012345678901234567890123456789\n00000009done\n").expect("this is a request");
        assert!(asked.done && asked.wants.len() == 1);
    }

    #[test]
    fn only_the_token_user_of_basic_authentication_is_taken() {
        let encode = |s: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(s));
        assert_eq!(basic_password(&encode("x-access-token:ghs_1")).as_deref(), Some("ghs_1"));
        assert_eq!(basic_password(&encode("alice:ghs_1")), None);
        assert_eq!(basic_password("Bearer ghs_1"), None);
    }
}
