"""What a validation found, and whether it meets the gate."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elir_edge.imaging.comparison import Comparison
from elir_edge.imaging.kinds import kind_of
from elir_edge.validation.gates import VISIBLE_DB, Gate
from elir_edge.validation.stages import StageError, weakest


@dataclass(frozen=True)
class StageDrift:
    """Largest difference of one stage from the model's, divided by the stage's largest magnitude."""

    stage: str
    relative_max: float
    drifted: bool


@dataclass(frozen=True)
class Truth:
    """PSNR in dB of one restored picture against its original: by PyTorch fp32 and by the artifact."""

    reference_db: float
    artifact_db: float

    @property
    def drop_db(self) -> float:
        """PSNR in dB that the artifact loses against PyTorch fp32; what lies above ``VISIBLE_DB`` is not counted."""
        return min(self.reference_db, VISIBLE_DB) - min(self.artifact_db, VISIBLE_DB)


@dataclass(frozen=True)
class Validation:
    """Comparison of an artifact with its PyTorch model, picture by picture.

    ``truths`` has the pictures whose originals are known. ``stages`` is filled for fp32, ``errors`` for the other
    precisions, both only if the stages were compared.
    """

    backend: str
    gate: Gate
    pictures: dict[str, Comparison]
    truths: dict[str, Truth] = field(default_factory=dict)
    stages: tuple[StageDrift, ...] = ()
    errors: tuple[StageError, ...] = ()

    @property
    def worst(self) -> str:
        """Name of the picture that differs most."""
        return max(self.pictures, key=lambda name: self._badness(self.pictures[name]))

    @property
    def mean_drop_db(self) -> float | None:
        """Mean PSNR loss in dB against the originals; None where no original is known."""
        return float(np.mean([truth.drop_db for truth in self.truths.values()])) if self.truths else None

    @property
    def worst_drop_db(self) -> float | None:
        """Largest PSNR loss in dB against an original; None where no original is known."""
        return max((truth.drop_db for truth in self.truths.values()), default=None)

    @property
    def drops_by_kind(self) -> dict[str, float]:
        """Mean PSNR loss in dB by kind of picture, for kinds with two pictures or more whose originals are known."""
        drops: dict[str, list[float]] = {}
        for name, truth in self.truths.items():
            if (kind := kind_of(name)) is not None:
                drops.setdefault(kind, []).append(truth.drop_db)
        return {kind: float(np.mean(values)) for kind, values in drops.items() if len(values) > 1}

    @property
    def worst_shift(self) -> tuple[float, float, float]:
        """Mean shift of each colour channel on the picture where it is largest, with its sign, in units of 1/255."""
        shifts = np.array([item.mean_shift for item in self.pictures.values()]) * 255
        red, green, blue = (float(channel[np.abs(channel).argmax()]) for channel in shifts.T)
        return red, green, blue

    @property
    def failures(self) -> tuple[str, ...]:
        """One sentence for each condition of the gate that is not met."""
        named = [(name, self.gate.complaint(item)) for name, item in self.pictures.items()]
        found = [f"{name}: {complaint}" for name, complaint in named if complaint]
        found += [] if self.pictures else ["no picture was compared"]
        kinds = [(drop, self.gate.mean_drop_db, f"on {kind} pictures") for kind, drop in self.drops_by_kind.items()]
        for drop, allowed, which in (
            (self.mean_drop_db, self.gate.mean_drop_db, "on average"),
            *kinds,
            (self.worst_drop_db, self.gate.worst_drop_db, "on the worst picture"),
        ):
            if drop is not None and allowed is not None and not drop <= allowed:
                found.append(f"{drop:.2f} dB lost against the ground truth {which}, allowed are {allowed:g}")
        return tuple(found)

    @property
    def passed(self) -> bool:
        """Whether every condition of the gate is met."""
        return not self.failures

    @property
    def drift_began(self) -> str | None:
        """Where the difference begins; None where there is none or it is not known.

        fp32: the first stage that differs, or ``decoder`` where only the picture does. Other precisions: the part with
        the largest share of the picture's error, for an artifact that fails.
        """
        if self.errors:
            error = None if self.passed else weakest(self.errors)
            return error.part if error else None
        decoder = "decoder" if self.stages and not self.passed else None
        return next((stage.stage for stage in self.stages if stage.drifted), decoder)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        worst = self.pictures[self.worst]
        summary = {
            "passed": self.passed,
            "failures": self.failures,
            "worst": self.worst,
            "max_abs": worst.max_abs,
            "psnr_db": worst.psnr_db,
            "mean_drop_db": self.mean_drop_db,
            "worst_drop_db": self.worst_drop_db,
            "drop_by_kind_db": self.drops_by_kind,
            "drift_began": self.drift_began,
            "worst_shift_255": self.worst_shift,
            "drop_db": {name: truth.drop_db for name, truth in self.truths.items()},
        }
        return summary | dataclasses.asdict(self)

    def _badness(self, item: Comparison) -> float:
        return item.max_abs if self.gate.psnr_db is None else -item.psnr_db
