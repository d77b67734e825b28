//! Integration tests: one binary, since each further one would link every dependency again.
