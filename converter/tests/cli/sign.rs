//! Signs blobs, and checks them with the public key.

use std::fs;

use tempfile::TempDir;

use crate::support::{path, refused, run, run_json, shipped};

/// A key made by OpenSSL, its public half, and the public half of another key.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIDJN+/txe52V7zR9gOLkMVHbaIW3cdedWbB6MUjdTl23\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAXQVbPWZx7VNFFFa/wpRf4gAWoozBnuN8L/rtpr8KdRg=\n-----END PUBLIC KEY-----\n";
const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAdWGhf8qXAm5mtUhPlFIc9S0/oLAOTizpxJeJ3WuI/yQ=\n-----END PUBLIC KEY-----\n";
const COUNTER: u64 = 7;

fn written(folder: &TempDir, name: &str, text: &str) -> String {
    let file = path(folder, name);
    fs::write(&file, text).expect("it can be written");
    file
}

#[test]
fn a_signed_blob_is_the_blob_with_a_counter_and_a_signature() {
    let (folder, blob) = (TempDir::new().expect("a folder"), shipped("stories"));
    let (key, public) = (written(&folder, "key.pem", KEY), written(&folder, "key.pub.pem", PUBLIC));
    let signed = path(&folder, "signed");
    let said = run(&["sign", &blob, "--key", &key, "--counter", "7", "-o", &signed]);
    assert!(said.contains("const PUBLIC_KEY: [u8; 32] = [0x"), "{said}");
    let (plain, made) = (fs::read(&blob).expect("the blob"), fs::read(&signed).expect("it was written"));
    assert_eq!(made[..plain.len()], plain);
    assert_eq!(made[plain.len()..][..8], COUNTER.to_le_bytes());
    assert_eq!(made.len(), plain.len() + 72);
    let found = run_json(&["verify", &signed, "--key", &public, "--json"]);
    assert_eq!((&found["counter"], &found["self_test"]), (&COUNTER.into(), &"pass".into()), "{found}");
    assert!(run(&["verify", &signed, "--key", &public]).contains("counter 7"));
}

#[test]
fn a_blob_that_was_changed_or_signed_by_another_is_refused() {
    let (folder, blob) = (TempDir::new().expect("a folder"), shipped("stories"));
    let (key, public) = (written(&folder, "key.pem", KEY), written(&folder, "key.pub.pem", PUBLIC));
    let signed = path(&folder, "signed");
    run(&["sign", &blob, "--key", &key, "--counter", "7", "-o", &signed]);
    let good = fs::read(&signed).expect("it was written");
    // A byte of a weight, of the counter, and of the signature.
    for place in [100_000, good.len() - 72, good.len() - 1] {
        let mut bad = good.clone();
        bad[place] ^= 1;
        let file = path(&folder, "bad");
        fs::write(&file, bad).expect("it can be written");
        assert!(refused(&["verify", &file, "--key", &public]).contains("signature"), "{place}");
    }
    let other = written(&folder, "other.pem", OTHER);
    assert!(refused(&["verify", &signed, "--key", &other]).contains("signature"));
    assert!(refused(&["verify", &blob, "--key", &public]).contains("kinglet sign"));
    assert!(refused(&["verify", &signed, "--key", &key]).contains("not a public key"));
    let again = path(&folder, "again");
    assert!(refused(&["sign", &blob, "--key", &public, "--counter", "7", "-o", &again]).contains("not a private key"));
    assert!(refused(&["sign", &blob, "--key", &key, "--counter", "7", "-o", &signed]).contains("exists already"));
}
