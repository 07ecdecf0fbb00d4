//! kproxy.
fn main() {}
