"""elir-edge lower."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from elir_edge.cli.shared import Shown, echo_json, echo_table, form_options, json_option, load_model, model_options

if TYPE_CHECKING:
    from elir_edge.families.restorer import Restorer
    from elir_edge.lowering.lower import GraphCost


@click.command("lower")
@model_options
@form_options
@click.option("--norm", default="native", show_default=True, help="Form of GroupNorm: native or pointwise (TFLite's).")
@click.option("--explain", is_flag=True, help="Show the graph after each rewrite, not only at the end.")
@json_option
def command(
    preset: str,
    weights: tuple[str, ...],
    size: str | None,
    noise: str,
    io: str,
    norm: str,
    explain: bool,
    as_json: bool,
) -> None:
    """Show what the lowered graph costs, and what each rewrite saves: ops, numbers stored, GFLOP."""
    restorer = load_model(preset, weights, Shown())
    costs = lowering_costs(restorer, size, noise, io, norm)
    shown = costs if explain else costs[-1:]
    if as_json:
        echo_json([dataclasses.asdict(cost) for cost in shown])
    else:
        echo_costs(shown)


def lowering_costs(restorer: Restorer, size: str | None, noise: str, io: str | None, norm: str) -> list[GraphCost]:
    """The graph's cost after each rewrite, in their order."""
    from elir_edge.lowering.lower import lower, measure

    costs: list[GraphCost] = []
    note = lambda name, graph: costs.append(measure(name, graph))  # noqa: E731
    lower(restorer, size, noise, io or "float", norm=norm, on_rewrite=note)
    return costs


def echo_costs(costs: list[GraphCost]) -> None:
    """Print the table: after each rewrite what there is, and what that rewrite saved."""
    rows = []
    for before, cost in zip([costs[0], *costs], costs, strict=False):
        saved = f"{before.ops - cost.ops:+d}", f"{before.parameters - cost.parameters:+,d}"
        rows.append((cost.rewrite, cost.ops, saved[0], f"{cost.parameters:,}", saved[1], f"{cost.gflop:.2f}"))
    echo_table(("rewrite", "ops", "saved", "numbers stored", "saved", "GFLOP"), rows)
