//! Tests.
pub mod cluster;
pub mod echo;
