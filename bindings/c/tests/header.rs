//! The committed header equals the one that cbindgen generates from the crate.

use std::{env, fs};

#[test]
fn the_header_is_current() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let config = cbindgen::Config::from_file(format!("{folder}/cbindgen.toml")).expect("a configuration");
    let bindings = cbindgen::generate_with_config(folder, config).expect("bindings");
    let mut made = Vec::new();
    bindings.write(&mut made);
    // Rust's section "Safety" is called "Contract" in C.
    let made = String::from_utf8(made).expect("text").replace(" # Safety\n", " Contract:\n");
    let path = format!("{folder}/include/kinglet.h");
    if env::var_os("KINGLET_BLESS").is_some() {
        fs::write(&path, &made).expect("the header");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "include/kinglet.h is stale: KINGLET_BLESS=1 cargo test --features std --test header");
}
