//! Downloads models from a server on the loopback address.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{path, run, run_json, stories, text};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request: its path, the start of its range, and whether it had the token.
#[derive(Clone, Debug, PartialEq)]
struct Request {
    path: String,
    from: usize,
    /// Whether it asks for one byte, to learn the size.
    asks_size: bool,
    allowed: bool,
}

/// A server with the model `org/stories` and, for requests with the token, `org/secret`.
struct Hub {
    endpoint: String,
    requests: Arc<Mutex<Vec<Request>>>,
    /// The number of downloads of weights to cut in the middle.
    cuts: Arc<Mutex<usize>>,
    /// The folder for downloads.
    home: TempDir,
}

impl Hub {
    fn new() -> Self {
        let names =
            ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];
        let read = |name: &str| fs::read(stories().join(name)).expect("the model ships");
        let mut files: HashMap<String, Vec<u8>> = names.map(|name| (name.to_owned(), read(name))).into();
        for unneeded in ["README.md", "pytorch_model.bin", "onnx/model.onnx", "modeling_own.py", "../outside.json"] {
            files.insert(unneeded.to_owned(), b"not needed".to_vec());
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (requests, cuts) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (seen, left, own) = (requests.clone(), cuts.clone(), endpoint.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client may close the connection.
                let _ = serve(stream, &files, &own, &seen, &left);
            }
        });
        Self { endpoint, requests, cuts, home: TempDir::new().expect("a folder") }
    }

    fn kinglet(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kinglet"));
        for name in ["HF_TOKEN", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(name);
        }
        command.env("HF_ENDPOINT", &self.endpoint).env("HF_HOME", self.home.path());
        command.envs(environment.iter().copied()).args(arguments).output().expect("kinglet runs")
    }

    fn convert(&self, id: &str, output: &str, environment: &[(&str, &str)]) -> Output {
        self.kinglet(&["convert", id, "-o", output, "--no-calibration", "--force"], environment)
    }

    /// The requests since the last call.
    fn take(&self) -> Vec<Request> {
        core::mem::take(&mut *self.requests.lock().expect("the server runs"))
    }
}

fn serve(
    stream: TcpStream,
    files: &HashMap<String, Vec<u8>>,
    endpoint: &str,
    requests: &Mutex<Vec<Request>>,
    cuts: &Mutex<usize>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut range, mut allowed) = (None, false);
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                range = value
                    .strip_prefix("bytes=")
                    .and_then(|range| range.split_once('-'))
                    .map(|(from, to)| (from.parse().unwrap_or(0), to.to_owned()))
            }
            "authorization" => allowed = value == "Bearer good",
            _ => {}
        }
    }
    let (from, to) = range.unwrap_or_default();
    let asks_size = to == "0";
    requests.lock().expect("no panic").push(Request { path: path.clone(), from, asks_size, allowed });
    let answer = |status: &str, headers: &str, body: &[u8], sent: usize| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
        (&stream).write_all(head.as_bytes())?;
        (&stream).write_all(&body[..sent])
    };
    let info =
        json!({ "sha": COMMIT, "siblings": files.keys().map(|name| json!({ "rfilename": name })).collect::<Vec<_>>() });
    if path.contains("org/secret") && !allowed {
        return answer("401 Unauthorized", "", b"", 0);
    }
    let model = path.replacen("org/secret", "org/stories", 1);
    if ["main", "v1", COMMIT].iter().any(|revision| model == format!("/api/models/org/stories/revision/{revision}")) {
        let info = info.to_string();
        return answer("200 OK", "", info.as_bytes(), info.len());
    }
    let file = model.strip_prefix(&format!("/org/stories/resolve/{COMMIT}/")).or_else(|| model.strip_prefix("/cdn/"));
    let Some((file, bytes)) = file.and_then(|file| Some((file, files.get(file)?))) else {
        return answer("404 Not Found", "", b"", 0);
    };
    let about = format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{}-{}\"\r\n", file.replace('.', "-"), bytes.len());
    // Large files are redirected to another path.
    if file.ends_with(".safetensors") && !model.starts_with("/cdn/") {
        return answer("302 Found", &format!("{about}Location: {endpoint}/cdn/{file}\r\n"), b"", 0);
    }
    let body = if asks_size { &bytes[..1] } else { &bytes[from..] };
    let headers = format!("{about}Content-Range: bytes {from}-{}/{}\r\n", from + body.len() - 1, bytes.len());
    let mut cuts = cuts.lock().expect("no panic");
    let cut = *cuts > 0 && !asks_size && file.ends_with(".safetensors");
    *cuts -= usize::from(cut);
    answer("206 Partial Content", &headers, body, if cut { body.len() / 2 } else { body.len() })
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The logits of a blob, which do not depend on its provenance.
fn weights(blob: &str) -> Value {
    run_json(&["logits", blob, "--ids", "1,5,9", "--json"])
}

