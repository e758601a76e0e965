"""A checkpoint may be named like a model of the Hugging Face Hub."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import kinglet
import pytest
from kinglet import Error

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(root, tmp_path, monkeypatch):
    """A server with the model `org/intent`, and the environment in which it is the Hub."""
    files = {path.name: path.read_bytes() for path in (root / "models/home/intent").iterdir()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rsplit("/", 1)[-1]
            if self.path == "/api/models/org/intent/revision/main":
                about = {"sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
                self.answer(json.dumps(about).encode())
            elif self.path == f"/org/intent/resolve/{COMMIT}/{name}" and name in files:
                first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
                whole = files[name]
                body = whole[int(first) : int(last) + 1 if last else None]
                place = f"bytes {first}-{int(first) + len(body) - 1}/{len(whole)}"
                etag = '"' + name.replace(".", "-") + '"'
                self.answer(body, 206, {"Content-Range": place, "ETag": etag, "X-Repo-Commit": COMMIT})
            else:
                self.answer(b"", 404)

        def answer(self, body, status=200, headers={}):
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    yield server
    server.shutdown()


def test_a_model_of_the_hub_is_downloaded_and_converted(hub, tmp_path, intents):
    kinglet.convert("org/intent", tmp_path / "intent.kinglet", calibration_ids=True)
    model = kinglet.Model(tmp_path / "intent.kinglet")
    assert model.logits("lights on", integers=True).tolist() == intents.logits("lights on", integers=True).tolist()
    assert f"org/intent@{COMMIT}" in json.dumps(model.inspect()["provenance"])


def test_a_model_that_is_not_there_is_named(hub, tmp_path):
    with pytest.raises(Error, match="org/other"):
        kinglet.convert("org/other", tmp_path / "out.kinglet")
    assert not (tmp_path / "out.kinglet").exists()
