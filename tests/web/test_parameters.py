"""The parameters of pages: what no form sends is refused on a page, in the words of the REST interface."""

from collections.abc import Iterator

from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from queried import filled
from service.store import Store
from service.web.pages import PAGES
from service.web.rendering import Page

ODD = ("", "-1", "1e9", "99999999999999999999", "é\n", "a\0b", "de", "[]")


def parameters(route: APIRoute) -> Iterator[str]:
    """The names of a route's query parameters, those of models included."""
    for one in route.dependant.query_params:
        fields = getattr(one.field_info.annotation, "model_fields", None)
        yield from [of.alias or name for name, of in fields.items()] if fields else [one.alias]


def addresses(ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Those of pages, each with a parameter."""
    for route in (route for one in PAGES for route in one.router.routes):
        if isinstance(route, Page) and "GET" in route.methods:
            kind = "experiment" if "/experiments/" in route.path else "trial" if "/trials/" in route.path else "dataset"
            path = route.path.format(id=ids[kind], name="sample", action="pause")
            yield from ((path, name) for name in parameters(route))


def test_a_wrong_parameter_of_a_page_is_refused(pages: TestClient, sqlite_store: Store) -> None:
    id_ = filled(sqlite_store, range(1, 3))
    trial = pages.get(f"/v1/experiments/{id_}/trials?limit=1").json()["trials"][0]["trial"]
    asked = list(addresses({"experiment": id_, "trial": trial, "dataset": "sample"}))
    assert {("/data/sample", "split"), ("/", "limit"), (f"/trials/{trial}/examples", "limit")} <= set(asked)
    for path, name in asked:
        for value in ODD:
            answer = pages.get(path, params={name: value})
            assert answer.status_code < 500, (path, name, value)
    for path, wrong in (("/", "limit=0"), ("/data/sample", "split=x"), (f"/trials/{trial}/examples", "limit=-1")):
        answer = pages.get(f"{path}?{wrong}")
        assert answer.status_code == 422
        assert wrong.partition("=")[0] in answer.text
