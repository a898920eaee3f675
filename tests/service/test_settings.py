"""Settings: secrets may lie in files."""

import os
from pathlib import Path

import pytest

from service.client import Client
from service.owner import make_private
from service.security import MOST_CHARACTERS, bearer, is_token
from service.settings import Settings, secret
from service.store import Store
from service.store.database import DatabaseError

SECRETS = pytest.mark.parametrize(("name", "field"), [("TOKEN", "token"), ("DATABASE_URL", "database_url")])


@SECRETS
def test_a_secret_is_read_from_the_file_that_is_named(tmp_path: Path, name: str, field: str) -> None:
    file = tmp_path / "secret"
    file.write_text(" postgresql+psycopg://me:pa55@host/db \n")  # as `echo` leaves it
    settings = Settings.from_environment({f"ALLASPRAK_{name}_FILE": str(file), f"ALLASPRAK_{name}": ""})
    assert getattr(settings, field) == "postgresql+psycopg://me:pa55@host/db"
    plain = Settings.from_environment({f"ALLASPRAK_{name}": "as-it-is", f"ALLASPRAK_{name}_FILE": ""})
    assert getattr(plain, field) == "as-it-is"


def test_without_a_secret_there_is_none() -> None:
    settings = Settings.from_environment({"ALLASPRAK_HOME": "/somewhere"})
    assert settings.token is None
    assert settings.database_url == "sqlite:////somewhere/allasprak.sqlite"
    assert secret("TOKEN", {}) is None


@SECRETS
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read: No such file"),
        (b" \n", "is empty"),
        (b"x" * 10_001, "is too long"),
        (b"\xff\xfe", "is not text"),
    ],
    ids=["missing", "empty", "long", "binary"],
)
def test_a_secret_file_that_holds_none_is_refused(
    tmp_path: Path, name: str, field: str, content: bytes | None, says: str
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^ALLASPRAK_{name}_FILE is '{file}', which .*{says}"):
        Settings.from_environment({f"ALLASPRAK_{name}_FILE": str(file)})


@SECRETS
def test_a_secret_that_is_given_twice_is_refused_and_not_shown(tmp_path: Path, name: str, field: str) -> None:
    (tmp_path / "secret").write_text("hidden")
    given = {f"ALLASPRAK_{name}": "shown", f"ALLASPRAK_{name}_FILE": str(tmp_path / "secret")}
    with pytest.raises(ValueError, match=f"ALLASPRAK_{name} and ALLASPRAK_{name}_FILE are both set") as refused:
        Settings.from_environment(given)
    assert "shown" not in str(refused.value)
    assert "hidden" not in str(refused.value)


UNSENDABLE = ["s3cr\u00e9t", "s3cret\u2014", "s3 cret", "s3\ncret", "s3\rcret", "s3\tcret", "s3\x00cret", "s3\x7fcret",
              "s3\u00a0cret", "s3\u200bcret", "s3\udc80cret", "s3cret" * 1000]  # fmt: skip


@pytest.mark.parametrize("token", UNSENDABLE, ids=ascii)
def test_a_token_that_no_client_can_send_is_refused_on_both_sides_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    file = tmp_path / "token"
    file.write_text(token.replace("\udc80", "\u0080"), encoding="utf-8")
    allowed = "; allowed: 1 to 4,096 letters, digits and signs of ASCII"
    for given, named in (
        ({"ALLASPRAK_TOKEN": token}, "ALLASPRAK_TOKEN has"),
        ({"ALLASPRAK_TOKEN_FILE": str(file)}, f"ALLASPRAK_TOKEN_FILE is '{file}', whose token has"),
    ):
        with pytest.raises(ValueError, match=f"^{named} .*{allowed}") as server:
            Settings.from_environment(given)
        monkeypatch.setattr("service.connection.token_of", lambda given=given: Settings.from_environment(given).token)
        with pytest.raises(ValueError, match=f"^{named} .*{allowed}") as client:
            Client()
        with pytest.raises(ValueError, match=f"^token has .*{allowed}") as argument:
            Client(token=token)
        assert "s3" not in f"{server.value}{client.value}{argument.value}"


def test_every_other_token_arrives_as_it_is() -> None:
    visible = "".join(map(chr, range(0x21, 0x7F)))
    for token in (visible, "x", "x" * MOST_CHARACTERS):
        settings = Settings.from_environment({"ALLASPRAK_TOKEN": token})
        request = Client(token=f"{token}\n")._connection._http.build_request("GET", "/")  # as `open().read()` has it
        assert is_token(bearer(request.headers.raw[-1][1].decode("latin-1")), token)
        assert request.headers["authorization"] == f"Bearer {settings.token}"


def test_a_key_that_cannot_be_sent_is_refused_by_name() -> None:
    for key in ("a b", "\u00e9", "x" * 201):
        with pytest.raises(ValueError, match=r"^key has .*allowed: 1 to 200 "):
            Client().submit({}, key=key)


def test_a_home_or_a_database_that_is_none_is_refused_by_its_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    umask = os.umask(0o077)
    try:
        for home in (tmp_path / "file", tmp_path / "file" / "home"):
            with pytest.raises(ValueError, match=f"ALLASPRAK_HOME is {home}, which is no folder, or lies in none"):
                make_private(home)
    finally:
        os.umask(umask)
    with pytest.raises(ValueError, match=r"^ALLASPRAK_DATABASE_URL: Could not parse"):
        Settings.from_environment({"ALLASPRAK_DATABASE_URL": "nonsense"}).existing_database()
    for url in ("nonsense", "sqlite:////nowhere/x.sqlite", "postgresql://127.0.0.1:1/x"):
        with pytest.raises(DatabaseError, match=r"^ALLASPRAK_DATABASE_URL: .*$") as refused:
            Store(url)
        assert "\n" not in str(refused.value)


def test_without_a_home_of_the_user_the_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user that a container or a unit of systemd has made up."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}[0])
    with pytest.raises(ValueError, match=r"^ALLASPRAK_HOME: '~/\.allasprak' is in the home of a user who has none;"):
        Settings.from_environment({})
    assert Settings.from_environment({"ALLASPRAK_HOME": str(tmp_path)}).home == tmp_path.resolve()
    for name in ("DATA_ROOT", "TOKEN_FILE"):
        with pytest.raises(ValueError, match=f"^ALLASPRAK_{name}: '~nobody-of-this-name/x' is in the home of"):
            Settings.from_environment({"ALLASPRAK_HOME": "/x", f"ALLASPRAK_{name}": "~nobody-of-this-name/x"})


def test_an_address_that_is_none_of_a_ray_cluster_is_refused_before_anything_waits_for_it() -> None:
    for address in ("auto", "ray-head:6379", "10.0.0.1:6379", "[::1]:6379"):
        assert Settings.from_environment({"ALLASPRAK_RAY_ADDRESS": address}).ray_address == address
    for address in ("nonsense", "ray://head:10001", "head:", ":6379", "head:port", "head:6379/x", "head :1"):
        with pytest.raises(ValueError, match=r"^ALLASPRAK_RAY_ADDRESS is '.*allowed: host:port of Ray's head"):
            Settings.from_environment({"ALLASPRAK_RAY_ADDRESS": address})
