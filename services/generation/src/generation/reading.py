"""What stands in a vacancy and in a résumé, read without a model.

Nothing here is certain: what cannot be told is left out, so that a letter never says what the texts do not.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile

from generation.assistant_phrases import BLANK
from generation.language import language_of, sentences
from generation.reading_phrases import (
    ADVERB,
    ASKS,
    BULLET,
    COMPANIES,
    CONTACT,
    DECORATION,
    DURATION,
    EDUCATION,
    EMPLOYER,
    EXPERIENCE,
    GRADUATED,
    LABELLED_NAME,
    LABELLED_ROLE,
    LEGAL_FORM,
    LIKELY_COMPANIES,
    NAME,
    NAMED_IN_PROSE,
    NEEDED,
    NO_NAME,
    NOT_A_COMPANY,
    NOUN_ENDINGS,
    OFFER,
    OTHER_YEARS,
    PAST_EN,
    PAST_RU,
    PATRONYMIC,
    PERIOD,
    PICTURES,
    PRAISE,
    PRESENT_EN,
    PRESENT_RU,
    PRIVATE,
    RESUME_SECTIONS,
    ROLE_ENDS,
    ROLE_NOUN,
    SUBJECT,
    SURNAME,
    THERE_IS,
    VACANCY_SECTIONS,
    WANTED,
    YEARS,
    YOU_WILL,
)
from generation.skills import Skill, skills_in

TITLE_LIMIT_CHARACTERS = 60
_LONGEST_ITEM = 160
_LONGEST_FACT = 240
_LONGEST_HEAD = 60
_LONGEST_JOB = 110


@dataclass(frozen=True, slots=True)
class Vacancy:
    """A job advert: `role` in the nominative, `company` as it calls itself, what is asked and what is to be done."""

    role: str
    company: str
    requirements: tuple[str, ...]
    duties: tuple[str, ...]
    skills: tuple[Skill, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """A place of work: employer and position as one line, and the years as they are written."""

    title: str
    period: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement about the applicant in the résumé's own words; `job` is the index of its place of work, if any."""

    text: str
    job: int | None
    skills: frozenset[Skill]


@dataclass(frozen=True, slots=True)
class Resume:
    """An applicant: places of work newest first as the résumé lists them, facts in its order."""

    name: str
    years: str
    jobs: tuple[Job, ...]
    facts: tuple[Fact, ...]
    education: tuple[str, ...]
    skills: tuple[Skill, ...]


# --- lines and sections -----------------------------------------------------------------------------------------------


def _clean(line: str) -> str:
    parts = PICTURES.split(DECORATION.sub("", BULLET.sub("", line)))
    return "; ".join(filter(None, (re.sub(r"\s+", " ", part).strip(" |") for part in parts)))


def _sections(text: str, headings: Mapping[str, str]) -> Iterator[tuple[str, str, bool]]:
    """Each line of content with the section it stands in ("" before the first) and whether it is a bullet."""
    patterns = {
        kind: re.compile(rf"(?:{names})\b([^:\n]{{0,40}})(:?)\s*(.*)", re.IGNORECASE)
        for kind, names in headings.items()
    }
    begins = "|".join(headings.values())
    text = re.sub(rf"(?<=[.!?;])[ \t]+(?=(?:{begins})\b[^:.!?\n]{{0,30}}:)", "\n", text, flags=re.IGNORECASE)
    section = ""
    for raw in text.split("\n"):
        line = _clean(raw)
        for kind, pattern in patterns.items():
            heading = pattern.fullmatch(line)
            # "Требования к кандидату:", "Опыт работы — 6 лет" and "Навыки" are headings, "Опыт работы на кассе" is not.
            if heading and (heading[2] or not heading[1].strip(" —–-.0123456789летгодамсцвяyearsmonth+")):
                section, line = kind, heading[3]
                break
        if line:
            yield section, line, bool(BULLET.match(raw)) and line in raw


