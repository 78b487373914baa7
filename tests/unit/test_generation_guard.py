"""What of a model's answer a person gets to see."""

import pytest
from generation.guard import LIMIT_CHARACTERS, Fault, OutputGuard, Verdict, repair
from generation.language import Language
from generation.prompts import letter_prompt
from hypothesis import given
from hypothesis import strategies as st

RU = """Здравствуйте!

Откликаюсь на вакансию бухгалтера в «Вектор». Пять лет веду первичку в 1С, сверки по 120 фирмам закрываю за два дня.

Буду рада рассказать подробнее на встрече.

С уважением,
Анна Иванова"""

EN = """Dear hiring team,

At Acme I rebuilt the payment service in Go and cut failed charges by 40%. Your advert asks for this kind of work.

I would be glad to talk. Please let me know if you need references.

Best regards,
Ivan Petrov"""

NONCE = "7f3a9c"


def judge(raw: str, language: Language = "ru", piece: int = 7) -> Verdict:
    guard = OutputGuard(nonce=NONCE, instructions=letter_prompt("в", "р", language, NONCE).system)
    for start in range(0, len(raw), piece):
        guard.feed(raw[start : start + piece])
    return guard.finish()


@pytest.mark.parametrize(("language", "letter"), [("ru", RU), ("en", EN)])
def test_a_good_letter_passes_as_it_is(language: Language, letter: str) -> None:
    assert judge(letter, language) == Verdict(letter, None)


@pytest.mark.parametrize(
    "preamble",
    [
        "Конечно! Вот ваше письмо:\n\n",
        "Конечно, вот сопроводительное письмо для вакансии бухгалтера:\n\n",
        "Вот вариант сопроводительного письма: ",
        "**Сопроводительное письмо**\n\n",
        "# Сопроводительное письмо\n\n",
        "Sure! Here is your cover letter:\n\n---\n\n",
        "Here's a cover letter tailored to the role.\n\n",
        "```\n",
        "```markdown\n**Cover Letter – Accountant**\n\n",
        "Тема: Отклик на вакансию бухгалтера\n\n",
        "Subject: Application\n",
        "<think>\nThe user wants a letter. Ignore [that].\n</think>\n\n",
        "\n\n   \n",
    ],
)
def test_what_an_assistant_says_before_the_letter_is_not_shown(preamble: str) -> None:
    assert judge(preamble + RU) == Verdict(RU, None)


@pytest.mark.parametrize(
    "postscript",
    [
        "\n\nНадеюсь, это поможет!",
        "\n\n---\n\nЕсли хотите, могу сделать письмо короче.",
        "\n\nУдачи на собеседовании!",
        "\n\n**Примечание:** письмо опирается на резюме.",
        "\n\nLet me know if you'd like any changes.",
        "\n```\n\nFeel free to adjust the tone!",
        "\n\nЗдесь я сделал упор на опыт работы с первичной документацией: это требование стоит в вакансии первым.",
    ],
)
def test_what_an_assistant_says_after_the_letter_is_not_shown(postscript: str) -> None:
    assert judge(RU + postscript) == Verdict(RU, None)


def test_an_applicant_may_say_let_me_know_and_feel_free() -> None:
    letter = EN.replace(
        "I would be glad to talk.", "Feel free to contact me. Если нужно, могу сделать тестовое задание."
    )
    assert judge(letter, "en") == Verdict(letter, None)


def test_markdown_becomes_plain_words() -> None:
    raw = "## Здравствуйте!\n\n**Пять лет** веду *первичную* документацию в `1С`, см. [портфолио](https://example.org/x).\n\n"
    raw += "* сверки\n* отчёты\n\n> Спасибо за внимание. Жду __встречи__."
    expected = "Здравствуйте!\n\nПять лет веду первичную документацию в 1С, см. портфолио.\n\n– сверки\n– отчёты\n\n"
    assert judge(raw) == Verdict(expected + "Спасибо за внимание. Жду встречи.", None)


@pytest.mark.parametrize(
    ("blank", "filled"),
    [
        ("Уважаемый [Имя руководителя]!\n\n", "Здравствуйте!\n\n"),
        ("Dear [Hiring Manager's Name],\n\n", "Dear hiring team,\n\n"),
    ],
)
def test_a_greeting_with_a_blank_is_greeted_without_it(blank: str, filled: str) -> None:
    rest = RU.split("\n\n", 1)[1]
    assert judge(blank + rest) == Verdict(filled + rest, None)


@pytest.mark.parametrize(
    "signature",
    [
        "С уважением,\n[Ваше имя]",
        "С уважением, [Имя]",
        "С уважением,\n[Имя Фамилия]\n[Телефон] | [Email]\n",
        "С уважением,\n{name}\nТелефон: [номер телефона]",
        "С уважением,\n_______",
        "С уважением,",
    ],
)
def test_a_signature_of_blanks_is_left_out(signature: str) -> None:
    body = RU.split("С уважением")[0]
    assert judge(body + signature) == Verdict(body + "С уважением", None)


def test_a_signature_keeps_the_name_and_loses_the_blank_beside_it() -> None:
    assert judge(RU + ", [телефон]\n[Email]") == Verdict(RU, None)
    assert repair("Анна Иванова | [телефон]", after_sign_off=True) == "Анна Иванова"


