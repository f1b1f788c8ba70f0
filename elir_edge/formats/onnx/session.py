"""ONNX Runtime sessions of graphs that are not files yet."""

from __future__ import annotations

import onnxruntime
from onnx import ModelProto


def open_model(model: ModelProto, *, optimized: bool = True) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on the CPU; without ``optimized``, each node is computed as the graph states it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
