"""The stages of ELIR as data: encoded, coarse, state_0 .. state_K, restored. Imports no torch."""

from __future__ import annotations

from elir_edge.families.base import IMAGE, RESTORED, Stage, euler_stage
from elir_edge.families.elir.spec import ElirSpec


def stages(spec: ElirSpec, noisy: bool = True) -> tuple[Stage, ...]:
    """All stages of a model of ``spec``. A stage whose part the model lacks equals the stage before it.

    z_0 = coarse + sigma_s * eps; z_{k+1} = z_k + field(z_k, k/K) / K; restored = decoder(z_K)
    (ELIR, arXiv 2502.03500, equations 1 and 2).
    """
    estimate = (lambda run: run.model.mmse(run.values["encoded"])) if spec.estimator else None
    noise = (lambda run: run.model.add_noise(run.values["coarse"], run.noise)) if spec.field and noisy else None
    before = "estimator" if spec.estimator else "encoder"
    return (
        Stage("encoded", "encoder", "encoder", "enc", lambda run: run.model.enc(run.values[IMAGE])),
        Stage("coarse", "coarse estimator", before, "mmse" if spec.estimator else None, estimate),
        Stage("state_0", "noise", before, None, noise),
        *(euler_stage(k) for k in range(spec.steps)),
        Stage(RESTORED, "decoder", "decoder", "dec", lambda run: run.model.dec(run.values[f"state_{spec.steps}"])),
    )