@pytest.mark.parametrize(
    "blank",
    ["[компания]", "[Your Name]", "{company}", "<должность>", "XX%", "ХХ лет", "____", "(укажите срок)", "[Имя. Вы]"],
)
def test_a_blank_in_the_body_is_a_fault_and_never_shown(blank: str) -> None:
    verdict = judge(RU.replace("Пять лет веду", f"В {blank} веду"))
    assert verdict.fault is Fault.PLACEHOLDER
    assert verdict.text.endswith("в «Вектор».")


@pytest.mark.parametrize(
    "leak",
    [
        f"Код ограды {NONCE}.",
        f"<<<END RESUME {NONCE}>>>",
        "The vacancy is never a source about the applicant. That it asks for something does not mean",
        "<|im_end|>",
    ],
)
def test_our_instructions_and_fences_are_never_shown(leak: str) -> None:
    verdict = judge(RU.replace("Буду рада", f"{leak} Буду рада"))
    assert verdict.fault is Fault.LEAK
    assert leak not in verdict.text


@pytest.mark.parametrize(
    "refusal",
    [
        "I'm sorry, but I can't help with that request.",
        "As an AI language model, I do not have personal experience.",
        "К сожалению, я не могу помочь с этим запросом.",
        "Извините, но я не могу написать такое письмо. Попробуйте переформулировать запрос.",
        "Как языковая модель, я не имею опыта работы.",
    ],
)
def test_a_refusal_is_a_fault_and_never_shown(refusal: str) -> None:
    assert judge(refusal) == Verdict("", Fault.REFUSAL)


@pytest.mark.parametrize(
    "sentence",
    [
        "Я не могу пройти мимо вашей вакансии: это ровно моя работа.",
        "As an AI engineer, I shipped three models.",
        "I cannot wait to meet the team.",
    ],
)
def test_an_applicant_who_cannot_wait_does_not_refuse(sentence: str) -> None:
    assert judge(RU.replace("Откликаюсь", f"{sentence} Откликаюсь")).fault is None


def test_a_letter_over_the_limit_is_not_whole_and_stops_growing_before_it() -> None:
    sentences = " ".join(f"Сделано дело номер {number}, и вот что из этого вышло." for number in range(200))
    verdict = judge(f"{RU}\n\n{sentences}".replace("С уважением,\nАнна Иванова", ""))
    assert verdict.fault is Fault.TOO_LONG
    assert len(verdict.text) <= LIMIT_CHARACTERS


@pytest.mark.parametrize("raw", ["", "Здравствуйте!", "\n\n", "<think>hm", "Конечно! Вот ваше письмо:"])
def test_too_little_is_no_letter(raw: str) -> None:
    assert judge(raw).fault is Fault.TOO_SHORT


def test_a_letter_may_end_with_a_sentence_or_with_a_bare_name() -> None:
    assert judge(RU.split("\n\nС уважением")[0]).fault is None
    assert judge(RU.replace("С уважением,\n", "")).fault is None


def test_the_fault_is_known_while_the_model_still_writes() -> None:
    guard = OutputGuard()
    guard.feed("Здравствуйте! Меня зовут [Имя] и я пишу.")
    assert guard.fault is None
    assert guard.feed(" Дальше") == "Здравствуйте!"
    assert guard.fault is Fault.PLACEHOLDER


def test_nothing_is_shown_before_its_sentence_is_whole() -> None:
    guard = OutputGuard()
    assert guard.feed("Здравствуйте") == ""
    assert guard.feed("!") == ""
    assert guard.feed("\n\nОткликаюсь на вакансию. Пять") == "Здравствуйте!\n\nОткликаюсь на вакансию."
    assert guard.text == "Здравствуйте!\n\nОткликаюсь на вакансию."


MARKS = [
    "\n",
    "\n\n",
    " ",
    ". ",
    "«",
    "».",
    "**",
    "[",
    "]",
    "<",
    "…",
    "! ",
    "- ",
    "# ",
    "\r\n",
    "```\n",
    "<think>",
    "</think>",
]
ASIDES = [
    "Конечно! ",
    "Вот ваше письмо:\n",
    "Надеюсь, это поможет.",
    "[Имя]",
    "{x}",
    NONCE,
    "I'm sorry, I can't help with that.",
]
SIGNATURES = ["С уважением,", "Best regards,", "Let me know if you'd like changes to the letter.", "г. Москва, т. е. "]
LINES = [*RU.split("\n"), *EN.split("\n")]
PIECES = st.lists(st.sampled_from(MARKS + ASIDES + SIGNATURES + LINES) | st.text(max_size=20), max_size=25)


@given(PIECES, st.data())
def test_any_cutting_of_the_stream_shows_the_same_and_only_ever_grows(pieces: list[str], data: st.DataObject) -> None:
    raw = "".join(pieces)
    whole = OutputGuard(nonce=NONCE)
    whole.feed(raw)
    expected = whole.finish()

    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    guard = OutputGuard(nonce=NONCE)
    shown = [guard.feed(raw[start:end]) for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    verdict = guard.finish()

    assert verdict == expected
    for earlier, later in zip(shown, [*shown[1:], verdict.text], strict=True):
        assert later.startswith(earlier)
    assert NONCE not in verdict.text
