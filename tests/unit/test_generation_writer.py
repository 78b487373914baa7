"""The offline writer: letters for people of many trades, and their revisions."""

import re

import pytest
from generation.guard import OutputGuard
from generation.language import Language, language_of
from generation.phrases import PHRASES
from generation.reading import read_resume, read_vacancy, title_of
from generation.writer import LIMIT_CHARACTERS, pieces, revise_letter, write_letter
from hypothesis import given
from hypothesis import strategies as st

DEVELOPER = (
    """Python-разработчик (Middle)
Компания «Ромашка Тех» ищет Python-разработчика в продуктовую команду.

Обязанности:
- разработка и поддержка REST API на Django
- оптимизация запросов к PostgreSQL

Требования:
- опыт коммерческой разработки на Python от 3 лет
- уверенное знание Django и PostgreSQL
- опыт работы с Docker, Kafka
""",
    """Петров Иван Сергеевич
Python-разработчик
Тел.: +7 916 123-45-67, ivan@example.com

Опыт работы: 5 лет

Март 2021 — по настоящее время
ООО «Финтех Решения»
Python-разработчик
- Разработал сервис приёма платежей на Django и PostgreSQL, 2 млн транзакций в месяц
- Ускорил тяжёлые запросы к PostgreSQL в 4 раза

2019 — 2021
ИП Кузнецов
Младший разработчик
- Поддержка внутренней CRM на Flask
- Написание автотестов на pytest

Образование:
МГТУ им. Баумана, информатика, 2019
""",
)
NURSE = (
    """В ГБУЗ «Городская больница № 7» требуется медсестра процедурного кабинета.
Требования: среднее медицинское образование, опыт от 1 года, знание санэпидрежима.
Обязанности: выполнение внутривенных инъекций, забор крови.
График 5/2, зарплата от 60 000 руб.""",
    """Смирнова Ольга Викторовна, 34 года
Работаю медсестрой 8 лет. С 2016 по 2024 — Поликлиника № 3, процедурный кабинет.
Выполняла до 60 внутривенных инъекций в день, вела журналы кабинета. Обучала двух новых сотрудниц.
Образование: медицинский колледж № 5, 2015.""",
)
ACCOUNTANT = (
    """Требуется бухгалтер на участок первичной документации в компанию «Вектор-Строй».
Чем предстоит заниматься:
• Обработка первички
• Сверки с контрагентами
Мы ждём от вас:
• Опыт работы бухгалтером от 2 лет
• 1С:Бухгалтерия 8.3, Excel""",
    """Анна
бухгалтер, стаж 6 лет
ООО «Гранит», бухгалтер (2018-2024): ведение первичной документации по 120 контрагентам; """
    """сократила срок закрытия месяца с 10 до 6 дней.
1С 8.3, Excel (сводные таблицы)""",
)
COURIER = (
    "Ищем курьеров на личном авто! Доставка заказов по Москве. Нужны: права категории B. Компания Быстрая Доставка.",
    "Алексей Новиков. Права B, стаж вождения 10 лет. Работал курьером, до 25 заказов в день. Хорошо знаю Москву.",
)
DESIGNER = (
    """Product Designer — Lumen Labs
We're looking for a Product Designer to own our mobile app.

What you'll do:
- Run user research and usability tests
- Maintain our design system in Figma

Requirements:
- 3+ years of product design experience
- Strong Figma skills
""",
    """Maria Gomez
Product Designer
maria@example.com | +34 600 123 456 | Barcelona

Experience
Senior Product Designer, Wandr (2021 – present)
• Redesigned the booking flow, raising conversion by 18%
• Built a design system of 140 components in Figma
UI Designer, Bankly (2018 – 2021)
• Designed onboarding screens for 1.2 million users

Education
BA in Graphic Design, ELISAVA, 2018

Skills: Figma, Sketch, HTML, CSS""",
)
JUNIOR = (
    "Junior Data Analyst at Northwind Retail. We need someone curious with SQL, Excel and basic Python. "
    "You will prepare weekly reports and build dashboards in Tableau.",
    "Tom Reed\nStudent of economics. University of Leeds, BSc Economics. "
    "Built a Tableau dashboard of UK house prices for a university project. SQL, Excel, Python (pandas).",
)
SALES = (
    """Менеджер по продажам B2B
Мы — производитель упаковки «ПакМастер».
Задачи:
1. Поиск клиентов и холодные звонки
2. Ведение сделок в Битрикс24
Ожидания:
1. Опыт активных продаж B2B от года
2. Водительские права""",
    """Резюме
Козлов Дмитрий
Опыт:
ООО "Снабжение Плюс", менеджер по продажам, 2020-2024
- выполнял план продаж на 115-130%
- привлёк 47 новых клиентов через холодные звонки
- вёл сделки в Битрикс24
Права категории B, личный авто.""",
)
TEACHER = (
    "Primary School Teacher. Greenfield International School is hiring a Year 4 teacher. Responsibilities: plan and "
    "deliver lessons; communicate with parents. Requirements: PGCE; at least 2 years of classroom experience.",
    "JANE O'CONNOR\nPrimary teacher with 6 years of experience.\nOak Hill Primary, Year 3 teacher, 2018-2024. "
    "Taught classes of up to 28 pupils. Organised termly parent workshops.\nPGCE, University of Bristol, 2018.",
)
ENGLISH_RESUME = (
    "Вакансия: Backend-разработчик (Go)\nКомпания: Авито\nТребования: Go от 2 лет, PostgreSQL, Kafka\n"
    "Задачи: развитие сервиса объявлений",
    "Sergey Volkov\nBackend Engineer\nExperience\nBackend Engineer, Delivery Hero, Berlin, 2020 – 2024\n"
    "- Built order-routing service in Go handling 12k requests per second\n- Moved event processing to Kafka\n"
    "Skills: Go, PostgreSQL, Kafka",
)
RUSSIAN_RESUME = (
    "We are seeking an experienced Sales Manager to join Orion Trade in Dubai. You will manage key accounts and grow "
    "sales. Must have: 3+ years in B2B sales, CRM, fluent English.",
    "Козлов Дмитрий\n2018–2024 ООО «Снабжение Плюс»: увеличил продажи на 40%, вёл ключевых клиентов. Английский B2.",
)
MESSY = (
    '🔥🔥СРОЧНО🔥🔥 В сеть кофеен "Кофе и точка" нужен БАРИСТА!!!\n✅ график 2/2\n'
    "Что делать: ➡️ готовить кофе ➡️ общаться с гостями\nЖдём тебя если ты: любишь людей",
    "Катя, 19 лет\nлетом подрабатывала в пекарне\nРаботала на кассе, общалась с покупателями, до 150 чеков в день",
)
NAMELESS = (
    "Требуется кладовщик на склад одежды. Обязанности: приёмка товара, инвентаризация. Требования: знание WMS.",
    "Опыт: кладовщик, Озон, 2022-2024. Приёмка и размещение товара, работа в WMS. Собирал до 300 заказов в смену.",
)
TERSE = (
    "Python-разработчик, Django, PostgreSQL, Москва",
    "Иван Петров, 5 лет Python, Django, работал в Яндексе",
)

