"""The Kotlin package: an Android library module with the model as an asset and an instrumented test."""

from __future__ import annotations

from elir_edge.core.template import fill
from elir_edge.packaging.facts import Facts, PackagedTensor
from elir_edge.packaging.prose import common_values
from elir_edge.packaging.render import float_digits, kotlin_string, render

LITERT_VERSION = "2.2.0"
SOURCES = ("ModelFacts", "Restorer", "Tiles", "Yuv", "CameraStream", "Pixels")
WHOLE = {
    "last_graph": "",
    "steps_property": "",
    "run": "model.run(inputs, outputs)",
    "close_flow": "",
    "steps_fact": "",
    "steps_section": "",
}
SPLIT = {
    "last_graph": "Flow.DECODER",
    "steps_property": """    private val flow = Flow(model)

    /** Number of Euler steps: 1 to [ModelFacts.STEPS], which it is at first. Fewer are faster. */
    var steps: Int = ModelFacts.STEPS
        set(value) {
            require(value in 1..ModelFacts.STEPS) { "$value steps, the model takes 1 to ${ModelFacts.STEPS}" }
            field = value
        }
""",
    "run": "flow.run(inputs, outputs, steps)",
    "close_flow": "        flow.close()\n",
    "steps_fact": """    /** The largest number of Euler steps. */
    const val STEPS = @{steps}

""",
    "steps_section": """
`restorer.steps` is the number of Euler steps, 1 to @{steps}, which it is at first. Fewer are faster, and give another
picture. `Flow` runs the signatures `encoder`, `step` and `decoder` of the model; which ones, in which order and with
which numbers is tested on a JVM, LiteRT for Android has not run them.
""",
}


def kotlin_files(facts: Facts, embed: bool) -> dict[str, bytes]:
    """The files of the module by name. ``embed`` is ignored: the model is always an asset."""
    values = _values(facts)
    namespace = str(values["namespace"])
    sources, tests = (f"src/{part}/kotlin/{namespace.replace('.', '/')}" for part in ("main", "androidTest"))
    templates = {
        "README.md": "kotlin/README.md",
        "build.gradle.kts": "kotlin/build.gradle.kts",
        "settings.gradle.kts": "kotlin/settings.gradle.kts",
        "gradle.properties": "kotlin/gradle.properties",
        "src/main/AndroidManifest.xml": "kotlin/AndroidManifest.xml",
        **{f"{sources}/{name}.kt": f"kotlin/{name}.kt" for name in SOURCES},
        f"{tests}/SelfTest.kt": "kotlin/SelfTest.kt",
    }
    if facts.latent is not None:
        templates[f"{sources}/Flow.kt"] = "kotlin/Flow.kt"
    return render(templates, values) | {
        f"src/main/assets/{_asset(facts)}": facts.content,
        f"src/main/assets/{_asset(facts)}.json": facts.packaged_manifest().to_json().encode(),
        "src/androidTest/assets/selftest/image.rgb": facts.image.tobytes(),
        "src/androidTest/assets/selftest/restored.rgb": facts.restored.tobytes(),
    }


def _values(facts: Facts) -> dict[str, object]:
    manifest = facts.manifest
    name = facts.identifier
    return {
        "id": name,
        "namespace": f"elir.edge.{name}_restorer",
        "name_literal": kotlin_string(str(manifest.spec["name"])),
        "precision_literal": kotlin_string(manifest.precision),
        "asset_literal": kotlin_string(_asset(facts)),
        "android_litert_version": LITERT_VERSION,
        **_tensor_values("input", facts.input),
        **_tensor_values("output", facts.output),
        **_steps_values(facts),
        **common_values(facts),
    }


def _steps_values(facts: Facts) -> dict[str, object]:
    """What the sources of a split model have more: its steps are chosen when it runs."""
    texts = WHOLE if facts.latent is None else SPLIT
    return {name: fill(text, {"steps": facts.steps}) if "@{" in text else text for name, text in texts.items()}


def _tensor_values(role: str, tensor: PackagedTensor) -> dict[str, object]:
    return {
        f"{role}_name": kotlin_string(tensor.spec.name),
        f"{role}_is_float": str(tensor.spec.dtype == "float32").lower(),
        f"{role}_scale": float_digits(tensor.scale),
        f"{role}_zero_point": tensor.zero_point,
    }


def _asset(facts: Facts) -> str:
    return f"elir/{facts.model_file}"
