"""What the system tells about the processor."""

from __future__ import annotations

from pathlib import Path

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16", "asimddp", "i8mm")


def vector_instructions() -> list[str]:
    """Those of ``FEATURES`` that the processor has; empty where the system does not tell (all but Linux)."""
    info = read_cpuinfo()
    flags = info.get("flags", info.get("Features", "")).split()
    return [name for name in FEATURES if name in flags]


def read_cpuinfo() -> dict[str, str]:
    """The first entry of /proc/cpuinfo, which psutil does not have; empty on other systems than Linux."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {key.strip(): value.strip() for key, _, value in lines if value}
