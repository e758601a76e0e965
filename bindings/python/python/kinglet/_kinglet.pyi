"""What is written in Rust. The package's other modules give it names and shapes."""

from collections.abc import Iterator
from typing import Any, Optional

__version__: str

class Error(Exception):
    """What is wrong, and what to do about it.

    `code` is the number of the error in `docs/errors.md`, or `None` where the error is not the
    runtime's.
    """

    code: Optional[int]

class Engine:
    def __new__(cls, blob: bytes, threads: int) -> "Engine": ...
    def about(self) -> dict[str, Any]: ...
    def inspect(self) -> dict[str, Any]: ...
    def self_test(self) -> None: ...
    def rows(self, ids: list[int], token_types: list[int], decoder_ids: list[int]) -> tuple[bytearray, int]: ...
    def tokenize(
        self, text: str, pair: Optional[str], add_special_tokens: bool, max_length: Optional[int]
    ) -> tuple[list[int], list[int], list[str], list[tuple[int, int]], list[Optional[int]], list[bool]]: ...
    def decode(self, ids: list[int], skip_special_tokens: bool) -> str: ...
    def entities(
        self, scores: list[Optional[list[float]]], continues: list[bool], how: str
    ) -> list[tuple[str, float, int, int]]: ...
    def generate(self, request: dict[str, Any]) -> "Generation": ...

class Generation(Iterator[str]):
    """Pieces of a text, as the model writes them."""

    def __iter__(self) -> "Generation": ...
    def __next__(self) -> str: ...
    @property
    def token_ids(self) -> Optional[list[int]]:
        """The tokens that were written; `None` until the text has ended."""
    @property
    def finish_reason(self) -> Optional[str]:
        """Why the text has ended: `"stop"` or `"length"`; `None` until then."""
    def close(self) -> None:
        """Stops writing."""

def convert(folder: str, output: str, wishes: dict[str, Any]) -> tuple[str, str, list[str]]: ...
def fingerprint(integers: bytes) -> str: ...
