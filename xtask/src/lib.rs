//! Build support.