CASES = {
    "developer": DEVELOPER,
    "nurse": NURSE,
    "accountant": ACCOUNTANT,
    "courier": COURIER,
    "designer": DESIGNER,
    "junior": JUNIOR,
    "sales": SALES,
    "teacher": TEACHER,
    "english resume": ENGLISH_RESUME,
    "russian resume": RUSSIAN_RESUME,
    "messy": MESSY,
    "nameless": NAMELESS,
    "terse": TERSE,
}
every_case = pytest.mark.parametrize(("vacancy", "resume"), CASES.values(), ids=CASES)


@every_case
def test_a_letter_is_whole_and_in_the_language_of_the_vacancy(vacancy: str, resume: str) -> None:
    letter = write_letter(vacancy, resume)
    guard = OutputGuard()
    guard.feed(letter)
    verdict = guard.finish()
    assert verdict.fault is None
    assert verdict.text == letter
    assert len(letter) <= LIMIT_CHARACTERS


@pytest.mark.parametrize("vacancy", [vacancy for vacancy, _ in CASES.values()], ids=CASES)
@pytest.mark.parametrize("language", ["ru", "en"])
def test_any_resume_answers_any_vacancy_in_any_language(vacancy: str, language: Language) -> None:
    for _, resume in CASES.values():
        guard = OutputGuard()
        guard.feed(write_letter(vacancy, resume, language))
        assert guard.finish().fault is None


@every_case
def test_a_letter_says_at_its_end_that_no_ai_wrote_it(vacancy: str, resume: str) -> None:
    assert write_letter(vacancy, resume).endswith(PHRASES[language_of(vacancy)].mark)


