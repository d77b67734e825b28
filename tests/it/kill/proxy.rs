//! A way to a server that can be cut: every connection through it ends with a reset.

use std::sync::mpsc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards to a server until dropped.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    cut: watch::Sender<u32>,
    _end: tokio::sync::oneshot::Sender<()>,
}

impl Proxy {
    /// One to `server`, `host:port`.
    pub fn to(server: &str) -> Self {
        let (cut, cuts) = watch::channel(0);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        let server = server.to_owned();
        std::thread::spawn(move || {
            crate::support::wait(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap().port()).unwrap();
                let serve = async {
                    while let Ok((client, _)) = listener.accept().await {
                        tokio::spawn(carry(client, server.clone(), cuts.clone()));
                    }
                };
                tokio::select! { () = serve => {}, _ = ended => {} }
            });
        });
        Self { port: told.recv().unwrap(), cut, _end: end }
    }

    /// Resets every connection that is open now; later ones are carried as ever.
    pub fn cut(&self) {
        self.cut.send_modify(|n| *n += 1);
    }
}

async fn carry(mut client: TcpStream, server: String, mut cuts: watch::Receiver<u32>) {
    cuts.mark_unchanged();
    let Ok(mut up) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut up) => {}
        _ = cuts.changed() => {
            // Nothing that is under way arrives any more.
            let _ = (client.set_zero_linger(), up.set_zero_linger());
        }
    }
}

/// `host:port` of a URL's server, and the URL with the proxy's port in its place.
pub fn through(url: &str, proxy: Option<u16>) -> (String, String) {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, server) = authority.rsplit_once('@').map_or(("", authority), |(u, s)| (u, s));
    let at = if user.is_empty() { "" } else { "@" };
    let path = match scheme {
        // A member of a set would be spoken to at the address that the set knows it by.
        "mongodb" => format!("{}?directConnection=true", path.split('?').next().unwrap_or_default()),
        "postgres" => format!("{path}?sslmode=disable"),
        _ => path.to_owned(),
    };
    let port = proxy.map_or(String::new(), |p| p.to_string());
    (server.to_owned(), format!("{scheme}://{user}{at}127.0.0.1:{port}/{path}"))
}
