//! Tests.

/// The echo server and client that play both sides of every test.
pub mod echo;