def _clip(text: str, limit: int) -> str:
    """`text` up to the last clause that ends within `limit` characters; empty when there is none to end with."""
    if len(text) <= limit:
        return text
    cut = max(text.rfind(mark, 0, limit) for mark in (". ", "; ", ", ", " — ", " ("))
    return text[:cut].rstrip(" ,;:—(") if cut > limit // 4 else ""


def _items(line: str) -> list[str]:
    """The single points of a line of requirements: parts between semicolons, or a list of short words."""
    parts = [part for sentence in sentences(line) for part in re.split(r";\s*", sentence)]
    short = [part for whole in parts for part in (_split_list(whole) if whole.count(",") >= 2 else [whole])]
    points = [_clip(part.strip(" .;,–—-"), _LONGEST_ITEM) for part in short]
    return [point for point in points if len(point) > 2 and not BLANK.search(point)]


def _split_list(text: str) -> list[str]:
    parts = re.split(r",\s+(?![^(]*\))", text)
    return parts if all(len(part) <= 45 for part in parts) else [text]


# --- the vacancy ------------------------------------------------------------------------------------------------------


def read_vacancy(text: str) -> Vacancy:
    """What `text` says of the job; what it does not say is empty."""
    found: dict[str, dict[str, None]] = {"requirements": {}, "duties": {}, "other": {}, "": {}}
    role, company = _role(text), _company(text)
    heading = role.casefold()
    for section, line, _ in _sections(text, VACANCY_SECTIONS):
        for item in _items(line):
            duty = YOU_WILL.match(item)
            named = heading and item.casefold().startswith(heading) and len(item) <= len(role) + len(company) + 12
            wanted = WANTED.search(item)
            if not (named or OFFER.match(item) or (wanted and ROLE_NOUN.search(wanted["role"]))):
                found["duties" if duty else section][item[duty.end() :] if duty else NEEDED.sub("", item)] = None
    asked = found["requirements"] or [item for item in found[""] if ASKS.search(item) or skills_in(item)]
    described = [role, *found["requirements"], *found["duties"], *found[""]]
    return Vacancy(role, company, tuple(asked), tuple(found["duties"]), skills_in(" ; ".join(described)))


def title_of(vacancy: str) -> str:
    """A name for the vacancy in a list, at most 60 characters: role and company where they can be told."""
    read = read_vacancy(vacancy)
    first_line = next((line for line in map(_clean, vacancy.split("\n")) if line), "")
    title = " — ".join(filter(None, [read.role, read.company])) if read.role else first_line
    return title if len(title) <= TITLE_LIMIT_CHARACTERS else f"{title[: TITLE_LIMIT_CHARACTERS - 1].rstrip(' ,—-')}…"


def _role(text: str) -> str:
    lines = [line for line in map(_clean, text.split("\n")) if line]
    for line in lines:
        if (labelled := LABELLED_ROLE.fullmatch(line)) and (role := _trim_role(labelled[1])):
            return role
    for line in (sentences(line)[0] for line in lines[:3]):
        if not WANTED.search(line) and (role := _trim_role(line)) and ROLE_NOUN.search(role):
            return role
    for wanted in WANTED.finditer("\n".join(lines)):
        role = _trim_role(PRAISE.sub("", wanted["role"]))
        if role and ROLE_NOUN.search(role):
            return _nominative(role) if wanted["accusative"] else role
    return ""


def _trim_role(text: str) -> str:
    role = ROLE_ENDS.split(PRAISE.sub("", text.strip()), maxsplit=1)[0].strip(" .«»\"'")
    role = role.capitalize() if role.isupper() and not role.isascii() else role
    return role[:1].upper() + role[1:] if 3 <= len(role) <= 60 and not BLANK.search(role) else ""


