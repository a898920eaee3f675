"""Tokens in the store: made once, found by themselves alone, revoked, and stored nowhere."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, select

from service.store import Store, TokenNameError
from service.store.schema import metadata
from service.store.tokens import PREFIX


def stored(url: str) -> str:
    """All rows of all tables, as text."""
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = [tuple(row) for table in metadata.sorted_tables for row in connection.execute(select(table))]
    engine.dispose()
    return repr(rows)


def test_a_token_is_found_by_itself_alone_and_is_stored_nowhere(store: Store, url: str) -> None:
    assert not store.tokens.look("").asks
    tokens = {name: store.tokens.add(name, read_only=name == "grafana") for name in ("ana", "grafana", "bo@host.org")}
    assert all(re.fullmatch(rf"{PREFIX}[\w-]{{43}}", token) for token in tokens.values())  # 256 bits, as base64
    assert len({*tokens.values()}) == len(tokens)
    for name, token in tokens.items():
        found = store.tokens.look(token).token
        assert found is not None
        assert (found.name, found.read_only, found.revoked) == (name, name == "grafana", None)
        for other in (token[:-1], f"{token}x", token.swapcase(), token.removeprefix(PREFIX), name, "", "\u00e9\0"):
            assert store.tokens.look(other) == (True, None)
        assert token not in stored(url)
        assert token.removeprefix(PREFIX) not in stored(url)
    assert "grafana" in stored(url)


def test_a_token_that_was_revoked_is_none_and_stays_listed(store: Store) -> None:
    first, other = store.tokens.add("ana", read_only=False), store.tokens.add("bo", read_only=False)
    store.tokens.revoke("ana")
    assert store.tokens.look(first) == (True, None)
    assert store.tokens.look(other).token is not None
    [ana, bo] = store.tokens.all()
    assert (ana.name, bo.name, bo.revoked) == ("ana", "bo", None)
    assert ana.revoked is not None
    assert ana.revoked >= ana.created
    second = store.tokens.add("ana", read_only=True)  # the name may have another
    found = store.tokens.look(second).token
    assert found is not None
    assert (found.name, found.read_only) == ("ana", True)
    assert store.tokens.look(first) == (True, None)


def test_without_any_valid_token_one_is_asked_for_still(store: Store) -> None:
    store.tokens.add("ana", read_only=False)
    store.tokens.revoke("ana")
    assert store.tokens.look("") == (True, None)


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "-a", ".a", "a/b", "a\n", "\u00e9", "a" * 65, "a\0", "a'", "\udc80", "a" * 100_000],
    ids=ascii,
)
def test_a_name_that_is_none_is_refused(store: Store, name: str) -> None:
    with pytest.raises(TokenNameError, match="is no name of a token; allowed: up to 64 ASCII letters") as refused:
        store.tokens.add(name, read_only=False)
    assert len(str(refused.value)) < 500
    assert store.tokens.all() == []


def test_a_name_belongs_to_one_token(store: Store) -> None:
    def add(_: int) -> str:
        try:
            return store.tokens.add("ana", read_only=False)
        except TokenNameError as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(add, range(8)))
    [token] = [one for one in answers if one.startswith(PREFIX)]
    assert {*answers} == {token, "there is a token 'ana' already; allowed: another name, or to revoke it first"}
    assert store.tokens.look(token).token is not None


def test_a_name_that_no_valid_token_has_cannot_be_revoked(store: Store) -> None:
    with pytest.raises(TokenNameError, match="there is no token 'bo' to revoke; there are: none"):
        store.tokens.revoke("bo")
    for name in ("ana", "bo"):
        store.tokens.add(name, read_only=False)
    store.tokens.revoke("bo")
    for name in ("bo", "Ana", "%", "a" * 1000, "\udc80"):
        with pytest.raises(TokenNameError, match=r"to revoke; there are: ana$"):
            store.tokens.revoke(name)
