"""Which of Lightning's precisions trains fastest here."""

from __future__ import annotations

import torch

from elir_edge.core.processor import vector_instructions
from elir_edge.errors import UsageError

AUTO = "auto"
PRECISIONS = (AUTO, "32-true", "bf16-mixed", "16-mixed")
WITH_BF16 = ("avx512_bf16", "amx_bf16")


def choose_precision(wanted: str, accelerator: str) -> str:
    """``wanted``, ``32`` for 32-true; for ``auto`` bf16-mixed where the hardware multiplies bf16, else 32-true.

    A processor without such instructions takes ten times as long for a convolution in bf16 as in float32 (measured
    with torch 2.13 on AVX2). ``accelerator`` is Lightning's. Raises UsageError for any other
    precision: the average of the weights, and the noise, are float32.
    """
    if wanted == "32":
        return "32-true"
    if wanted not in PRECISIONS:
        raise UsageError(f"there is no precision '{wanted}' to train in", hint=f"known: {', '.join(PRECISIONS)}")
    if wanted != AUTO:
        return wanted
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    return "32-true" if on_cpu and not set(WITH_BF16) & set(vector_instructions()) else "bf16-mixed"