def _nominative(role: str) -> str:
    """«Старшего Python-разработчика» → «Старший Python-разработчик»: adjectives, then a noun; the rest stands."""
    done: list[str] = []
    for place, word in enumerate(role.split()):
        if re.fullmatch(r"[A-Za-z0-9+#./&-]+", word):
            done.append(word)
        elif adjective := re.fullmatch(r"(.+?)([кгхшщжч]?)(ого|его|ую|юю|ых|их)", word):
            soft = adjective[2] or adjective[3] == "его"
            endings = {"ую": "ая", "юю": "яя"}
            done.append(adjective[1] + adjective[2] + endings.get(adjective[3], "ий" if soft else "ый"))
        else:
            ending = next((pair for pair in NOUN_ENDINGS if pair[0].search(word)), None)
            noun = ending[0].sub(ending[1], word) if ending else word
            return " ".join([*done, noun, *role.split()[place + 1 :]])
    return role


def _company(text: str) -> str:
    lines = "\n".join(sentence for line in text.split("\n") for sentence in sentences(_clean(line)))
    for pattern in (*COMPANIES, *LIKELY_COMPANIES):
        for match in pattern.finditer(lines):
            name = LEGAL_FORM.sub("", match["name"].strip(" .,—-"))
            quoted = re.search(r"[«\"“]([^»\"”]+)[»\"”]?$", name)
            name = (quoted[1] if quoted else name).strip(' «»"“”')
            fits = 2 <= len(name) <= 60 and not BLANK.search(name) and not NOT_A_COMPANY.search(name)
            if fits and not ROLE_NOUN.search(name) and not (pattern in LIKELY_COMPANIES and skills_in(name)):
                return name
    return ""


# --- the résumé -------------------------------------------------------------------------------------------------------


def read_resume(text: str) -> Resume:
    """What `text` says of the applicant; contacts and private circumstances are passed over."""
    if language_of(text) == "ru":
        text = re.sub(r'"([^"\n]{1,80})"', r"«\1»", text)
    name, written_name = _name(text)
    reader = _ResumeReader()
    for section, line, bullet in _sections(text, RESUME_SECTIONS):
        for part in sentences(line.replace(written_name, "", 1) if written_name else line):
            part = part.strip(" ,;—–-|.")
            if part and section != "other" and not BLANK.search(part):
                reader.read(section, part, bullet)
    facts = {fact: job for fact, job in reader.facts.items() if not _is_head(fact)}
    return Resume(
        name=name,
        years=_years(text),
        jobs=tuple(reader.jobs),
        facts=tuple(Fact(fact, job, frozenset(skills_in(fact))) for fact, job in facts.items()),
        education=tuple(filter(None, dict.fromkeys(reader.education))),
        skills=skills_in(text),
    )


