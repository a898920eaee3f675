"""What can be known of containers without building them: linters, and that they agree with the project."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WITH_GPUS = yaml.safe_load((DOCKER / "compose.gpu.yaml").read_text())["services"]["ray-worker"]
WITH_RAY = ["api", "ray-head", "ray-worker"]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with what follows them, each in one line."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in lines]


def every(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def variables() -> dict[str, str]:
    return dict(pair.split("=", 1) for rest in every("ENV") for pair in rest.split())


def sources() -> set[str]:
    return {source for rest in every("COPY") for source in rest.split()[:-1]}


def mounts(service: str) -> dict[str, str]:
    """What is mounted where, by where."""
    pairs = [entry.removesuffix(":ro").rsplit(":", 1) for entry in SERVICES[service]["volumes"]]
    return {target: source for source, target in pairs}


@pytest.mark.parametrize(
    "command",
    [
        ("hadolint", "docker/Dockerfile"),
        (
            "check-jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            "docker/compose.yaml",
            "docker/compose.gpu.yaml",
        ),
        ("shellcheck", "docker/serve.sh", "docker/slurm.sbatch"),
    ],
    ids=lambda command: command[0],
)
def test_a_linter_has_nothing_to_say(command: tuple[str, ...]) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    answer = subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_what_is_copied_is_there_and_is_all_that_the_package_is_made_of() -> None:
    assert all((ROOT / source).exists() for source in sources())
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], *wheel["packages"]} <= sources()


def test_docker_is_shown_what_is_copied_and_nothing_else() -> None:
    _, everything, *rest = (ROOT / ".dockerignore").read_text().splitlines()
    assert everything == "*"
    assert {line[1:] for line in rest if line.startswith("!")} == sources()


def test_versions_are_exact_and_the_projects() -> None:
    [base] = every("FROM")
    python = re.fullmatch(r"python:(\d+\.\d+\.\d+)-slim-[a-z]+", base)
    assert python, base
    assert SpecifierSet(PROJECT["requires-python"]).contains(python[1])
    installs = [run for run in every("RUN") if run.startswith("pip install")]
    assert len(installs) == 2
    assert all("--constraint docker/constraints.txt" in run for run in installs)
    [extras] = [re.fullmatch(r"\.\[(.*)\]", word) for word in shlex.split(installs[1]) if "[" in word]
    assert extras
    assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])


def test_the_worker_with_gpus_differs_in_the_build_of_torch() -> None:
    [(name, index)] = [argument.split("=") for argument in every("ARG")]
    assert index.endswith("/whl/cpu")
    [with_cuda] = WITH_GPUS["build"].values()
    assert with_cuda.keys() == {name}
    assert re.fullmatch(re.escape(index.removesuffix("cpu")) + r"cu\d+", with_cuda[name])
    assert sum(f'--index-url "${name}"' in run for run in every("RUN")) == 1


def test_composes_images_are_pinned_and_ours_have_the_projects_version() -> None:
    for service in SERVICES.values():
        name, tag = service["image"].split(":")
        if "build" in service:
            assert (name, tag) == (PROJECT["name"], PROJECT["version"])
            assert (DOCKER / service["build"]["context"]).resolve() == ROOT
            assert (ROOT / service["build"]["dockerfile"]).is_file()
        else:
            assert re.fullmatch(r"\d+\.\d+-[a-z]+", tag), (name, tag)
    assert set(SERVICES) == {"postgres", *WITH_RAY}
    assert WITH_GPUS["image"] == f"{PROJECT['name']}-cuda:{PROJECT['version']}"


def test_the_image_runs_as_a_user_and_knows_its_health() -> None:
    users = every("USER")
    [run] = [run for run in every("RUN") if "useradd" in run]
    assert users == [re.findall(r"--uid (\d+)", run)[0]]
    assert int(users[0]) > 0
    last = [name for name, _ in instructions()].index("USER")
    assert not {"RUN", "COPY", "ADD"} & {name for name, _ in instructions()[last:]}
    assert len(every("HEALTHCHECK")) == 1
    assert "NONE" not in every("HEALTHCHECK")[0]


def test_every_container_knows_its_health_and_none_is_run_as_root() -> None:
    for name, service in SERVICES.items():
        if "build" not in service:
            assert service["user"] not in ("root", "0"), name
            assert "test" in service["healthcheck"], name
        else:
            assert "user" not in service, name  # the image's
            assert not service.get("healthcheck", {}).get("disable"), name
    assert "/healthz" in every("HEALTHCHECK")[0]
    assert "healthcheck" not in SERVICES["api"]
    for name in ("ray-head", "ray-worker"):  # their image's asks an API
        assert "ray health-check" in SERVICES[name]["healthcheck"]["test"][1]


def test_what_is_waited_for_is_there() -> None:
    for service in SERVICES.values():
        for other, condition in service.get("depends_on", {}).items():
            assert other in SERVICES
            assert condition == {"condition": "service_healthy"}


def test_every_variable_of_ours_is_a_setting(settings_names: set[str]) -> None:
    files = [file for file in DOCKER.iterdir() if file.is_file()]
    used = {name for file in files for name in re.findall(r"ALLASPRAK_\w+", file.read_text())}
    assert {"ALLASPRAK_TOKEN_FILE", "ALLASPRAK_DATABASE_URL_FILE", "ALLASPRAK_RAY_ADDRESS"} <= used
    assert used <= settings_names


def test_secrets_are_files_that_stay_out_of_git_and_reach_who_reads_them() -> None:
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"secrets/{name}"}
    assert "docker/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    for name, service in SERVICES.items():
        read = re.findall(r"/run/secrets/([\w-]+)", str(service["environment"]))
        assert sorted(read) == sorted(service["secrets"]), name
        assert set(read) <= set(COMPOSE["secrets"]), name
        for variable, value in service["environment"].items():  # None is what the shell has, which is in no file
            assert value is None or "/run/secrets/" in value or not re.search("TOKEN|PASSWORD|URL", variable), variable
    assert {name for service in SERVICES.values() for name in service["secrets"]} == set(COMPOSE["secrets"])


def test_every_ray_node_asks_for_the_token() -> None:
    assert variables()["RAY_AUTH_MODE"] == "token"
    for name in WITH_RAY:
        assert SERVICES[name]["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray-token"
        assert "RAY_AUTH_MODE" not in SERVICES[name]["environment"]


def test_only_the_api_is_published_and_to_this_machine_alone() -> None:
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "api": ["127.0.0.1:8000:8000"]
    }
    assert not {"network_mode", "networks"} & {key for service in SERVICES.values() for key in service}


def test_home_and_data_are_shared_where_the_images_expect_them() -> None:
    expected = variables()
    home, data = expected["ALLASPRAK_HOME"], expected["ALLASPRAK_DATA_ROOT"]
    assert Path(expected["HF_HOME"]).is_relative_to(home)
    for name in WITH_RAY:
        assert mounts(name) == {home: "home", data: "${DATA_FOLDER:-data}"}
    assert mounts("postgres") == {"/var/lib/postgresql/data": "postgres"}
    assert set(COMPOSE["volumes"]) == {"home", "data", "postgres"}
    [made] = [run for run in every("RUN") if "install --directory" in run]
    assert made.endswith(f"install --directory --owner=allasprak {data} {home}")


def test_ray_knows_the_options_that_it_is_started_with() -> None:
    from ray.scripts.scripts import healthcheck, start

    text = "\n".join(file.read_text() for file in DOCKER.iterdir() if file.is_file())
    for command, known in (("start", start), ("health-check", healthcheck)):
        used = {
            option for line in re.findall(rf"\bray {command} (.*)", text) for option in re.findall(r"--[\w-]+", line)
        }
        assert used
        assert used <= {option for parameter in known.params for option in parameter.opts}


def test_the_readmes_commands_make_the_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy import make_url

    from service.settings import Settings

    commands = re.findall(r"^```sh\n(.*?)^```", (DOCKER / "README.md").read_text(), re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "docker").mkdir()
    subprocess.run(["bash", "-e", "-c", commands], cwd=tmp_path, check=True)
    folder = tmp_path / "docker" / "secrets"
    assert {file.name for file in folder.iterdir()} == set(COMPOSE["secrets"])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o444}
    secrets = {name: (folder / name).read_text() for name in ("api-token", "ray-token", "postgres-password")}
    assert all(re.fullmatch("[0-9a-f]{64}", secret) for secret in secrets.values())
    assert len(set(secrets.values())) == len(secrets)
    of_api = SERVICES["api"]["environment"]
    files = {name: value.replace("/run/secrets", str(folder)) for name, value in of_api.items() if value}
    settings = Settings.from_environment(files)
    assert settings.token == secrets["api-token"]
    url, of_postgres = make_url(settings.database_url), SERVICES["postgres"]["environment"]
    assert (url.host, url.password) == ("postgres", secrets["postgres-password"])
    assert (url.username, url.database) == (of_postgres["POSTGRES_USER"], of_postgres["POSTGRES_DB"])
