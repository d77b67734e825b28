//! What a merge starts.
