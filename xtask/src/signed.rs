//! Tests that firmware accepts a blob signed by `kinglet sign`, and refuses a modified one.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::cargo::{kinglet, target_folder};
use crate::emulate::{compared, emulate};
use crate::machines::CORES;
use crate::programs::{build_one, folder_of};

/// A key that is used for this test only, and its public key.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIDJN+/txe52V7zR9gOLkMVHbaIW3cdedWbB6MUjdTl23\n\
    -----END PRIVATE KEY-----\n";
const PUBLIC_KEY: [u8; 32] = [
    0x5d, 0x05, 0x5b, 0x3d, 0x66, 0x71, 0xed, 0x53, 0x45, 0x14, 0x56, 0xbf, 0xc2, 0x94, 0x5f, 0xe2, 0x00, 0x16, 0xa2,
    0x8c, 0xc1, 0x9e, 0xe3, 0x7c, 0x2f, 0xfa, 0xed, 0xa6, 0xbf, 0x0a, 0x75, 0x18,
];

pub(crate) fn check() -> Result<()> {
    let [key, public, signed] = ["key.pem", "key.raw", "signed.kinglet"].map(target_folder);
    fs::write(&key, KEY)?;
    fs::write(&public, PUBLIC_KEY)?;
    let blob = folder_of("common").join("models/stories.kinglet");
    let blob = blob.to_str().context("the path of the project is not UTF-8")?;
    kinglet(&["sign", blob, "--key", &key, "--counter", "7", "--output", &signed, "--force"])?;
    let core = CORES.iter().find(|core| core.name == "M4F").context("there is no core M4F")?;
    let environment = [("KINGLET_SIGNED", signed.as_str()), ("KINGLET_KEY", public.as_str())];
    let printed = emulate(core, &build_one(core, "signed", "signed", &environment)?)?;
    let wanted = "stories, release 7\na changed blob is refused\n";
    ensure!(compared(&printed) == wanted, "the firmware prints:\n{printed}but should print:\n{wanted}");
    eprintln!("the firmware checked a signed blob:\n{printed}");
    Ok(())
}
