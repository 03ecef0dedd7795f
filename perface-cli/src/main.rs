//! The `perface` command line.
fn main() {}
