//! A local mirror of a repository, read at a commit.
