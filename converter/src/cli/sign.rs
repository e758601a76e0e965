//! `kinglet sign`: append a counter and a signature to a blob, for updates over the air.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use ed25519_compact::{KeyPair, PublicKey};
use kinglet::LoadError;
use kinglet::format::signed::{self, Signed};
use kinglet_convert::files::{self, write_atomically};

use super::engine::{open, read_blob};
use super::output;

/// Append a counter and an Ed25519 signature to a blob, for devices that take models from a
/// network.
///
/// `openssl genpkey -algorithm ed25519 -out key.pem` makes a key.
#[derive(Args, Debug)]
pub(crate) struct Sign {
    /// The blob.
    model: PathBuf,
    /// The private key: a PEM file (PKCS#8) with an Ed25519 key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// A number that is larger in every release: devices refuse a number below the largest they
    /// have seen.
    #[arg(long)]
    counter: u64,
    /// The file to write the signed blob to.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
}

/// The most bytes of a key file.
const MAX_KEY_BYTES: u64 = 1 << 16;

impl Sign {
    pub(crate) fn run(self) -> Result<()> {
        files::check_writable(&self.output, self.force)?;
        let pair = KeyPair::from_pem(&read_key(&self.key)?).map_err(|_| {
            let key = self.key.display();
            anyhow!(
                "{key} is not a private key for Ed25519\nmake one with `openssl genpkey -algorithm ed25519 -out {key}`"
            )
        })?;
        let blob = read_blob(&self.model)?;
        open(&blob)?;
        let mut signed = blob.to_vec();
        signed.extend(self.counter.to_le_bytes());
        let signature = pair.sk.sign(&signed, None);
        signed.extend(*signature);
        // Check the signature as a device will.
        signed::verify(&signed, &pair.pk, &mut || ())?;
        write_atomically(&self.output, &signed, self.force)?;
        let key = pair.pk.map(|byte| format!("{byte:#04x}")).join(", ");
        output::line(&format!("{} bytes, counter {}", signed.len(), self.counter))?;
        output::line(&format!("const PUBLIC_KEY: [u8; 32] = [{key}];"))
    }
}

/// Checks a signed blob with the public key in a PEM file.
pub(crate) fn verify<'m>(signed: &'m [u8], key: &Path) -> Result<Signed<'m>> {
    let public = PublicKey::from_pem(&read_key(key)?).map_err(|_| {
        anyhow!(
            "{} is not a public key for Ed25519\nmake it from the private one: `openssl pkey -in KEY -pubout`",
            key.display()
        )
    })?;
    signed::verify(signed, &public, &mut || ()).map_err(|error| match error {
        LoadError::LengthMismatch { .. } => {
            anyhow!("the blob has no signature after it\ngive a file that `kinglet sign` wrote")
        }
        LoadError::BadSignature => {
            anyhow!("{error}\ndo not use the blob, or give the public key of the one that signed it")
        }
        _ => anyhow!("{error}\ngive a file that `kinglet sign` wrote"),
    })
}

fn read_key(path: &Path) -> Result<String> {
    let named = || format!("reading {}", path.display());
    let bytes = files::read(path, MAX_KEY_BYTES).with_context(named)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
