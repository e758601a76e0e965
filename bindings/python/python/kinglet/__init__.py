"""Small transformers for microcontrollers, with the bits of the firmware.

`convert` turns a Hugging Face checkpoint into one file, the blob; `Model` runs the blob with the
integers that a board computes. Methods have the names and shapes of the pipelines of `transformers`,
and of `sentence-transformers`.
"""

from ._kinglet import Error, __version__
from .convert import Report, convert
from .model import Model, fingerprint

__all__ = ["Error", "Model", "Report", "__version__", "convert", "fingerprint"]
