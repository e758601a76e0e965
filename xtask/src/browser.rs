//! Builds the web page and the npm package, and tests them in Chromium and in Node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Map, Value};

use crate::cargo::{cargo_in, kinglet, root, target_folder};
use crate::programs::folder_of;
use crate::readme::follow;

#[derive(Args, Default)]
pub(crate) struct Browser {
    /// Only write the page and the package, and print their paths.
    #[arg(long)]
    build: bool,
    /// A folder for screenshots of the page.
    #[arg(long)]
    screenshots: Option<PathBuf>,
}

/// The maximum size in bytes of the module that runs models.
const MOST_BYTES: usize = 400_000;

/// The models that the page offers.
const MODELS: [&str; 7] =
    ["stories", "home-intent", "home-slots", "home-command", "home-words", "stories-backward", "search"];

/// The examples whose output the page compares with that of boards.
const EXAMPLES: [&str; 7] = ["generate", "classify", "tag", "command", "fill_mask", "score", "search"];

/// The initial texts of the page's search, one per line.
const PHRASES: &str = "models/search/phrases.txt";

/// The checkpoint that the test converts in the page and, for comparison, on this machine.
const CHECKPOINT: &str = "models/home/intent";

pub(crate) fn run(options: &Browser) -> Result<()> {
    let out = PathBuf::from(target_folder("browser"));
    let (page, package) = (out.join("page"), out.join("npm"));
    let module = fs::read(module(&out)?)?;
    ensure!(module.len() < MOST_BYTES, "the module has {} bytes, more than {MOST_BYTES}", module.len());
    write_package(&package, &module)?;
    write_page(&page, &module, &fs::read(converter(&out)?)?)?;
    println!("{}\n{}: a module of {} bytes", page.join("index.html").display(), package.display(), module.len());
    if options.build { Ok(()) } else { check(&page, &package, options) }
}

/// Builds the WebAssembly module that runs models, and returns its path.
fn module(out: &Path) -> Result<PathBuf> {
    let out = out.join("module");
    let folder = out.to_string_lossy();
    cargo_in(&folder_of("browser"), &["build", "--quiet", "--release", "--target-dir", &folder], &[])?;
    Ok(out.join("wasm32-unknown-unknown/release/kinglet_wasm.wasm"))
}

/// Builds the command line for WASI, because it reads files, and returns its path.
fn converter(out: &Path) -> Result<PathBuf> {
    let package = ["--package", "kinglet-convert", "--no-default-features", "--bin", "kinglet"];
    let folder = out.to_string_lossy();
    let target = ["--target", "wasm32-wasip1", "--target-dir", &folder];
    let vectors = ["--config", "target.wasm32-wasip1.rustflags=[\"-C\", \"target-feature=+simd128\"]"];
    cargo_in(
        root(),
        &[&["build", "--quiet", "--release"], &package[..], &target, &vectors].concat(),
        &[("CARGO_PROFILE_RELEASE_DEBUG", "0")],
    )?;
    Ok(out.join("wasm32-wasip1/release/kinglet.wasm"))
}

fn write_package(package: &Path, module: &[u8]) -> Result<()> {
    fs::create_dir_all(package)?;
    for name in ["package.json", "index.js", "index.d.ts", "kinglet.js", "README.md"] {
        fs::copy(folder_of("browser").join("npm").join(name), package.join(name))?;
    }
    Ok(fs::write(package.join("kinglet.wasm"), module)?)
}

/// Writes the page. All other files become scripts, because a page opened from a folder can load
/// scripts only.
fn write_page(page: &Path, module: &[u8], converter: &[u8]) -> Result<()> {
    fs::create_dir_all(page.join("data"))?;
    let sources = folder_of("browser");
    let source = |name: &str| -> Result<String> {
        let text = fs::read_to_string(sources.join(name)).with_context(|| format!("reading {name}"))?;
        ensure!(!text.contains("</script"), "{name} contains `</script`, which would end its script");
        // The scripts are concatenated in the page, so they need no exports.
        Ok(text.replace("\nexport ", "\n"))
    };
    let mut expected = Map::new();
    for example in EXAMPLES {
        let printed = fs::read_to_string(folder_of("expected").join(format!("{example}.txt")))?;
        expected.insert(example.to_owned(), printed.into());
    }
    let phrases = Value::from(fs::read_to_string(root().join(PHRASES))?);
    let boards = source("page/boards.js")?;
    let engine = [source("npm/kinglet.js")?, source("page/wasi.js")?, boards.clone(), source("page/worker.js")?];
    let data = format!("const EXPECTED = {};\nconst PHRASES = {phrases};\n", Value::Object(expected));
    let shown = [data, boards, source("page/tasks.js")?, source("page/page.js")?];
    let mut html = fs::read_to_string(sources.join("page/index.html"))?;
    for (mark, text) in
        [("/* style.css */", source("page/style.css")?), ("// engine", engine.concat()), ("// page.js", shown.concat())]
    {
        ensure!(html.matches(mark).count() == 1, "page/index.html must contain {mark} once");
        html = html.replace(mark, &text);
    }
    fs::write(page.join("index.html"), html)?;

    let mut files = vec![".".to_owned()];
    let mut data = |name: &str, bytes: &[u8]| {
        files.push(format!("data/{name}.js"));
        fs::write(
            page.join("data").join(format!("{name}.js")),
            format!("kinglet(\"{name}\", \"{}\");\n", STANDARD.encode(bytes)),
        )
    };
    data("kinglet", module)?;
    data("convert", converter)?;
    for model in MODELS {
        data(model, &fs::read(folder_of("common").join(format!("models/{model}.kinglet")))?)?;
    }
    let kept = format!("const FILES = {};\n{}", Value::from(files), source("page/offline.js")?);
    Ok(fs::write(page.join("offline.js"), kept)?)
}

fn check(page: &Path, package: &Path, options: &Browser) -> Result<()> {
    let (folder, examples) = (folder_of("browser"), folder_of(""));
    follow(&package.join("README.md"), &page.with_file_name("readme"))?;
    node(Command::new("node").arg(folder.join("npm/test.mjs")).args([package, &examples]))?;
    let (checkpoint, blob) = (root().join(CHECKPOINT), page.with_file_name("converted.kinglet"));
    kinglet(&["convert", CHECKPOINT, "--output", &blob.to_string_lossy(), "--force"])?;
    let mut test = Command::new("node");
    test.arg(folder.join("test.mjs")).args([page, &examples, &checkpoint, &blob]);
    if let Some(pictures) = &options.screenshots {
        fs::create_dir_all(pictures)?;
        test.arg(fs::canonicalize(pictures)?);
    }
    node(&mut test)
}

fn node(command: &mut Command) -> Result<()> {
    let status = command.status().context("running node: is it installed?")?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
