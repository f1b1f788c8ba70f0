"""Models small enough to export in seconds, how tests quantize them, and which targets this machine can write."""

from __future__ import annotations

import dataclasses

from elir_edge.errors import UnavailableError
from elir_edge.families.elir.spec import AutoencoderSpec, ElirSpec, EstimatorSpec, FieldSpec, ResidualSpec
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec, SimVaeSpec
from elir_edge.pipeline.target import Target
from elir_edge.quantize.calibration import CalibrationRequest
from elir_edge.quantize.plan import Quantization
from exporters.web import find_runtime

SPEC = ElirSpec(
    name="tiny",
    size=64,
    steps=2,
    sigma_s=0.1,
    autoencoder=AutoencoderSpec(latent_channels=4, width=16, levels=2, blocks=1),
    estimator=EstimatorSpec(hidden=8, blocks=1),
    field=FieldSpec(hidden=32, multipliers=(1, 2), mid_blocks=1, time_features=16),
    weights="random:0",
)

# Exported in a third of the time: for what does not depend on the field's normalization and levels.
LIGHT = dataclasses.replace(SPEC, field=ResidualSpec(widths=(16,), blocks=(1,), time_features=16))

# The autoencoder alone: for what does not depend on the graph.
BARE = dataclasses.replace(LIGHT, steps=0, estimator=None, field=None)

# The other form of an artifact than the default one: pictures as bytes, and noise that is given.
BYTES = {"io": "uint8", "noise": "input"}

# Stand-in weights have no quality to lose: few pictures, and no gate.
QUICK = Quantization(CalibrationRequest(count=4), allow_degraded=True)


def why_no_export(target: Target) -> str | None:
    """Why this machine cannot export to ``target``, although all extras are installed; None where it can."""
    if target.name == "web":
        try:
            find_runtime()
        except UnavailableError as error:
            return f"{error}: {error.hint}"
    return None


# For an estimator of the user's own, which has to be put in: nothing else computes but a small Sim-VAE.
OWN = LatentPmrfSpec(
    name="own",
    size=32,
    steps=0,
    estimator=None,
    field=None,
    autoencoder=SimVaeSpec(4, widths=(8,), encoder_blocks=1, decoder_blocks=1, mid_blocks=0),
    weights="random:0",
)
