//! The App's key pair for stories and tests. It protects nothing: it opens a stand-in that lives on one machine for
//! as long as one process does. Making a fresh pair would take an unoptimised build half a minute.

/// The private key that a bot signs its App tokens with, PEM (PKCS #1), as GitHub hands it out.
pub const PRIVATE_KEY_PEM: &str = include_str!("app-key.pem");

/// The public half, PEM, by which the stand-in checks them.
pub const PUBLIC_KEY_PEM: &str = include_str!("app-key.pub.pem");