@every_case
def test_every_number_and_every_latin_name_stands_in_one_of_the_texts(vacancy: str, resume: str) -> None:
    letter = write_letter(vacancy, resume)
    texts = f"{vacancy}\n{resume}".lower()
    known = set(re.findall(r"\d+", texts))
    assert set(re.findall(r"\d+", letter)) <= known
    if language_of(vacancy) == "ru":
        assert {name for name in re.findall(r"[a-z]{2,}", letter.lower()) if name not in texts} <= {"git", "bitrix"}


@every_case
def test_contacts_and_age_stay_out_of_the_letter(vacancy: str, resume: str) -> None:
    letter = write_letter(vacancy, resume)
    assert not re.search(r"@|\+\d|\b(?:34|19) (?:лет|года)", letter)


@every_case
def test_the_same_texts_give_the_same_letter(vacancy: str, resume: str) -> None:
    assert write_letter(vacancy, resume) == write_letter(vacancy, resume)


def test_other_texts_give_other_wordings() -> None:
    bodies = [
        write_letter(DEVELOPER[0], f"{DEVELOPER[1]}\nХобби: шахматы {number}").split("\n\n")[1] for number in range(12)
    ]
    assert len(set(bodies)) >= 3


EXPECTED = [
    (DEVELOPER, "Python-разработчик", "Ромашка Тех", "Иван Петров"),
    (NURSE, "Медсестра процедурного кабинета", "Городская больница № 7", "Ольга Смирнова"),
    (ACCOUNTANT, "Бухгалтер", "Вектор-Строй", ""),
    (COURIER, "Курьер", "Быстрая Доставка", "Алексей Новиков"),
    (DESIGNER, "Product Designer", "Lumen Labs", "Maria Gomez"),
    (JUNIOR, "Junior Data Analyst", "Northwind Retail", "Tom Reed"),
    (SALES, "Менеджер по продажам B2B", "ПакМастер", "Дмитрий Козлов"),
    (TEACHER, "Primary School Teacher", "Greenfield International School", "Jane O'Connor"),
    (ENGLISH_RESUME, "Backend-разработчик", "Авито", "Sergey Volkov"),
    (RUSSIAN_RESUME, "Sales Manager", "Orion Trade", "Дмитрий Козлов"),
    (MESSY, "Бариста", "Кофе и точка", ""),
    (NAMELESS, "Кладовщик", "", ""),
    (TERSE, "Python-разработчик", "", "Иван Петров"),
]


@pytest.mark.parametrize(("texts", "role", "company", "name"), EXPECTED, ids=CASES)
def test_role_company_and_name_are_read_and_stand_in_the_letter(
    texts: tuple[str, str], role: str, company: str, name: str
) -> None:
    read = read_vacancy(texts[0])
    assert (read.role, read.company, read_resume(texts[1]).name) == (role, company, name)
    letter = write_letter(*texts)
    assert role in letter
    assert company in letter
    assert f"\n{name}\n" in letter


@pytest.mark.parametrize(
    ("sentence", "role"),
    [
        ("Ищем старшего Python-разработчика в команду платежей", "Старший Python-разработчик"),
        ("Приглашаем опытную медсестру на полставки", "Медсестра"),
        ("Компания ищет главного бухгалтера с опытом от пяти лет", "Главный бухгалтер"),
        ("Набираем водителей категории C", "Водитель категории C"),
        ("Ищем менеджера по продажам", "Менеджер по продажам"),
        ("В магазин требуется продавец-консультант", "Продавец-консультант"),
        ("We are hiring a senior accountant to join the team", "Senior accountant"),
    ],
)
def test_the_role_is_named_in_the_nominative(sentence: str, role: str) -> None:
    assert read_vacancy(sentence).role == role


def test_the_proof_quotes_what_the_resume_says_of_the_requirements() -> None:
    letter = write_letter(*DEVELOPER)
    assert "Разработал сервис приёма платежей на Django и PostgreSQL, 2 млн транзакций в месяц." in letter
    assert "ООО «Финтех Решения», Python-разработчик (март 2021 — по настоящее время)" in letter
    assert "Kafka" not in letter  # asked for, but not in the résumé


def test_an_english_statement_gets_its_pronoun() -> None:
    assert "I built a design system of 140 components in Figma." in write_letter(*DESIGNER)


def test_a_resume_in_another_language_is_quoted() -> None:
    assert "«Built order-routing service in Go handling 12k requests per second»" in write_letter(*ENGLISH_RESUME)
    assert "key accounts" in write_letter(*RUSSIAN_RESUME)  # «ключевых клиентов», by the skill


def test_a_letter_in_the_other_language_can_be_ordered() -> None:
    assert language_of(write_letter(*DESIGNER, language="ru")) == "ru"


