"""A sweep of alpha on the sample corpus: what ASHA saves of the full grid, and what it costs in the choice."""

import argparse
from typing import Any

import pandas as pd
from service_of_its_own import service_of_its_own
from side_by_side import add_home, at_most, parser, print_table, setting

from search_spaces.presets import preset
from service.client import Client

EPOCHS_AT_MOST = 0.6  # of the full grid's
F1_AT_MOST = 1.0  # below the grid's best

# With few targets or in few steps no gradients conflict on the sample, and alpha would change nothing; the first
# conflicts come in the third epoch of these, and by the twelfth the model has converged.
TARGETS = ["ar", "de", "fi", "hi", "ja", "ru", "sw", "tr", "zh"]
TRAINING = {"epochs": 12, "batch_size": 16}
ASHA = {"name": "asha", "grace_period": 4}


def main() -> None:
    """Run both and print."""
    arguments = add_home(parser(__doc__)).parse_args()
    spec = _spec(arguments)
    with service_of_its_own(arguments.home) as client:
        asha = _sweep(client, {**spec, "search": {"scheduler": ASHA}})
        grid = _sweep(client, {**spec, "search": {}})  # takes over what ASHA trained to the end
    share = asha.attrs["cost"]["epochs"] / grid.attrs["cost"]["epochs"]
    scores = grid.set_index("candidate")[["objective_mean", "test_mean"]]
    [chosen] = [one["candidate"] for one in asha.attrs["chosen"]]
    lost = scores.max() - scores.loc[chosen]
    of_grid = scores.max() - scores.loc[scores["objective_mean"].idxmax()]
    print(f"gradient-mix-train on the sample corpus, {len(grid)} values of alpha x {len(spec['seeds'])} seeds,")
    epochs, [k], targets = spec["training"]["epochs"], spec["k"], spec["target_languages"]
    print(f"{epochs} epochs, {spec['encoder']}, K = {k} in {len(targets)} languages;")
    print(f"ASHA from epoch {ASHA['grace_period']} on, in the order of the table.")
    print(setting(1, "cpu", "fp32", arguments.quick) + "\n")
    print_table(
        ["alpha", "source dev F1, grid", "test F1, grid", "source dev F1, ASHA", "seeds that ASHA stopped"],
        [[row.alpha, f"{row.objective_mean:.2f}", f"{row.test_mean:.2f}",
          f"{asha.set_index('alpha').loc[row.alpha, 'objective_mean']:.2f}",
          int(asha.set_index("alpha").loc[row.alpha, "stopped"])] for row in grid.itertuples()],
    )  # fmt: skip
    quick = arguments.quick
    print_table(
        ["", "found", "target"],
        [["epochs of ASHA / of the grid", f"{share:.2f}", at_most(EPOCHS_AT_MOST, share, quick)],
         *([f"{score} F1 of ASHA's choice ({chosen}) below the grid's best", f"{lost[column]:.2f}",
            at_most(F1_AT_MOST, lost[column], quick)]
           for score, column in [("source dev", "objective_mean"), ("test", "test_mean")]),
         ["test F1 of the whole grid's own choice below its best", f"{of_grid['test_mean']:.2f}", ""]],
    )  # fmt: skip


def _sweep(client: Client, spec: dict[str, Any]) -> pd.DataFrame:
    id_ = client.submit(spec)
    experiment = client.wait(id_, progress=False)
    if experiment["state"] != "succeeded":
        raise RuntimeError(experiment["reason"])
    return client.sweep(id_)


def _spec(arguments: argparse.Namespace) -> dict[str, Any]:
    spec = preset("sample-alpha-sweep")
    training = {**spec["training"], **TRAINING}
    spec |= {"methods": ["gradient-mix-train"], "target_languages": TARGETS, "training": training}
    if arguments.quick:
        training |= {"epochs": 5, "max_source_examples": 16, "max_test_examples": 4}
        spec |= {"alpha": {"grid": [0, 1]}, "seeds": [1], "target_languages": TARGETS[:2]}
    return spec


if __name__ == "__main__":
    main()
