"""Play the exchange, and print the seed that breaks its law: ``python -m apcore.testing.simulation --seed 7``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from apcore.testing.simulation.engine import SimulationFailed
from apcore.testing.simulation.exchange import exchange
from apcore.testing.simulation.world import Simulation

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None, *, play: Callable[..., Simulation] = exchange) -> int:
    """Play, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m apcore.testing.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed (default: 0)")
    parser.add_argument(
        "--count", type=int, help="how many seeds, one after another (default: 1 if --seed is given, else 300)"
    )
    parser.add_argument("--nodes", type=int, default=3, help="how many nodes (default: 3)")
    parser.add_argument("--for-s", type=float, default=200.0, help="how much virtual time with faults (default: 200 s)")
    options = parser.parse_args(arguments)
    first = options.seed or 0
    count = options.count or (300 if options.seed is None else 1)
    steps = crashes = 0
    for seed in range(first, first + count):
        try:
            sim = play(seed, nodes=options.nodes, for_s=options.for_s)
        except SimulationFailed as failure:
            print(failure, file=sys.stderr)  # noqa: T201  # the output of a program
            return 1
        steps += sim.engine.steps
        crashes += sim.crashes
        if count == 1:
            print(f"seed {seed}: {sim.digest}")  # noqa: T201
    print(f"{count} histories, {steps} steps, {crashes} crashes: the law held")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