@pytest.mark.parametrize(
    ("texts", "title"),
    [
        (DEVELOPER, "Python-разработчик — Ромашка Тех"),
        (DESIGNER, "Product Designer — Lumen Labs"),
        (("Нужны люди для интересного дела, подробности при встрече в нашем уютном офисе у метро", ""), None),
    ],
)
def test_a_vacancy_has_a_short_title(texts: tuple[str, str], title: str | None) -> None:
    assert 0 < len(title_of(texts[0])) <= 60
    assert title is None or title_of(texts[0]) == title


@pytest.mark.parametrize(
    ("resume", "job"),
    [
        ("Опыт\n2019 — 2021\nООО «Гранит»\nБухгалтер\n- вела сверки", ("ООО «Гранит», Бухгалтер", "2019 — 2021")),
        ("Опыт\nООО «Гранит»\nБухгалтер\n2019 — 2021\n- вела сверки", ("ООО «Гранит», Бухгалтер", "2019 — 2021")),
        ("ООО «Гранит», бухгалтер (2018-2024): вела сверки", ("ООО «Гранит», бухгалтер", "2018-2024")),
        ("Experience\nWandr — Designer\nJan 2020 – Present\n- Ran tests", ("Wandr — Designer", "Jan 2020 – Present")),
        ("Designer at Wandr, since 2021", ("Designer at Wandr", "since 2021")),
    ],
)
def test_a_place_of_work_is_read_wherever_its_period_stands(resume: str, job: tuple[str, str]) -> None:
    read = read_resume(resume).jobs[0]
    assert (read.title, read.period) == job


@pytest.mark.parametrize(
    ("resume", "name"),
    [
        ("Иванова Анна Сергеевна\nбухгалтер", "Анна Иванова"),
        ("ФИО: Сергеев Павел", "Павел Сергеев"),
        ("Ирина Шмидт, дизайнер", "Ирина Шмидт"),
        ("JANE O'CONNOR\nTeacher", "Jane O'Connor"),
        ("Hi, I'm Nadia Karim. I use Zendesk.", "Nadia Karim"),
        ("Резюме\nОпыт работы\nПродавец", ""),
    ],
)
def test_a_letter_is_signed_by_the_name_in_the_resume(resume: str, name: str) -> None:
    assert read_resume(resume).name == name


# --- revisions --------------------------------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("texts", [DEVELOPER, DESIGNER, NURSE], ids=["developer", "designer", "nurse"])


def _revised(texts: tuple[str, str], wish: str, letter: str | None = None) -> str:
    return revise_letter(letter or write_letter(*texts), wish, *texts)


@BOTH
@pytest.mark.parametrize("wish", ["короче", "Сделай покороче, пожалуйста", "shorter", "too long"])
def test_shorter_is_shorter_and_keeps_greeting_and_signature(texts: tuple[str, str], wish: str) -> None:
    letter, shorter = write_letter(*texts), _revised(texts, wish)
    assert len(shorter) < 0.9 * len(letter)
    assert shorter.split("\n\n")[0] == letter.split("\n\n")[0]
    assert shorter.split("\n\n")[-2:] == letter.split("\n\n")[-2:]


@pytest.mark.parametrize("wish", ["подробнее", "добавь больше деталей", "more detail", "longer please"])
def test_longer_adds_what_the_resume_has_left(wish: str) -> None:
    shorter = _revised(DEVELOPER, "короче")
    longer = _revised(DEVELOPER, wish, shorter)
    assert len(longer) > len(shorter)
    assert "автотест" in longer


@pytest.mark.parametrize(
    ("texts", "wish", "greeting"),
    [
        (DEVELOPER, "официальнее", "Уважаемые коллеги!"),
        (DEVELOPER, "сделай теплее", "Добрый день!"),
        (DEVELOPER, "less formal", "Добрый день!"),
        (DESIGNER, "more formal", "Dear Sir or Madam,"),
        (DESIGNER, "friendlier", "Hello!"),
    ],
)
def test_tone_changes_greeting_and_closing(texts: tuple[str, str], wish: str, greeting: str) -> None:
    letter, toned = write_letter(*texts), _revised(texts, wish)
    assert toned.startswith(greeting)
    assert toned.split("\n\n")[-3] != letter.split("\n\n")[-3]


