"""Names of the forms in which PyTorch runs a model: ``eager``, ``compile+bf16+cuda``. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from elir_edge.errors import UsageError, did_you_mean

EAGER = "eager"
WORDS = (EAGER, "compile", "lowered", "fp16", "bf16", "channels_last", "cuda", "graphs")
ON_CPU = (
    "eager+channels_last",
    "eager+bf16+channels_last",
    "eager+lowered+channels_last",
    "compile",
    "compile+lowered+channels_last",
    "compile+bf16+channels_last",
)
ON_CUDA = (
    "eager+cuda",
    "eager+fp16+channels_last+cuda",
    "eager+bf16+channels_last+cuda",
    "eager+fp16+channels_last+cuda+graphs",
    "compile+fp16+channels_last+cuda",
)


@dataclass(frozen=True)
class TorchVariant:
    """How PyTorch runs the model: compiled or not, ``dtype`` fp32, fp16 or bf16, memory format, device, lowered or not.

    The reference is ``eager``: fp32, NCHW, on the CPU.
    """

    compiled: bool = False
    lowered: bool = False
    dtype: str = "fp32"
    channels_last: bool = False
    cuda: bool = False
    cuda_graphs: bool = False

    @classmethod
    def parse(cls, text: str) -> TorchVariant:
        """Parse words joined by ``+``: eager or compile, then any others. Raises UsageError for any other text."""
        words = text.split("+")
        for word in words:
            if word not in WORDS:
                raise UsageError(f"'{text}': PyTorch has no form '{word}'", hint=did_you_mean(word, WORDS))
        dtypes = [word for word in words if word in ("fp16", "bf16")]
        graphs = "graphs" in words
        if (EAGER in words) == ("compile" in words) or len(dtypes) > 1 or (graphs and "cuda" not in words):
            raise UsageError(
                f"'{text}' is no form of PyTorch", hint="eager or compile; one of fp16, bf16; graphs on cuda"
            )
        return cls(
            "compile" in words, "lowered" in words, (dtypes or ["fp32"])[0], "channels_last" in words,
            "cuda" in words, graphs,
        )  # fmt: skip