class _ResumeReader:
    """Takes a résumé part by part and keeps the place of work that the parts belong to."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.facts: dict[str, int | None] = {}
        self.education: list[str] = []
        self._section = ""
        self._above: list[str] = []  # the facts of this section that stand above what comes next
        self._head_open = False  # the lines under a period may still name employer and position

    def read(self, section: str, part: str, bullet: bool) -> None:
        if section != self._section:
            self._section, self._above = section, []
        said = is_statement(part)
        period = None if said or section == "skills" else PERIOD.search(part)
        studied = not bullet and EDUCATION.search(part) and (not said or GRADUATED.match(part))
        if section == "education" or studied:
            if " " in part and not CONTACT.search(part):
                self.education.append(_clip(part, _LONGEST_ITEM))
        elif period and len(part.partition(": ")[0]) <= _LONGEST_JOB:
            self._open_job(part, period)
        elif self._head_open and not bullet and not said and len(part) <= _LONGEST_HEAD:
            self._continue_head(part)
        elif section != "skills":
            self._head_open = False
            self._add_facts(part, len(self.jobs) - 1 if self.jobs and section in ("experience", "") else None)

    def _open_job(self, part: str, period: re.Match[str]) -> None:
        head, _, done = part.partition(": ")
        if period.end() > len(head):
            head, done = part, ""
        title = re.sub(r"\(\s*\)|\s{2,}", " ", head.replace(period[0], "", 1)).strip(" ,;:—–-|()/.")
        # Where the period has its own line, employer and position stand above it or below it.
        if not title and not self._head_open:
            above = list(takewhile(_is_head, reversed(self._above[-2:])))
            title = ", ".join(reversed(above))
            for fact in above:
                self.facts.pop(fact, None)
        self.jobs.append(Job(title, period[0].strip()))
        self._add_facts(done, len(self.jobs) - 1)
        has_one = bool(EMPLOYER.search(title)) is not bool(ROLE_NOUN.search(title))
        self._head_open = not done and (not title or has_one)

    def _continue_head(self, part: str) -> None:
        title, period = self.jobs[-1].title, self.jobs[-1].period
        if not DURATION.fullmatch(part) and not (ROLE_NOUN.search(title) and EMPLOYER.search(title)):
            self.jobs[-1] = Job(", ".join(filter(None, [title, part])), period)
        self._head_open = not ROLE_NOUN.search(self.jobs[-1].title)

    def _add_facts(self, part: str, job: int | None) -> None:
        for point in re.split(r";\s+", part):
            fact = _clip(THERE_IS.sub("", point.strip(" .;,")), _LONGEST_FACT)
            enough = sum(map(str.isalpha, fact)) >= 10 and " " in fact
            if (enough or _is_head(fact)) and not CONTACT.search(fact) and not PRIVATE.search(fact):
                self.facts.setdefault(fact, job)
                self._above.append(fact)


def _is_head(line: str) -> bool:
    named = ROLE_NOUN.search(line) or EMPLOYER.search(line)
    return len(line) <= _LONGEST_HEAD and named is not None and not is_statement(line)


def _name(text: str) -> tuple[str, str]:
    """The name to sign with, and as it is written; both empty when there is none."""
    lines = [line for line in map(_clean, text.split("\n")) if line]
    for line in lines:
        labelled = LABELLED_NAME.match(line)
        if labelled and (full := NAME.match(labelled[1])):
            return _signature(full[0]), full[0]
    for line in lines[:6]:
        line = re.sub(r"^(?:резюме|resume|cv)\s*[:—–-]?\s*", "", line, flags=re.IGNORECASE)
        titled = line.title() if line.isupper() else line
        full = NAME.match(titled)
        alone = full and titled[full.end() :].lstrip()[:1] in {"", *",—–-|(.0123456789"}
        if full and alone and not (NO_NAME.search(full[0]) or ROLE_NOUN.search(full[0]) or skills_in(full[0])):
            return _signature(full[0]), line[: full.end()]
    if (prose := NAMED_IN_PROSE.search(text)) and not ROLE_NOUN.search(prose[1]):
        return _signature(prose[1].strip()), prose[0]
    return "", ""


def _signature(full: str) -> str:
    """«Иванова Анна Сергеевна» signs as «Анна Иванова»; any other name as it is."""
    parts = full.split()
    if len(parts) == 3 and PATRONYMIC.fullmatch(parts[2]):
        return f"{parts[1]} {parts[0]}"
    if len(parts) == 3 and PATRONYMIC.fullmatch(parts[1]):
        return f"{parts[0]} {parts[2]}"
    if len(parts) == 2 and SURNAME.fullmatch(parts[0]) and not SURNAME.fullmatch(parts[1]):
        return f"{parts[1]} {parts[0]}"
    return full.strip(" .")


def _years(text: str) -> str:
    """How long the applicant has worked, as the résumé says it in so many words."""
    for line in map(_clean, text.split("\n")):
        for years in YEARS.finditer(line):
            around = line[max(0, years.start() - 40) : years.end() + 30]
            if EXPERIENCE.search(around) and not OTHER_YEARS.search(around):
                return years[0]
    return ""


# --- how a statement begins -------------------------------------------------------------------------------------------


def is_statement(text: str) -> bool:
    """Whether `text` says what its subject did or does, rather than naming a thing."""
    return begins_with_verb(text) or SUBJECT.match(text) is not None


def begins_with_verb(text: str) -> bool:
    """Whether `text` begins with a verb in the first person whose pronoun is left out."""
    first, *rest = re.split(r"[\s,:]+", text, maxsplit=2)
    if rest and ADVERB.fullmatch(first):
        first = rest[0]
    return any(verb.fullmatch(first) for verb in (PAST_RU, PRESENT_RU, PAST_EN, PRESENT_EN))
