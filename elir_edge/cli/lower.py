"""elir-edge lower."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from elir_edge.cli.shared import Shown, echo_json, echo_table, form_options, json_option, load_model, model_options

if TYPE_CHECKING:
    from elir_edge.families.restorer import Restorer
    from elir_edge.lowering.lower import GraphCost
    from elir_edge.lowering.static import StaticRestorer


@click.command("lower")
@model_options
@form_options
@click.option(
    "--norm", default="native", show_default=True, help="Form of norms: native, means or pointwise (TFLite's)."
)
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
    restorer = load_model(preset, weights, Shown(), size)
    costs = lowering_costs(restorer, size, noise, io, norm, each=explain)
    if as_json:
        echo_json([dataclasses.asdict(cost) for cost in costs])
    else:
        echo_costs(costs)


def lowering_costs(
    restorer: Restorer, size: str | None, noise: str, io: str | None, norm: str, each: bool = True
) -> list[GraphCost]:
    """The graph's cost after each rewrite, in their order; without ``each`` after the last one only."""
    from elir_edge.lowering.lower import lower, measure

    names: list[str] = []
    costs: list[GraphCost] = []

    def note(name: str, graph: StaticRestorer) -> None:
        names.append(name)
        if each:
            costs.append(measure(name, graph))

    graph = lower(restorer, size, noise, io or "float", norm=norm, on_rewrite=note)
    return costs or [measure(names[-1], graph)]


def echo_costs(costs: list[GraphCost]) -> None:
    """Print the table: after each rewrite what there is, and what that rewrite saved."""
    rows = []
    for before, cost in zip([costs[0], *costs], costs, strict=False):
        saved = f"{before.ops - cost.ops:+d}", f"{before.parameters - cost.parameters:+,d}"
        rows.append((cost.rewrite, cost.ops, saved[0], f"{cost.parameters:,}", saved[1], f"{cost.gflop:.2f}"))
    echo_table(("rewrite", "ops", "saved", "numbers stored", "saved", "GFLOP"), rows)
