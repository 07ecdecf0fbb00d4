//! Kernel binary.
fn main() {}
