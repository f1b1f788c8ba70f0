"""The machine of a measurement: processor, cores, memory and versions; no host name and no path."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from elir_edge.core.cores import usable_cores
from elir_edge.core.plain import installed_version
from elir_edge.errors import missing_package

PACKAGES = ("torch", "onnxruntime", "openvino", "ai-edge-litert", "tensorflow", "litert-torch", "onnx", "nncf", "ncnn")
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16", "asimddp", "i8mm")


def machine_facts() -> dict[str, Any]:
    """Processor, cores, memory in GiB, system, vector instructions, and the versions of the runtimes."""
    memory = system_library().virtual_memory().total / 2**30
    return {
        "processor": _cpuinfo().get("model name") or platform.processor() or "unknown processor",
        "cores": usable_cores(),
        "memory_gib": round(memory),
        "system": f"{platform.system()} {platform.machine()}",
        "instructions": vector_instructions(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := installed_version(name)) is not None},
    }


def vector_instructions() -> list[str]:
    """Those of ``FEATURES`` that the processor has; empty where the system does not tell (all but Linux)."""
    info = _cpuinfo()
    flags = info.get("flags", info.get("Features", "")).split()
    return [name for name in FEATURES if name in flags]


def describe_machine(facts: dict[str, Any] | None = None) -> str:
    """The facts of ``machine_facts`` as one sentence."""
    facts = facts or machine_facts()
    versions = ", ".join(f"{name} {found}" for name, found in facts["versions"].items())
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['memory_gib']} GiB, {facts['system']}, "
        f"Python {facts['python']}; {versions}"
    )


def system_library() -> Any:
    """The psutil module. Raises UnavailableError, with the pip command, if it is not installed."""
    try:
        import psutil
    except ImportError as error:
        raise missing_package("psutil", "bench") from error
    return psutil


def _cpuinfo() -> dict[str, str]:
    """The first entry of /proc/cpuinfo, which psutil does not have; empty on other systems than Linux."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {key.strip(): value.strip() for key, _, value in lines if value}
