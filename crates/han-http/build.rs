//! A change to the built dashboard is a reason to compile this crate again: it embeds the files.

fn main() {
    println!("cargo::rerun-if-changed=../../browse-client/dist");
}
