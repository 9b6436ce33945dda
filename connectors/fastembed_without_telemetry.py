"""fastembed and the errors of onnxruntime, imported with onnxruntime's telemetry off: import them from here only.

From 1.31 on, onnxruntime on Linux writes a device id below the user's cache and sends events about each model to its
maker, unless this variable is set before it is imported. Its `disable_telemetry_events()` comes too late for that.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType
from fastembed.sparse.bm25 import Bm25
from fastembed.sparse.sparse_embedding_base import SparseEmbedding
from onnxruntime.capi.onnxruntime_pybind11_state import (  # type: ignore[import-untyped]  # it ships no types
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
    RuntimeException,
)

__all__ = [
    "Bm25",
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "ModelSource",
    "NoSuchFile",
    "PoolingType",
    "RuntimeException",
    "SparseEmbedding",
    "TextEmbedding",
]
