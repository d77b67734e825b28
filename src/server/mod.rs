//! The HTTP server: webhook endpoint, health, metrics.
