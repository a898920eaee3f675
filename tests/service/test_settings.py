"""Settings: secrets may lie in files."""

from pathlib import Path

import pytest

from service.settings import Settings, secret

SECRETS = pytest.mark.parametrize(("name", "field"), [("TOKEN", "token"), ("DATABASE_URL", "database_url")])


@SECRETS
def test_a_secret_is_read_from_the_file_that_is_named(tmp_path: Path, name: str, field: str) -> None:
    file = tmp_path / "secret"
    file.write_text(" postgresql+psycopg://me:pa55@host/db \n")  # as `echo` leaves it
    settings = Settings.from_environment({f"ALLASPRAK_{name}_FILE": str(file), f"ALLASPRAK_{name}": ""})
    assert getattr(settings, field) == "postgresql+psycopg://me:pa55@host/db"
    plain = Settings.from_environment({f"ALLASPRAK_{name}": "as it is", f"ALLASPRAK_{name}_FILE": ""})
    assert getattr(plain, field) == "as it is"


def test_without_a_secret_there_is_none() -> None:
    settings = Settings.from_environment({"ALLASPRAK_HOME": "/somewhere"})
    assert settings.token is None
    assert settings.database_url == "sqlite:////somewhere/allasprak.sqlite"
    assert secret("TOKEN", {}) is None


@SECRETS
@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read: No such file"), (b" \n", "is empty"), (b"\xff\xfe", "is not text")],
    ids=["missing", "empty", "binary"],
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
