//! Writes the memory layout and the addresses of the machine that the firmware is built for.

use std::path::PathBuf;
use std::{env, fs};

/// The machines with a Cortex-M0 to M7 (`mps2-an385`, `an386`, `an500`), with an M33 (`mps2-an505`)
/// and with an M55 (`mps3-an547`): SysTick's clock in megahertz, the address of the first serial
/// line, and the memory regions.
const MACHINES: [(&str, u32, u32, &str); 3] = [
    ("mps2", 25, 0x4000_4000, "FLASH : ORIGIN = 0x00000000, LENGTH = 4M\n  RAM : ORIGIN = 0x20000000, LENGTH = 4M"),
    ("an505", 20, 0x5020_0000, "FLASH : ORIGIN = 0x10000000, LENGTH = 4M\n  RAM : ORIGIN = 0x38000000, LENGTH = 4M"),
    ("an547", 32, 0x5930_3000, "FLASH : ORIGIN = 0x10000000, LENGTH = 512K\n  RAM : ORIGIN = 0x31000000, LENGTH = 4M"),
];

fn main() {
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo says where to write"));
    let machine = if env::var("CARGO_FEATURE_M55").is_ok() {
        "an547"
    } else if env::var("TARGET").is_ok_and(|target| target.starts_with("thumbv8m.main")) {
        "an505"
    } else {
        "mps2"
    };
    let (_, clock, serial, regions) =
        MACHINES.iter().find(|(name, ..)| *name == machine).expect("every machine is in the table");
    println!("cargo:rustc-env=SYSTICK_MHZ={clock}");
    fs::write(out.join("serial.rs"), format!("{serial:#x}")).expect("writing serial.rs");
    fs::write(out.join("memory.x"), format!("MEMORY\n{{\n  {regions}\n}}\n")).expect("writing memory.x");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=build.rs");
}
