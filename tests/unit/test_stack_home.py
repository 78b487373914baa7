"""The folder that `make up` keeps."""

import base64
import re
import stat
from pathlib import Path

import pytest
from stack.home import Home, HomeFault, Secrets


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_only_their_owner_reads_them(home: Home) -> None:
    first = home.secrets()
    assert home.secrets() == first
    assert mode(home.folder) == 0o700
    assert mode(home.folder / "secrets.json") == 0o600


def test_made_secrets_have_the_form_their_readers_expect() -> None:
    made = Secrets.make()
    key_id, _, key = made.encryption_keys.partition(":")
    assert key_id
    assert len(base64.b64decode(key, validate=True)) == 32
    assert re.fullmatch(r"\d{8,10}:[A-Za-z0-9_-]{35}", made.telegram_bot_token)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,256}", made.telegram_webhook_secret)
    assert len(set(made.role_passwords.values())) == 12


def test_the_env_file_can_be_sourced_and_only_its_owner_reads_it(home: Home) -> None:
    home.write_env({"B": "with space'", "A": "1"})
    assert home.env_file.read_text() == "export A=1\nexport B='with space'\"'\"''\n"
    assert mode(home.env_file) == 0o600


def test_one_run_at_a_time_and_the_second_is_told_which_is_the_first(home: Home) -> None:
    with home.lock(), pytest.raises(HomeFault, match=r"already running in .* \(process \d+\)"), home.lock():
        pass
    with home.lock():
        pass


def test_a_folder_in_use_is_not_forgotten(home: Home) -> None:
    with home.lock(), pytest.raises(HomeFault, match="already running"):
        home.forget()
    home.forget()
    assert not home.folder.exists()


def test_a_folder_of_somebody_else_is_not_forgotten(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    home = Home(tmp_path)
    home.prepare()
    with pytest.raises(HomeFault, match="did not make"):
        home.forget()
    assert (tmp_path / "photos").exists()
