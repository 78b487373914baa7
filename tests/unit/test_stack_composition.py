"""What `make up` runs in each environment."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from stack.composition import Plan, PlanFault, compose
from stack.home import Secrets
from stack.roles import SERVICES

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


@pytest.mark.parametrize("environ", [{}, {"TLS": "0"}, {"TLS": ""}])
def test_services_speak_plainly_unless_asked_otherwise(environ: dict[str, str]) -> None:
    plan = plan_for(environ)
    assert plan.tls_folder is None
    assert not [name for name in plan.settings if "TLS" in name or name == "CALL_TABLE_FILE"]
    assert {replica.identity for replica in plan.replicas} == {None}


def test_with_tls_each_service_has_its_own_certificate_and_all_have_one_call_table() -> None:
    plan = plan_for({"TLS": "1", "BILLING": "2"})
    assert plan.tls_folder == Path("/home/pismo/tls")
    for replica in plan.replicas:
        prefix, environment = replica.service.upper(), replica.environment
        assert environment[f"{prefix}_TLS_CERT_FILE"] == f"/home/pismo/tls/{replica.service}.crt"
        assert environment[f"{prefix}_TLS_KEY_FILE"] == f"/home/pismo/tls/{replica.service}.key"
        assert environment[f"{prefix}_TLS_CA_FILE"] == "/home/pismo/tls/ca.crt"
        assert [name for name in environment if name.endswith("TLS_KEY_FILE")] == [f"{prefix}_TLS_KEY_FILE"]
        assert set(yaml.safe_load(Path(environment["CALL_TABLE_FILE"]).read_text())) == set(SERVICES)
    assert plan.settings["GATEWAY_TLS_KEY_FILE"] == "/home/pismo/tls/gateway.key"


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
        plan_for(
            {
                "GATEWAY": "many",
                "BILLING": "0",
                "SANDBOX_PORT": "99999",
                "ANALYTICS_OPS_PORT": "9460",
                "TLS": "yes",
                "BILLING_TLS_CERT_FILE": "/mine.crt",
            }
        )
    told = str(caught.value)
    for named in (
        "GATEWAY=many",
        "BILLING=0",
        "SANDBOX_PORT=99999",
        "ANALYTICS_OPS_PORT and GATEWAY_OPS_PORT",
        "TLS=yes",
        "BILLING_TLS_CERT_FILE",
    ):
        assert named in told


def test_an_empty_variable_counts_as_not_set() -> None:
    plan = plan_for({"TELEGRAM_BOT_TOKEN": "", "GENERATION": "", "SANDBOX_PORT": ""})
    assert plan.sandbox is not None
    assert plan.replicas[0].environment["TELEGRAM_BOT_TOKEN"] == SECRETS.telegram_bot_token
