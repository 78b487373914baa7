"""The one readable log."""

import io
import threading

from stack.console import Console


def shown(name: str, *lines: bytes, colours: bool = False) -> str:
    stream = io.StringIO()
    console = Console(stream, colours=colours)
    for line in lines:
        console.output(name, line)
    console.close()
    return stream.getvalue()


def test_a_record_becomes_one_short_line() -> None:
    line = (
        b'{"timestamp":"2026-01-01T10:00:00Z","level":"info","event":"letter leased","service":"generation",'
        b'"instance":"generation-2","trace_id":"abc","letter_id":"7","seconds":1.5,"nothing":null}'
    )
    text = shown("generation-2", line)
    assert text.rstrip().endswith(" generation-2 letter leased letter_id=7 seconds=1.5")
    assert len(text.splitlines()) == 1


def test_a_level_is_shown_when_it_is_not_info() -> None:
    assert " warning it is slow" in shown("billing", b'{"level":"warning","event":"it is slow"}')
    assert "info" not in shown("billing", b'{"level":"info","event":"fine"}')


def test_what_is_no_record_is_shown_as_it_is() -> None:
    assert "Traceback (most recent call last):" in shown("gateway", b"Traceback (most recent call last):")
    assert "[1, 2]" in shown("gateway", b"[1, 2]")


def test_a_long_value_is_cut_and_control_characters_are_not_let_through() -> None:
    text = shown("gateway", b'{"event":"x\\u001b[2Jy","value":"' + b"a" * 500 + b'"}')
    assert "\x1b" not in text
    assert len(text) < 130
    assert "…" in text


def test_colours_only_where_they_are_wanted() -> None:
    assert "\x1b[" not in shown("gateway", b'{"event":"plain"}')
    assert "\x1b[" in shown("gateway", b'{"event":"painted"}', colours=True)


def test_stores_are_heard_only_when_something_is_wrong() -> None:
    assert shown("postgres", b"2026-01-01 LOG:  checkpoint starting") == ""
    assert shown("postgres", b"FATAL:  the database system is starting up") == ""
    assert "lock file" in shown("postgres", b"FATAL:  lock file already exists")


def test_a_terminal_that_stands_still_stops_nobody() -> None:
    moves_again = threading.Event()

    class StandsStill(io.StringIO):
        def write(self, text: str) -> int:
            moves_again.wait()
            return super().write(text)

    console = Console(StandsStill(), colours=False)

    def talk() -> None:
        for _ in range(11_000):
            console.say("more than anybody keeps waiting")

    talking = threading.Thread(target=talk, daemon=True)
    talking.start()
    talking.join(timeout=10)
    assert not talking.is_alive()
    moves_again.set()
