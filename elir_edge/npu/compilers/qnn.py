"""Qualcomm's HTP compiler and its simulator, both in onnxruntime-qnn: from quantized ONNX to a context binary.

Both run in a child process: they can crash, print much, and register a library for the whole process.
"""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.golden import has_golden, load_golden
from elir_edge.artifacts.signature import RESTORED
from elir_edge.core.child import run_child
from elir_edge.errors import DataError, missing_package
from elir_edge.npu.compiler import KIB, Compilation, Compiler, Job
from elir_edge.validation.verify import distance_to_golden, golden_feeds

PROVIDER = "QNNExecutionProvider"
CONTEXT = "EPContext"
BOUNDARY = ("QuantizeLinear", "DequantizeLinear")
MAX_REASON = 300


def compile_job(job: Job) -> Compilation:
    """Compile the whole graph to one context binary, then run the golden picture through it on the simulator."""
    for module, package in (("onnx", "onnx"), ("onnxruntime_qnn", "onnxruntime-qnn")):
        if importlib.util.find_spec(module) is None:
            raise missing_package(package, "qnn")
    import onnx

    from elir_edge.formats.onnx.for_htp import keep_sums_before_tanh, own_transposed_kernels
    from elir_edge.formats.onnx.group_norm import as_instance_norm

    model = as_instance_norm(onnx.load_model(job.artifact.path, load_external_data=False))
    own_transposed_kernels(model)
    keep_sums_before_tanh(model)
    prepared, context = job.folder / "prepared.onnx", job.folder / f"{job.stem}.onnx"
    prepared.write_bytes(model.SerializeToString(deterministic=True))
    ops = [node.op_type for node in model.graph.node if node.op_type not in BOUNDARY]
    with job.progress.stage(f"compiling for {job.device.name}"):
        told = _run("compile_context", job, source=str(prepared), context=str(context))
    if "error" in told or not context.is_file():
        return Compilation(
            (), len(ops), compiled=False, problems=(f"the HTP compiler said: {told.get('error', 'nothing')}",)
        )
    left = [node.op_type for node in onnx.load_model(context).graph.node]
    contexts, cpu_ops = left.count(CONTEXT), [name for name in left if name not in (CONTEXT, *BOUNDARY)]
    problems = [] if contexts == 1 else [f"the graph is cut into {contexts} contexts, with the CPU between them"]
    figures: dict[str, Any] = {"contexts": contexts, "compile_seconds": told["seconds"]}
    if job.simulate and not problems and not cpu_ops:
        problems += _simulate(job, context, figures)
    size = context.stat().st_size / KIB
    return Compilation((context,), len(ops), tuple(cpu_ops), {"dram": round(size, 1)}, figures, tuple(problems))


def _simulate(job: Job, context: Path, figures: dict[str, Any]) -> list[str]:
    """Run the golden picture on the simulator and add its results to ``figures``; returns the problems."""
    if not has_golden(job.artifact):
        job.progress.note("note: no golden file beside the artifact, so the simulator has nothing to compare with")
        return []
    golden = load_golden(job.artifact)
    feeds, result = job.folder / "feeds.npz", job.folder / "restored.npy"
    np.savez(feeds, allow_pickle=False, **golden_feeds(job.artifact.manifest, golden))
    with job.progress.stage("running the golden picture on the simulator"):
        told = _run("simulate", job, context=str(context), feeds=str(feeds), result=str(result))
    if "error" in told or not result.is_file():
        return [f"the simulator said: {told.get('error', 'nothing')}"]
    picture = np.load(result, allow_pickle=False)[0]
    manifest = job.artifact.manifest
    found = distance_to_golden(picture if manifest.layout == "NHWC" else picture.transpose(1, 2, 0), golden, manifest)
    figures |= {"psnr_to_cpu_db": found.psnr_db, "allowed_db": found.allowed_db, "simulator_seconds": told["seconds"]}
    if found.too_far:
        advice = job.device.advice_for(manifest.precision)
        return [f"the simulator's picture is {found.too_far} from the CPU's, {found.allowed_db} dB is asked{advice}"]
    return []


def compile_context(request: dict[str, Any]) -> dict[str, Any]:
    """In the child: write the model whose nodes are context binaries. Returns ``seconds``, or ``error``."""
    import onnxruntime

    session_options = _session_options(request["options"])
    session_options.add_session_config_entry("ep.context_enable", "1")
    session_options.add_session_config_entry("ep.context_file_path", request["context"])
    session_options.add_session_config_entry("ep.context_embed_mode", "1")
    began = time.perf_counter()
    try:
        onnxruntime.InferenceSession(request["source"], session_options)
    except Exception as error:  # a native library's errors have no class of their own
        return {"error": " ".join(str(error).split())[:MAX_REASON]}
    return {"seconds": round(time.perf_counter() - began, 1)}


def simulate(request: dict[str, Any]) -> dict[str, Any]:
    """In the child: simulate the HTP on the processor and write the output. Returns ``seconds``, or ``error``."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(request["context"], _session_options(request["options"]))
        began = time.perf_counter()
        (restored,) = session.run([RESTORED], dict(np.load(request["feeds"], allow_pickle=False)))
    except Exception as error:  # as above
        return {"error": " ".join(str(error).split())[:MAX_REASON]}
    np.save(request["result"], restored)
    return {"seconds": round(time.perf_counter() - began, 1)}


def _session_options(options: dict[str, str]) -> Any:
    import onnxruntime
    import onnxruntime_qnn

    onnxruntime.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER]
    session_options = onnxruntime.SessionOptions()
    settings = {"backend_path": onnxruntime_qnn.get_qnn_htp_path()} | options
    session_options.add_provider_for_devices(devices[:1], settings)
    return session_options


def _run(function: str, job: Job, **request: Any) -> dict[str, Any]:
    """Call a function of this file in a child process; returns its answer, with ``error`` if the child died."""
    try:
        request["options"] = job.device.options
        return run_child(f"{__name__}:{function}", request, str(job.artifact.path)).answer
    except DataError as error:
        return {"error": str(error)[:MAX_REASON]}


COMPILER = Compiler(
    name="qnn",
    description="Qualcomm's HTP compiler",
    takes=".onnx",
    suffixes=(".onnx",),
    package="onnxruntime-qnn",
    extra="qnn",
    advice="the HTP wants a quantized graph",
    target="onnx",
    compile=compile_job,
)
