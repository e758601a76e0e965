"""Fixtures: the models that ship, under the names that the documentation's examples use."""

from pathlib import Path

import kinglet
import pytest

ROOT = Path(__file__).resolve().parents[3]
MODELS = ROOT / "firmware-examples/common/models"


@pytest.fixture(scope="session")
def root():
    return ROOT


def blob(name):
    return MODELS / f"{name}.kinglet"


@pytest.fixture(scope="session")
def stories():
    return kinglet.Model(blob("stories"))


@pytest.fixture(scope="session")
def intents():
    return kinglet.Model(blob("home-intent"))


@pytest.fixture(scope="session")
def slots():
    return kinglet.Model(blob("home-slots"))


@pytest.fixture(scope="session")
def words():
    return kinglet.Model(blob("home-words"))


@pytest.fixture(scope="session")
def backward():
    return kinglet.Model(blob("stories-backward"))


@pytest.fixture(scope="session")
def command():
    return kinglet.Model(blob("home-command"))


@pytest.fixture(scope="session")
def expected():
    """The lines that every board prints in an example, and the fingerprint of its logits."""

    def read(example):
        lines = (ROOT / f"firmware-examples/expected/{example}.txt").read_text().splitlines()
        return lines[:-1], lines[-1].removeprefix("logits ")

    return read
