"""The reference of the environment names every variable that a service reads, and no other."""

import importlib
import re

import pytest
from servicekit.settings import ServiceSettings
from sources import ROOT

REFERENCE = (ROOT / "docs/reference/environment.md").read_text()
SERVICES = ("gateway", "generation", "billing", "analytics")


def variables(service: str) -> set[str]:
    settings: type[ServiceSettings] = importlib.import_module(f"{service}.settings").Settings
    return {
        f"{service}_{field}".upper() if field in ("grpc_port", "ops_port", "http_port") else field.upper()
        for field in settings.model_fields
    }


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_of_a_service_is_in_the_reference(service: str) -> None:
    assert not [name for name in sorted(variables(service)) if f"`{name}`" not in REFERENCE]


def test_every_variable_in_the_services_part_of_the_reference_is_read() -> None:
    part = REFERENCE[REFERENCE.index("## Every service") : REFERENCE.index("## The sandbox")]
    named = {
        name for row in re.findall(r"^\| (`[^|]+)\|", part, re.MULTILINE) for name in re.findall(r"`([A-Z_]+)`", row)
    }
    read = set().union(*(variables(service) for service in SERVICES))
    assert not [name for name in sorted(named - read) if not name.startswith("OTEL_")]
