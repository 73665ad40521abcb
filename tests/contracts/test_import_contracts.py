"""The import contracts: each is kept, each fails when it is broken, and none has a gap."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETTINGS = PROJECT["tool"]["importlinter"]
CONTRACTS: dict[str, dict[str, Any]] = {
    contract["name"]: contract for contract in SETTINGS["contracts"]
}

BREAKS: dict[str, list[tuple[str, str]]] = {
    "gateway, worker and payments know nothing of each other": [
        ("gateway/routes/cart.py", "import worker.domain.decide"),
        ("worker/apply.py", "import gateway.settings"),
        ("payments/engine.py", "import worker.domain.decide"),
        ("gateway/payment_provider.py", "import payments.provider"),
    ],
    "shared is a leaf": [("shared/ids.py", "import starlette")],
    "the domain does no I/O": [
        ("worker/domain/decide.py", "import asyncio"),
        ("worker/domain/decide.py", "import worker.storage.save"),
    ],
    "the domain looks at no clock": [("worker/domain/decide.py", "import time")],
    "the gateway in layers": [
        ("gateway/http/request_body.py", "import gateway.services"),
        ("gateway/services.py", "import gateway.routes.cart"),
        ("gateway/read_model/queries.py", "import gateway.http.submit_command"),
        ("gateway/read_model/outcome_poller.py", "import gateway.messaging.replies"),
    ],
    "middleware and messaging know nothing of each other": [
        ("gateway/messaging/publisher.py", "import gateway.server.overload"),
        ("gateway/server/overload.py", "import gateway.messaging.publisher"),
    ],
    "the worker in layers": [
        ("worker/storage/save.py", "import worker.apply"),
        ("worker/committer.py", "import worker.messaging.consumer"),
    ],
    "the payments in layers": [
        ("payments/engine.py", "import payments.provider"),
        ("payments/stripe/adapter.py", "import payments.demo"),
    ],
    "products do not depend on the developer's tools": [
        ("worker/apply.py", "import reliability.chaos"),
        ("gateway/app.py", "import dev.services"),
    ],
}
"""Imports that must not be, by the contract that forbids them."""

PARSERS = {"idna", "pydantic"}
"""What `shared` may import besides the standard library."""
IMPORT_NAMES = {
    "aio-pika": "aio_pika",
    "argon2-cffi": "argon2",
    "prometheus-client": "prometheus_client",
    "pyjwt": "jwt",
    "python-multipart": "python_multipart",
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and their contracts, in a place of their own."""
    folder = tmp_path_factory.mktemp("imports")
    for package in SETTINGS["root_packages"]:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def broken_contracts(folder: Path) -> set[str]:
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    ended = subprocess.run(
        [sys.executable, "-c", lint, "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    states = [line.rsplit(" ", 1) for line in ended.stdout.splitlines()]
    broken = {state[0] for state in states if state[1:] == ["BROKEN"]}
    assert (ended.returncode != 0) == bool(broken), ended.stdout + ended.stderr
    assert {state[0] for state in states} >= set(CONTRACTS), ended.stdout + ended.stderr
    return broken


def test_all_are_kept(copy: Path) -> None:
    assert broken_contracts(copy) == set()


def test_each_has_an_import_that_breaks_it() -> None:
    assert set(BREAKS) == set(CONTRACTS)


@pytest.mark.parametrize(
    ("name", "module", "forbidden"),
    [(name, *broken) for name, imports in BREAKS.items() for broken in imports],
)
def test_a_forbidden_import_breaks_its_contract(
    copy: Path, name: str, module: str, forbidden: str
) -> None:
    text = (copy / module).read_text()
    (copy / module).write_text(f"{text}\n{forbidden}\n")
    try:
        assert name in broken_contracts(copy)
    finally:
        (copy / module).write_text(text)


def test_shared_may_import_none_of_the_other_packages_and_dependencies() -> None:
    dependencies = {
        re.split(r"[^\w-]", dependency)[0] for dependency in PROJECT["project"]["dependencies"]
    }
    imported = {IMPORT_NAMES.get(name, name) for name in dependencies - PARSERS}
    packages = set(SETTINGS["root_packages"]) - {"shared"}
    assert set(CONTRACTS["shared is a leaf"]["forbidden_modules"]) == imported | packages


@pytest.mark.parametrize("package", ["gateway", "worker", "payments"])
def test_each_module_is_in_a_layer(package: str) -> None:
    layers = CONTRACTS[f"the {package} in layers"]["layers"]
    in_layers = {name.strip() for layer in layers for name in layer.replace("|", ":").split(":")}
    for file in (ROOT / package).rglob("*.py"):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        parents = {module.rsplit(".", count)[0] for count in range(module.count(".") + 1)}
        if file.name != "__init__.py":
            assert parents & in_layers, f"{module} is in no layer of pyproject.toml"
