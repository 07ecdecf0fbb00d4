//! Tests.

pub mod apiserver;