#[test]
fn a_model_of_the_hub_is_downloaded_once_and_named_in_the_blob() {
    let hub = Hub::new();
    let (local, blob) = (path(&hub.home, "local.kinglet"), path(&hub.home, "hub.kinglet"));
    run(&["convert", text(&stories()), "-o", &local, "--no-calibration"]);
    let output = hub.convert("org/stories@v1", &blob, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(weights(&blob), weights(&local));
    assert!(run(&["inspect", &blob]).contains(&format!("org/stories@{COMMIT}")));
    // Files that no conversion reads are not requested.
    let names: Vec<String> = hub.take().into_iter().map(|request| request.path).collect();
    for unneeded in ["README", "pytorch_model", "onnx", ".py", "outside"] {
        assert!(!names.iter().any(|name| name.contains(unneeded)), "{names:?}");
    }
    assert!(!hub.home.path().join("hub/outside.json").exists());

    // Cached files are not downloaded again, and offline nothing is requested.
    assert!(hub.convert("org/stories@v1", &blob, &[]).status.success());
    let again = hub.take();
    assert!(again.iter().all(|request| request.path.starts_with("/api/")), "{again:?}");
    let offline = [("HF_HUB_OFFLINE", "1")];
    for id in ["org/stories@v1".to_owned(), format!("org/stories@{COMMIT}")] {
        assert!(hub.convert(&id, &blob, &offline).status.success(), "{id}");
    }
    let absent = hub.convert("org/stories@main", &blob, &offline);
    assert!(
        said(&absent).contains("org/stories@main is not in") && said(&absent).contains("HF_HUB_OFFLINE"),
        "{}",
        said(&absent)
    );
    assert_eq!(hub.take(), []);
}

#[test]
fn a_download_that_was_cut_goes_on_where_it_ended() {
    let hub = Hub::new();
    let blob = path(&hub.home, "out.kinglet");
    let size = fs::metadata(stories().join("model.safetensors")).expect("it ships").len() as usize;
    let begun = |requests: &[Request]| -> Vec<usize> {
        let weights = requests.iter().filter(|request| request.path == "/cdn/model.safetensors" && !request.asks_size);
        weights.map(|request| request.from).collect()
    };
    // One download of a run is cut.
    *hub.cuts.lock().expect("the server runs") = 1;
    let output = hub.convert("org/stories", &blob, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(begun(&hub.take()), [0, size / 2]);
    fs::remove_dir_all(hub.home.path().join("hub")).expect("it was downloaded");
    // All attempts of a run are cut; the next run resumes.
    *hub.cuts.lock().expect("the server runs") = 4;
    let output = hub.convert("org/stories", &blob, &[]);
    assert!(
        !output.status.success() && said(&output).contains("model.safetensors cannot be downloaded"),
        "{}",
        said(&output)
    );
    assert_eq!(said(&output).lines().count(), 2, "{}", said(&output));
    hub.take();
    assert!(hub.convert("org/stories", &blob, &[]).status.success());
    let begun = begun(&hub.take());
    assert!(begun.len() == 1 && begun[0] > size / 2, "{begun:?} of {size}");
}

#[test]
fn what_the_hub_does_not_show_is_refused_in_two_lines() {
    let hub = Hub::new();
    let blob = path(&hub.home, "out.kinglet");
    for (id, expected) in [
        ("org/secret", "HF_TOKEN"),
        ("org/nothing", "org/nothing is not a folder here, and"),
        ("org/stories@nowhere", "revision nowhere"),
        ("org/stories/more", "is not a folder"),
    ] {
        let output = hub.convert(id, &blob, &[]);
        assert!(!output.status.success() && said(&output).lines().count() == 2, "{id}: {}", said(&output));
        assert!(said(&output).contains(expected), "{id}: {}", said(&output));
    }
    assert!(!Path::new(&blob).exists());
    let output = hub.convert("org/secret", &blob, &[("HF_TOKEN", "good")]);
    assert!(output.status.success(), "{}", said(&output));
    let closed = hub.convert("org/stories", &blob, &[("HF_ENDPOINT", "http://127.0.0.1:9")]);
    assert!(
        said(&closed).contains("org/stories is not a folder here, and cannot be downloaded from http://127.0.0.1:9"),
        "{}",
        said(&closed)
    );
}

#[test]
fn a_folder_of_that_name_wins() {
    let hub = Hub::new();
    let folder = TempDir::new().expect("a folder");
    let local = folder.path().join("org/stories");
    fs::create_dir_all(&local).expect("a folder");
    for file in fs::read_dir(stories()).expect("the model ships") {
        let file = file.expect("an entry").path();
        fs::copy(&file, local.join(file.file_name().expect("a name"))).expect("disk");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinglet"));
    command.current_dir(folder.path()).env("HF_ENDPOINT", &hub.endpoint).env("HF_HOME", hub.home.path());
    let output =
        command.args(["convert", "org/stories", "-o", "x.kinglet", "--no-calibration"]).output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(hub.take(), []);
}
