"""What plans said that trials would take, over what they took: all methods of four tasks, two trials at a time.

The first of two experiments on a task is planned without an earlier trial, the second, with another seed, after it.
"""

import argparse
from typing import Any

from service_of_its_own import service_of_its_own
from side_by_side import Spread, add_home, need_shared_data, parser, print_table, setting

from service.client import Client

WITHIN = 1.5
SEEDS = (1, 2)

METHODS = ["zero-shot", "ord-FS", "mix-FT", "naive-mix-train", "gradient-mix-train"]

# By task: the targets, the source's examples, epochs.
SIZES: dict[str, tuple[list[str], int, int]] = {
    "ner": (["de", "hi", "th"], 500, 2),
    "pos": (["de", "hi", "zh"], 300, 2),
    "tydiqa": (["ar", "fi", "ru"], 100, 2),
    "xnli": (["de", "hi", "zh"], 300, 1),
}


def main() -> None:
    """Run all and print."""
    made = add_home(parser(__doc__))
    made.add_argument("--tasks", nargs="+", choices=SIZES, default=list(SIZES))
    arguments = made.parse_args()
    need_shared_data(*SIZES)
    rows, tasks = [], ["ner"] if arguments.quick else arguments.tasks
    with service_of_its_own(arguments.home) as client:
        for seed in SEEDS:
            rows += [_row(client, task, _finished(client, _spec(task, seed, arguments))) for task in tasks]
    print(f"{', '.join(METHODS)}; K = 5; seed {' and then '.join(map(str, SEEDS))}, which is planned after the first.")
    print(f"Planned / taken is to be within a factor of {WITHIN:g}.")
    print(setting(1, "cpu", "fp32", arguments.quick) + "\n")
    print_table(["task", "trials", "planned, s", "taken, s", "planned / taken", "beside steps and evaluation, s"], rows)


def _spec(task: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    targets, source, epochs = SIZES[task]
    training: dict[str, Any] = {"epochs": epochs, "max_source_examples": source, "max_test_examples": 50}
    if arguments.quick:
        targets, training = targets[:1], {"epochs": 1, "max_source_examples": 16, "max_test_examples": 4}
    return {
        "name": f"{task} {seed}", "task": task, "data": {"folder": "data"}, "encoder": "offline/multilingual-e5-small",
        "target_languages": targets, "methods": METHODS, "k": [5], "seeds": [seed], "training": training,
    }  # fmt: skip


def _finished(client: Client, spec: dict[str, Any]) -> dict[str, Any]:
    found = client.wait(client.submit(spec), progress=False)
    if found["state"] != "succeeded":
        raise RuntimeError(found["reason"])
    return found


def _row(client: Client, task: str, experiment: dict[str, Any]) -> list[object]:
    trials = [client.trial(id_) for id_ in client.trials(experiment["id"])["trial"]]
    around = [
        trial["facts"]["seconds"] - sum(work["seconds"] for work in trial["facts"]["work"].values()) for trial in trials
    ]
    cost = experiment["cost"]
    return [task, len(trials), f"{cost['planned']:.0f}", f"{cost['spent']:.0f}",
            f"{cost['planned'] / cost['spent']:.2f}", str(Spread.of(around))]  # fmt: skip


if __name__ == "__main__":
    main()
