//! The `kinglet` command line.
fn main() {}
