//! Finds out which multipliers the target's core has: the compiler does not say so for Arm's smallest cores.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(kinglet_dsp)");
    let target = env::var("TARGET").unwrap_or_default();
    // Armv7E-M always has the DSP extension; Armv8-M Mainline has it where the user says so.
    let optional = target.starts_with("thumbv8m.main") && env::var("CARGO_FEATURE_DSP").is_ok();
    if target.starts_with("thumbv7em") || optional {
        println!("cargo:rustc-cfg=kinglet_dsp");
    }
}
