//! What `diff` shows.
