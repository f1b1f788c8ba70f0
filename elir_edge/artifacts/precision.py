"""What a number takes at each precision."""

from __future__ import annotations

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "mixed", "w8a16")
WEIGHT_BYTES = {"fp32": 4, "fp16": 2, "int8": 1, "w8a16": 1}
INTEGER_BYTES = {"int8": 1, "w8a16": 2}  # of activations; bytes of float ones depend on the format
