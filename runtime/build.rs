//! Derives the multiply instructions of Arm cores from the target's name, because the compiler does
//! not expose them.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(kinglet_dsp, kinglet_smmul, kinglet_thumb1, kinglet_thumb2)");
    let target = env::var("TARGET").unwrap_or_default();
    if target.starts_with("thumbv6m") || target.starts_with("thumbv8m.base") {
        println!("cargo:rustc-cfg=kinglet_thumb1");
    } else if target.starts_with("thumb") {
        println!("cargo:rustc-cfg=kinglet_thumb2");
    }
    // Armv7E-M always has the DSP extension; Armv8-M Mainline has it if the feature `dsp` is on.
    if target.starts_with("thumbv7em") {
        println!("cargo:rustc-cfg=kinglet_smmul");
    }
    let optional = target.starts_with("thumbv8m.main") && env::var("CARGO_FEATURE_DSP").is_ok();
    if target.starts_with("thumbv7em") || optional {
        println!("cargo:rustc-cfg=kinglet_dsp");
    }
}