@pytest.mark.parametrize(
    ("texts", "wish", "words"),
    [
        (NURSE, "упомяни, что у меня есть медкнижка", "Отдельно отмечу, что у меня есть медкнижка."),
        (NURSE, "добавь про готовность к сменам", "Отдельно скажу про готовность к сменам."),
        (NURSE, "Я готова выйти завтра", "Отдельно отмечу: Я готова выйти завтра."),
        (DESIGNER, "Please mention that I can start in January", "mention that I can start in January."),
        (DESIGNER, "добавь, что я умею рисовать", "I would also like to mention: я умею рисовать."),
    ],
)
def test_what_the_person_states_enters_in_their_own_words(texts: tuple[str, str], wish: str, words: str) -> None:
    assert words in _revised(texts, wish)


def test_what_the_resume_says_of_the_wish_enters_in_the_words_of_the_resume() -> None:
    assert "автотестов на pytest" in _revised(DEVELOPER, "упомяни тестирование", _revised(DEVELOPER, "короче"))


def test_a_placeholder_in_a_wish_never_enters() -> None:
    assert "[" not in _revised(DEVELOPER, "упомяни [название проекта]")


@pytest.mark.parametrize(
    ("texts", "wish", "gone"),
    [
        (DEVELOPER, "убери про образование", "МГТУ"),
        (DEVELOPER, "не упоминай CRM", "CRM"),
        (DESIGNER, "remove the education part", "ELISAVA"),
        (DESIGNER, "don't mention Bankly", "Bankly"),
    ],
)
def test_what_is_to_be_left_out_is_left_out(texts: tuple[str, str], wish: str, gone: str) -> None:
    letter = write_letter(*texts)
    assert gone in letter
    assert gone not in _revised(texts, wish)


def test_two_wishes_are_both_done() -> None:
    revised = _revised(DESIGNER, "remove the education part and make it friendlier")
    assert "ELISAVA" not in revised
    assert revised.startswith("Hello!")


@pytest.mark.parametrize(
    ("texts", "wish", "language"),
    [(DEVELOPER, "на английском", "en"), (DESIGNER, "напиши по-русски", "ru"), (NURSE, "in English please", "en")],
)
def test_the_language_can_be_changed(texts: tuple[str, str], wish: str, language: Language) -> None:
    revised = _revised(texts, wish)
    assert revised.endswith(PHRASES[language].mark)
    assert PHRASES[language].greeting in revised


@every_case
@pytest.mark.parametrize("wish", ["не нравится", "сделай ярче", "more punch", "???"])
def test_any_other_wish_still_changes_the_letter_visibly(vacancy: str, resume: str, wish: str) -> None:
    letter = write_letter(vacancy, resume)
    once = revise_letter(letter, wish, vacancy, resume)
    twice = revise_letter(once, wish, vacancy, resume)
    assert letter != once
    assert once != twice


def test_a_letter_of_another_writer_is_revised_without_claiming_to_be_made_without_ai() -> None:
    letter = "Добрый день!\n\nПишу о вакансии. Веду учёт пять лет.\n\nЖду встречи.\n\nС уважением,\nАнна"
    for wish in ("короче", "упомяни Excel", "официальнее", "иначе"):
        revised = revise_letter(letter, wish, *ACCOUNTANT)
        assert revised != letter
        assert revised.endswith("С уважением,\nАнна")


# --- any texts --------------------------------------------------------------------------------------------------------

LINES = [line for pair in CASES.values() for text in pair for line in text.split("\n")]
TEXT = st.lists(st.sampled_from(LINES) | st.text(max_size=60), max_size=30).map("\n".join)


@given(TEXT, TEXT)
def test_any_two_texts_give_a_letter_within_the_limit_without_blanks(vacancy: str, resume: str) -> None:
    letter = write_letter(vacancy, resume)
    assert len(letter) <= LIMIT_CHARACTERS
    guard = OutputGuard()
    guard.feed(letter)
    assert guard.finish().fault is None


@given(TEXT, TEXT, st.sampled_from(["короче", "longer", "упомяни ", "убери ", "", "in English"]), st.text(max_size=80))
def test_any_wish_changes_the_letter_and_keeps_the_limit(vacancy: str, resume: str, verb: str, rest: str) -> None:
    letter = write_letter(vacancy, resume)
    revised = revise_letter(letter, verb + rest, vacancy, resume)
    assert revised != letter
    assert len(revised) <= LIMIT_CHARACTERS


@given(st.text())
def test_the_pieces_of_a_letter_are_the_letter(letter: str) -> None:
    assert "".join(pieces(letter)) == letter


def test_a_letter_is_streamed_word_by_word() -> None:
    letter = write_letter(*DEVELOPER)
    assert len(pieces(letter)) == len(letter.split())
