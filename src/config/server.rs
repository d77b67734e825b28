//! The server's settings: every flag is also a variable (INTERFACE 5).
