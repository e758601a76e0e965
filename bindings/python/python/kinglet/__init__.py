"""Converts small transformers for microcontrollers, and runs them with the firmware's exact results.

`convert` turns a Hugging Face checkpoint into one file, the blob; `Model` runs a blob with the
integer arithmetic of a board. Methods have the names and shapes of `transformers` pipelines and of
`sentence-transformers`.
"""

from ._kinglet import Error, __version__
from ._logits import fingerprint
from .convert import Report, convert
from .model import Model

__all__ = ["Error", "Model", "Report", "__version__", "convert", "fingerprint"]
