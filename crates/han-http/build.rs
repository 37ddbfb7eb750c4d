//! A change to the built dashboard is a reason to compile this crate again: it embeds the files.
#![allow(clippy::print_stdout, reason = "cargo reads the instructions of a build script from its output")]

fn main() {
    println!("cargo::rerun-if-changed=../../browse-client/dist");
}
