"""What `make up` runs in each environment."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from stack.composition import Plan, PlanFault, compose
from stack.home import Secrets

SECRETS = Secrets.make()
SERVER = "postgresql://postgres:pw@127.0.0.1:15432/postgres"


def plan_for(environ: Mapping[str, str]) -> Plan:
    return compose(environ, SECRETS, Path("/home/pismo"), SERVER, "redis://127.0.0.1:16379/0")


def test_with_nothing_set_everything_runs_once_beside_the_sandbox() -> None:
    plan = plan_for({})
    assert [replica.name for replica in plan.replicas] == ["gateway", "generation", "billing", "analytics"]
    assert plan.front == "http://127.0.0.1:8090"
    assert plan.sandbox is not None
    assert plan.sandbox["SANDBOX_PORT"] == "8090"
    assert sorted(plan.ports) == [8080, 8090, 9460, 9461, 9462, 9463, 50050, 50051, 50052, 50053]
    gateway = plan.replicas[0].environment
    assert gateway["TELEGRAM_API_URL"] == "http://127.0.0.1:8090"
    assert gateway["SANDBOX"] == "1"
    assert gateway["GENERATION_TARGET"] == "localhost:50051"
    assert gateway["OTEL_TRACES_SAMPLER"] == "always_on"


def test_a_second_of_a_service_listens_a_hundred_higher_and_everybody_knows_both() -> None:
    plan = plan_for({"GENERATION": "2", "GATEWAY": "2"})
    second = next(replica for replica in plan.replicas if replica.name == "generation-2")
    assert second.grpc_port == 50151
    assert second.environment["GENERATION_GRPC_PORT"] == "50151"
    assert second.environment["GENERATION_OPS_PORT"] == "9561"
    assert second.environment["INSTANCE"] == "generation-2"
    other = next(replica for replica in plan.replicas if replica.name == "gateway-2")
    assert other.environment["GATEWAY_HTTP_PORT"] == "8180"
    for replica in plan.replicas:
        assert replica.environment["GENERATION_TARGET"] == "ipv4:127.0.0.1:50051,127.0.0.1:50151"
        assert replica.environment["BILLING_TARGET"] == "localhost:50052"


def test_names_of_running_processes_are_unique() -> None:
    plan = plan_for({"BILLING": "3", "ANALYTICS": "2"})
    instances = [replica.environment["INSTANCE"] for replica in plan.replicas]
    assert len(set(instances)) == len(instances) == 7


def test_a_real_bot_token_alone_means_telegram_and_no_sandbox() -> None:
    plan = plan_for({"TELEGRAM_BOT_TOKEN": "123456789:secret-part"})
    assert plan.sandbox is None
    assert 8090 not in plan.ports
    assert plan.front == "https://api.telegram.org (bot 123456789)"
    environment = plan.replicas[0].environment
    assert environment["TELEGRAM_BOT_TOKEN"] == "123456789:secret-part"
    assert "TELEGRAM_API_URL" not in environment
    assert "SANDBOX" not in environment
    assert "secret-part" not in str(plan.settings)


def test_another_bot_api_server_is_used_with_a_made_token_and_no_sandbox() -> None:
    plan = plan_for({"TELEGRAM_API_URL": "http://127.0.0.1:9999"})
    assert plan.sandbox is None
    assert plan.replicas[0].environment["TELEGRAM_BOT_TOKEN"] == SECRETS.telegram_bot_token
    assert plan.front == f"http://127.0.0.1:9999 (bot {SECRETS.telegram_bot_token.split(':')[0]})"


def test_what_the_user_sets_wins() -> None:
    given = {
        "BILLING_DATABASE_URL": "postgresql://elsewhere/x",
        "REDIS_URL": "redis://elsewhere",
        "GENERATION_TARGET": "dns:///elsewhere:1",
        "ENCRYPTION_KEYS": "mine:key",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "BILLING_GRPC_PORT": "61000",
        "OPENAI_API_KEY": "sk-mine",
        "CLOCK_OFFSET_FILE": "/run/offset",
    }
    billing = next(replica for replica in plan_for(given).replicas if replica.service == "billing")
    assert given.items() <= billing.environment.items()
    assert billing.grpc_port == 61000
    assert billing.environment["BILLING_TARGET"] == "localhost:61000"


def test_a_secret_given_as_a_file_is_not_overridden_by_a_made_one(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("42:from-file\n")
    plan = plan_for({"TELEGRAM_BOT_TOKEN_FILE": str(tmp_path / "token"), "ENCRYPTION_KEYS_FILE": "/keys"})
    assert plan.sandbox is None
    assert "TELEGRAM_BOT_TOKEN" not in plan.replicas[0].environment
    assert "ENCRYPTION_KEYS" not in plan.replicas[0].environment
    assert plan.front.endswith("(bot 42)")


def test_a_service_gets_the_urls_of_its_own_roles_only() -> None:
    environ = {"DATABASE_URL": SERVER}
    for replica in plan_for(environ).replicas:
        databases = {name for name in replica.environment if name.endswith("DATABASE_URL")}
        prefix = replica.service.upper()
        assert databases == {
            f"{prefix}_DATABASE_URL",
            f"{prefix}_WORKER_DATABASE_URL",
            f"{prefix}_MIGRATION_DATABASE_URL",
        }
        assert f"//{replica.service}_requests:" in replica.environment[f"{prefix}_DATABASE_URL"]
        assert f"//{replica.service}_worker:" in replica.environment[f"{prefix}_WORKER_DATABASE_URL"]
        assert f"//{replica.service}_owner:" in replica.environment[f"{prefix}_MIGRATION_DATABASE_URL"]


def test_all_faults_are_told_at_once_and_name_their_variables() -> None:
    with pytest.raises(PlanFault) as caught:
        plan_for({"GATEWAY": "many", "BILLING": "0", "SANDBOX_PORT": "99999", "ANALYTICS_OPS_PORT": "9460"})
    told = str(caught.value)
    for name in ("GATEWAY=many", "BILLING=0", "SANDBOX_PORT=99999", "ANALYTICS_OPS_PORT and GATEWAY_OPS_PORT"):
        assert name in told


def test_an_empty_variable_counts_as_not_set() -> None:
    plan = plan_for({"TELEGRAM_BOT_TOKEN": "", "GENERATION": "", "SANDBOX_PORT": ""})
    assert plan.sandbox is not None
    assert plan.replicas[0].environment["TELEGRAM_BOT_TOKEN"] == SECRETS.telegram_bot_token
