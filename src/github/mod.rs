//! The GitHub client and what arrives from GitHub, as domain values.
