"""Runs the examples of the README and of the docstrings."""

import doctest
import os
import subprocess
import sys
from pathlib import Path

import kinglet
import kinglet.convert
import kinglet._logits
import kinglet.model
import numpy as np
import pytest


@pytest.fixture
def folder(root, tmp_path, monkeypatch):
    """An empty folder with links to the project's checkpoints and blobs."""
    for name in ("models", "firmware-examples"):
        (tmp_path / name).symlink_to(root / name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["kinglet._logits", "kinglet.model", "kinglet.convert"])
def test_the_examples_of_the_documentation(name, request, folder):
    names = {each: request.getfixturevalue(each) for each in ("stories", "intents", "slots", "words")}
    found = doctest.testmod(sys.modules[name], extraglobs={"kinglet": kinglet, "np": np, **names})
    assert found.attempted > 0 and found.failed == 0


def test_the_examples_of_the_readme(root, tmp_path, monkeypatch):
    readme = Path(__file__).resolve().parents[1] / "README.md"
    install, more = [], []
    for command in readme.read_text().split("```sh\n")[1].split("```")[0].splitlines():
        (install if command.startswith("pip install") else more).append(command)
    # The environment of the tests has the package.
    assert len(install) == 2 and (root / "bindings/python/pyproject.toml").exists()
    for command in more:
        subprocess.run(command, shell=True, check=True, cwd=tmp_path, env={**os.environ, "KINGLET": str(root)})
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(readme), module_relative=False)
    assert found.attempted > 10 and found.failed == 0
