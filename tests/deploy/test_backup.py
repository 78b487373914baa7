"""The backup of the chart: what its pod is given, what it may reach, what it leaves behind."""

from typing import Any

import pytest
import yaml
from deploy.chart import CHART, SERVICES, complaint, render


def arguments(values: tuple[str, ...], file: str) -> list[str]:
    return ["--values", str(CHART / f"ci/{file}.yaml"), *(part for each in values for part in ("--set", each))]


def objects(*values: str, file: str = "backup") -> dict[str, dict[str, Any]]:
    """What makes up the backup, by kind."""
    every = [each for each in yaml.safe_load_all(render(*arguments(values, file))) if each]
    return {each["kind"]: each for each in every if each["metadata"]["name"] == "pismo-backup"}


def container(cron_job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    return found


def test_there_is_none_unless_it_is_wanted() -> None:
    assert objects("backup.enabled=false") == {}


def test_its_pod_gets_the_keys_and_the_owners_and_nothing_else() -> None:
    given = {each["name"]: each["valueFrom"]["secretKeyRef"]["name"] for each in container(objects()["CronJob"])["env"]}
    owners = {f"{service.upper()}_MIGRATION_DATABASE_URL": f"pismo-{service}-owner" for service in SERVICES}
    assert given == {"BACKUP_KEYS": "pismo-backup-keys"} | owners
    assert "envFrom" not in container(objects()["CronJob"])


def test_it_reaches_postgres_only() -> None:
    policy = objects()["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    assert policy["egress"] == [{"ports": [{"port": 5432}], "to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}]}]
    pod = objects()["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]
    assert pod["metadata"]["labels"] == policy["podSelector"]["matchLabels"]


def test_two_never_run_at_once() -> None:
    assert objects()["CronJob"]["spec"]["concurrencyPolicy"] == "Forbid"


def test_a_claim_of_its_own_outlives_the_release_and_a_given_one_is_left_alone() -> None:
    assert "PersistentVolumeClaim" not in objects()
    demo = objects("backup.enabled=true", "backup.existingSecret=keys", file="demo")
    claim = demo["PersistentVolumeClaim"]["metadata"]
    assert claim["annotations"]["helm.sh/resource-policy"] == "keep"
    volumes = demo["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"]
    assert volumes[0]["persistentVolumeClaim"]["claimName"] == claim["name"]


def test_into_a_bucket_it_needs_no_volume() -> None:
    made = objects(file="backup-s3")
    assert "PersistentVolumeClaim" not in made
    pod = made["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]
    assert [mount["name"] for mount in container(made["CronJob"])["volumeMounts"]] == ["tmp"]
    command = container(made["CronJob"])["command"]
    assert command[command.index("--to") + 1] == "s3://backups/pismo"


def test_a_bucket_is_reached_with_its_own_secret_at_its_own_address() -> None:
    made = objects(file="backup-s3")
    assert container(made["CronJob"])["envFrom"] == [{"secretRef": {"name": "pismo-backup-bucket"}}]
    plain = {each["name"]: each["value"] for each in container(made["CronJob"])["env"] if "value" in each}
    assert plain == {"AWS_ENDPOINT_URL": "https://objects.example.com:9000", "AWS_REGION": "eu-central-1"}
    bucket = {"ports": [{"port": 9000}], "to": [{"ipBlock": {"cidr": "10.1.2.4/32"}}]}
    assert made["NetworkPolicy"]["spec"]["egress"][1:] == [bucket]


def test_where_the_cloud_knows_the_pod_it_needs_no_secret_and_still_carries_no_token() -> None:
    role = "backup.serviceAccountAnnotations.eks\\.amazonaws\\.com/role-arn=arn:aws:iam::1:role/backups"
    made = objects("backup.s3.existingSecret=", role, file="backup-s3")
    assert "envFrom" not in container(made["CronJob"])
    account = made["ServiceAccount"]
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/backups"}
    pod = made["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert pod["automountServiceAccountToken"] is account["automountServiceAccountToken"] is False


def test_what_is_no_bucket_is_refused_with_a_sentence() -> None:
    given = arguments(("backup.s3.url=https://backups.example.com",), "backup-s3")
    assert "backup.s3.url must be s3://bucket/prefix" in complaint(*given)


@pytest.mark.parametrize(
    ("value", "words"), [("textsDays=90", ("--texts-days", "90")), ("keysDays=3", ("--keys-days", "3"))]
)
def test_retention_is_what_the_values_say(value: str, words: tuple[str, str]) -> None:
    command = container(objects(f"backup.{value}")["CronJob"])["command"]
    assert command[command.index(words[0]) + 1] == words[1]


def test_without_keys_it_is_refused_with_a_sentence() -> None:
    assert "backup.existingSecret is needed" in complaint(*arguments(("backup.existingSecret=",), "backup"))
