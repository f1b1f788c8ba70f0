"""The machine of a measurement: processor, cores, memory and versions; no host name and no path."""

from __future__ import annotations

import platform
from typing import Any

from elir_edge.core.cores import usable_cores
from elir_edge.core.plain import installed_version
from elir_edge.core.processor import read_cpuinfo, vector_instructions
from elir_edge.errors import missing_package

PACKAGES = ("torch", "onnxruntime", "openvino", "ai-edge-litert", "tensorflow", "litert-torch", "onnx", "nncf", "ncnn")


def machine_facts() -> dict[str, Any]:
    """Processor, cores, memory in GiB, system, vector instructions, and the versions of the runtimes."""
    memory = system_library().virtual_memory().total / 2**30
    return {
        "processor": read_cpuinfo().get("model name") or platform.processor() or "unknown processor",
        "cores": usable_cores(),
        "memory_gib": round(memory),
        "system": f"{platform.system()} {platform.machine()}",
        "instructions": vector_instructions(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := installed_version(name)) is not None},
    }


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
