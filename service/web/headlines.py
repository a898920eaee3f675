"""What an experiment says in a line: its best method, and what that adds to zero-shot."""

import math
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from service.reports.rows import selected
from service.reports.summary import summary
from service.store import Store
from service.store.query import equal
from service.store.states import FINAL

# Lines of experiments that are over do not change, unless these are retried: as many are remembered.
REMEMBERED = 20_000


class Headlines:
    """The lines of experiments; those of experiments that are over are computed once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[tuple[str, str, str | None], dict[str, Any] | None] = {}

    def of(self, store: Store, experiments: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any] | None]:
        """The line of each experiment, given as the REST interface shows it, by id; None where there is no score."""
        key = {one["id"]: (one["id"], one["state"], one["finished"]) for one in experiments}
        with self._lock:
            found = {id_: self._known[of] for id_, of in key.items() if of in self._known}
        new = _computed(store, [id_ for id_ in key if id_ not in found])
        with self._lock:
            over = [one["id"] for one in experiments if one["state"] in FINAL and one["id"] in new]
            self._known |= {key[id_]: new[id_] for id_ in over}
            while len(self._known) > REMEMBERED:
                del self._known[next(iter(self._known))]
        return found | new


def _computed(store: Store, ids: list[str]) -> dict[str, dict[str, Any] | None]:
    found: dict[str, dict[str, Any] | None] = dict.fromkeys(ids)
    rows = selected(store, equal({"experiment": ids})) if ids else None
    if rows is not None and len(rows):
        for id_, of_one in rows.groupby("experiment"):
            found[str(id_)] = _line(summary(of_one, ["method", "k", "candidate"]).to_dict("records"))
    return found


def _line(groups: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The group with the greatest mean over the languages that all methods have, and its gain over zero-shot."""
    known = [one for one in groups if not math.isnan(one["mean"])]
    if not known:
        return None
    of_methods = [one for one in known if not math.isnan(one["mean_in_common"])] or known
    best = max(of_methods, key=lambda one: one["mean_in_common"])
    before = next((one["mean_in_common"] for one in known if one["method"] == "zero-shot"), math.nan)
    gain = best["mean_in_common"] - before
    is_known = best["method"] != "zero-shot" and not math.isnan(gain)
    return {
        "method": best["method"],
        "k": best["k"],
        "mean": f"{best['mean']:.1f}",
        "sd": None if math.isnan(best["sd"]) else f"{best['sd']:.1f}",
        "gain": gain if is_known else None,
        "complete": all(one["complete"] for one in groups),
    }
