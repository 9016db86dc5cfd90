"""Score raw rows with an exported file: the standard library, numpy and onnxruntime are all it needs.

Images need Pillow and Parquet needs pyarrow beside them. Rows stream through in chunks, so a file of any size is scored
in constant memory.
"""

from ann.predict.files import CHUNK_ROWS, predict_file
from ann.predict.model import Model

__all__ = ["CHUNK_ROWS", "Model", "predict_file"]
