"""Telegram's rules for texts, buttons and ids, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, MessageEntity
from hypothesis import given
from hypothesis import strategies as st
from sandbox.clock import Clock, first_message_id, first_update_id
from sandbox.errors import ApiError
from sandbox.formatting import compose, parse_html, split, spoken, units
from sandbox.keyboards import check_inline
from sandbox.settings import Settings, SettingsError


def marks(text: str) -> list[tuple[str, int, int]]:
    return [(entity.type, entity.offset, entity.length) for entity in compose(text, "HTML", None).entities]


def test_nested_tags_become_entities_at_utf16_offsets() -> None:
    assert compose("😀 <b>жир<i>ный</i></b>", "HTML", None).text == "😀 жирный"
    assert marks("😀 <b>жир<i>ный</i></b>") == [("bold", 3, 6), ("italic", 6, 3)]


def test_only_the_four_named_references_and_numbers_are_decoded() -> None:
    assert parse_html("&lt;&gt;&amp;&quot;&#1078;&#x416;&nbsp;& b").text == '<>&"жЖ&nbsp;& b'


@pytest.mark.parametrize(
    ("html", "kind"),
    [
        ("<strong>x</strong>", "bold"),
        ("<em>x</em>", "italic"),
        ("<ins>x</ins>", "underline"),
        ("<del>x</del>", "strikethrough"),
        ("<tg-spoiler>x</tg-spoiler>", "spoiler"),
        ('<span class="tg-spoiler">x</span>', "spoiler"),
        ("<code>x</code>", "code"),
        ("<pre>x</pre>", "pre"),
        ("<blockquote>x</blockquote>", "blockquote"),
        ("<blockquote expandable>x</blockquote>", "expandable_blockquote"),
        ("<a href='https://example.org/?a=1&amp;b=2'>x</a>", "text_link"),
    ],
)
def test_every_tag_telegram_knows_is_known(html: str, kind: str) -> None:
    assert marks(html) == [(kind, 0, 1)]


def test_a_language_of_code_belongs_to_the_block() -> None:
    (entity,) = compose('<pre><code class="language-python">x = 1</code></pre>', "HTML", None).entities
    assert (entity.type, entity.language) == ("pre", "python")


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("ж<b>x</i>", 'Unmatched end tag at byte offset 6, expected "</b>", found "</i>"'),
        ("<div>x</div>", 'Unsupported start tag "div" at byte offset 0'),
        ("a < b", 'Unsupported start tag "" at byte offset 2'),
        ("<b", "Unclosed start tag at byte offset 0"),
        ('<a href="x', 'Unclosed start tag "a" at byte offset 0'),
        ("<b>x</b", "Unclosed end tag at byte offset 4"),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
    ],
)
def test_broken_html_is_refused_in_telegrams_words(html: str, words: str) -> None:
    with pytest.raises(ApiError) as refused:
        compose(html, "HTML", None)
    assert refused.value.description == f"Bad Request: can't parse entities: {words}"


@given(st.text(alphabet="<>&/ab=\"' pre-code\n😀", max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        formatted = parse_html(text)
    except ApiError:
        return  # refused in order; anything else raised is a fault of ours
    assert all(e.offset >= 0 and e.offset + e.length <= units(formatted.text) for e in formatted.entities)


def test_surrounding_space_goes_and_entities_move_along() -> None:
    formatted = compose("  <b> x </b>y \n", "HTML", None)
    assert formatted.text == "x y"
    assert [(e.offset, e.length) for e in formatted.entities] == [(0, 2)]
    given_entities = compose("  bold", None, [MessageEntity(type="bold", offset=2, length=4)])
    assert [(e.offset, e.length) for e in given_entities.entities] == [(0, 4)]


def test_what_telegram_finds_by_itself_is_found() -> None:
    text = "/start@pismo_bot см. https://hh.ru/vacancy/1, почта a@b.ru, @durov #тег"
    found = {e.type: text[e.offset : e.offset + e.length] for e in spoken(text)}
    assert found == {
        "bot_command": "/start@pismo_bot",
        "url": "https://hh.ru/vacancy/1",
        "email": "a@b.ru",
        "mention": "@durov",
        "hashtag": "#тег",
    }
    assert marks("<code>/start</code>") == [("code", 0, 6)]


@given(st.text(alphabet="аб😀 \n.", max_size=300), st.integers(20, 60))
def test_splitting_keeps_every_word_and_the_limit(text: str, limit: int) -> None:
    pieces = split(text, limit)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(0 < units(piece) <= limit for piece in pieces)


def test_a_paste_is_cut_near_the_limit_at_a_lines_end() -> None:
    line = "x" * 99
    pieces = split("\n".join([line] * 60))
    assert [len(piece) for piece in pieces] == [4099 - 100, 1999]
    assert [len(piece) for piece in split("y" * 5000)] == [4096, 904]


def test_a_keyboard_has_a_bound_and_its_empty_rows_go() -> None:
    button = InlineKeyboardButton(text="a", callback_data="a")
    kept = check_inline(InlineKeyboardMarkup(inline_keyboard=[[], [button], []]))
    assert kept
    assert kept.inline_keyboard == [[button]]
    assert check_inline(InlineKeyboardMarkup(inline_keyboard=[])) is None
    with pytest.raises(ApiError, match="reply markup is too long"):
        check_inline(InlineKeyboardMarkup(inline_keyboard=[[button]] * 101))
    with pytest.raises(ApiError, match="only one of"):
        check_inline(
            InlineKeyboardMarkup(
                inline_keyboard=[[InlineKeyboardButton(text="a", callback_data="a", url="https://a.ru")]]
            )
        )


def test_first_ids_fit_where_clients_keep_them() -> None:
    assert 0 < first_message_id() < 2**31
    assert 0 < first_update_id() < 2**53


def test_the_clock_follows_its_file(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    plain = Clock()()
    offset.write_text("86400\n")
    assert Clock(offset)() - plain == pytest.approx(86400, abs=5)
    offset.write_text("soon")
    assert Clock(offset)() - plain == pytest.approx(0, abs=5)


def test_settings_report_every_fault_at_once() -> None:
    assert Settings.from_environment({}) == Settings(host="127.0.0.1", port=8090)
    with pytest.raises(SettingsError) as faults:
        Settings.from_environment(
            {"SANDBOX_PORT": "99999", "SANDBOX_STATE_FILE": "/no/such/folder/state.db", "SANDBOX_BOT_NAME": "x" * 65}
        )
    assert [line.split()[0] for line in str(faults.value).splitlines()] == [
        "SANDBOX_PORT",
        "SANDBOX_BOT_NAME",
        "SANDBOX_STATE_FILE",
    ]
