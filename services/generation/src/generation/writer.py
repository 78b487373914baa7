"""The offline writer: a decent letter from the two texts, without any model.

It says only what stands in the résumé, in the résumé's words; what is missing it passes over in silence. The same texts
always give the same letter; other texts give other wordings.
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from generation.assistant_phrases import BLANK, SIGN_OFF
from generation.language import Language, language_of, language_of_letter, sentences, wished_language
from generation.phrases import PHRASES, Phrases
from generation.reading import Fact, Job, Resume, Vacancy, begins_with_verb, is_statement, read_resume, read_vacancy
from generation.skills import Skill, skills_in, words
from generation.wishes import Asked, Wish, is_stated, wishes_in

LIMIT_CHARACTERS = 3500
_MOST_SKILLS = 5
_MOST_FACTS = 4
_MOST_ANSWERS = 2
_LONGEST_MENTION = 300
_INSTITUTION = re.compile(
    r"школ|больниц|поликлиник|лице[йя]|гимнази|детск|университет|институт|клиник|центр|завод|фабрик|театр|музе|библиотек",
    re.IGNORECASE,
)

_Choice = TypeVar("_Choice")


@dataclass(frozen=True, slots=True)
class _Letter:
    """A letter by its parts; the paragraphs between greeting and sign-off are the body, most important first."""

    greeting: str
    body: tuple[str, ...]
    sign_off: str
    mark: str

    @property
    def text(self) -> str:
        return "\n\n".join(part for part in (self.greeting, *self.body, self.sign_off, self.mark) if part)


def write_letter(vacancy: str, resume: str, language: Language | None = None) -> str:
    """A letter of at most 3500 characters in `language`, by default the vacancy's, marked as made without AI."""
    return _Composer(vacancy, resume, language or language_of(vacancy)).letter().text


def pieces(letter: str) -> list[str]:
    """`letter` in the pieces it is streamed in, word by word; together they are the letter."""
    return re.findall(r"\s*\S+(?:\s+$)?|^\s+$", letter)


class _Composer:
    """Puts one letter together: each fact is used once, each sentence is chosen by the texts."""

    def __init__(self, vacancy: str, resume: str, language: Language) -> None:
        self.vacancy: Vacancy = read_vacancy(vacancy)
        self.resume: Resume = read_resume(resume)
        self.language = language
        self.phrases: Phrases = PHRASES[language]
        self._quoting = self.phrases.quoted_facts  # said once; after that the quotes speak for themselves
        self._own_words = language_of(resume) == language
        self._seed = zlib.crc32(f"{vacancy}\0{resume}".encode("utf-8", "surrogatepass"))
        # The opening says how many years; a headline that says it again adds nothing.
        years = self.resume.years
        headlines = [fact for fact in self.resume.facts if years and years in fact.text and not is_statement(fact.text)]
        self._unused = [fact for fact in self.resume.facts if fact not in headlines]

    def letter(self) -> _Letter:
        proof = self._proof()
        body = [
            self.opening(0),
            *proof,
            *self._answers(),
            self._background(proof),
            self._motive(),
            self._choose(self.phrases.call),
        ]
        sign_off = f"{self.phrases.sign_off},\n{self.resume.name}" if self.resume.name else self.phrases.sign_off
        return _within_limit(_Letter(self.phrases.greeting, tuple(filter(None, body)), sign_off, self.phrases.mark))

    def opening(self, turn: int) -> str:
        """The first paragraph in its `turn`-th wording."""
        role, name = self.vacancy.role, self.vacancy.company
        company = (
            (self.phrases.company_with_kind if _INSTITUTION.search(name) else self.phrases.company).format(company=name)
            if name
            else ""
        )
        wordings = self.phrases.opening if role else self.phrases.opening_without_role
        said = [self._choose(wordings, turn).format(role=_inside_quotes(role), company=company)]
        shared = [skill for skill in self.vacancy.skills if skill in self.resume.skills and not _stands_in(skill, role)]
        if len(shared) > 1 or any(skill.ru == skill.en for skill in shared):
            said.append(self._choose(self.phrases.shared_skills, turn).format(skills=self._list(shared[:_MOST_SKILLS])))
        if self.resume.years and self._own_words:
            said.append(self._choose(self.phrases.years, turn).format(years=self.resume.years))
        return " ".join(said)

    def take_facts(self, wanted: str, most: int) -> list[Fact]:
        """The facts that answer `wanted` best, best first; each is given out once."""
        likeness = _Wanted.of(wanted).likeness
        best = [fact for fact in sorted(self._unused, key=likeness, reverse=True)[:most] if likeness(fact)]
        for fact in best:
            self._unused.remove(fact)
        return best

    def told(self, facts: Sequence[Fact], wordings: Sequence[str]) -> str:
        """The facts as sentences: statements as they are, things named after a colon."""
        if not facts:
            return ""
        if not self._own_words:
            wording, self._quoting = self._quoting, "{facts}."
            return wording.format(facts="; ".join(f"«{_inside_quotes(fact.text)}»" for fact in facts))
        named = [_lower_first(fact.text) for fact in facts if not is_statement(fact.text)]
        said = [fact.text for fact in facts if is_statement(fact.text)]
        told = [_sentence(text, beginning) for text, beginning in zip(said, self.phrases.beginnings, strict=False)]
        if named:
            told.append(self._choose(wordings).format(facts="; ".join(named)))
        return " ".join(told)

    def _proof(self) -> list[str]:
        """The latest place of work with what was done there, then what else speaks for the applicant."""
        wanted = " ; ".join([self.vacancy.role, *self.vacancy.requirements, *self.vacancy.duties])
        facts = self.take_facts(wanted, _MOST_FACTS)
        with_numbers = [fact for fact in self._unused if re.search(r"\d", fact.text)]
        for fact in [*with_numbers, *self._unused][: _MOST_FACTS - len(facts)]:
            if fact in self._unused:
                self._unused.remove(fact)
                facts.append(fact)
        paragraphs = []
        places = [place for place, job in enumerate(self.resume.jobs) if job.title][:2]
        for place in places:
            there = [fact for fact in facts if fact.job == place]
            if there or place == places[0]:
                facts = [fact for fact in facts if fact not in there]
                wording = self._choose(self.phrases.latest_job) if place == places[0] else self.phrases.earlier_job
                job = wording.format(job=self._placed(self.resume.jobs[place]))
                paragraphs.append(f"{job} {self.told(there, self.phrases.nominal_facts)}".strip())
        if facts:
            paragraphs.append(self.told(facts, self.phrases.more_facts if paragraphs else self.phrases.facts_alone))
        return paragraphs

    def _answers(self) -> list[str]:
        """Up to two requirements in the vacancy's words, each with a fact that was not told yet."""
        if not self._own_words:
            return []
        answers: list[str] = []
        for asked in self.vacancy.requirements:
            if len(answers) < _MOST_ANSWERS and len(asked) <= 110 and (facts := self.take_facts(asked, 1)):
                fact = facts[0].text
                answers.append(self.phrases.answer.format(asked=_inside_quotes(asked), fact=_lower_first(fact)))
        return [" ".join([self._choose(self.phrases.answers), *answers])] if answers else []

    def _background(self, proof: Sequence[str]) -> str:
        said = []
        told = " ".join(proof)
        tools = [skill for skill in self.resume.skills if skill.ru == skill.en and skill not in self.vacancy.skills]
        others = [skill for skill in tools if not _stands_in(skill, told)]
        if others and len(proof) < 3:
            said.append(self.phrases.skills.format(skills=self._list(others[:_MOST_SKILLS])))
        return " ".join([*said, *self.studied(self.resume.education[:2])])

    def studied(self, lines: Sequence[str]) -> list[str]:
        """The education as sentences."""
        named = "; ".join(line for line in lines if not is_statement(line))
        told = [f"{line}." for line in lines if is_statement(line)]
        return [self.phrases.education.format(education=named), *told] if named else told

    def _motive(self) -> str:
        duties = [duty for duty in self.vacancy.duties if 12 <= len(duty) <= 110 and language_of(duty) == self.language]
        if duties:
            liked = max(duties, key=lambda duty: max(map(_Wanted.of(duty).likeness, self.resume.facts), default=0))
            return self._choose(self.phrases.duty).format(duty=_inside_quotes(_lower_first(liked)))
        return self._choose(self.phrases.motive)

    def _placed(self, job: Job) -> str:
        period = job.period.lower() if self.language == "ru" else job.period
        return f"{job.title} ({period})" if period else job.title

    def _choose(self, wordings: Sequence[_Choice], turn: int = 0) -> _Choice:
        return wordings[(self._seed + turn) % len(wordings)]

    def _list(self, skills: Iterable[Skill]) -> str:
        names = [skill.named(self.language) for skill in skills]
        return self.phrases.conjunction.join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


# --- matching ---------------------------------------------------------------------------------------------------------

# Words that every vacancy and every résumé has: sharing them says nothing.
_COMMON = (
    *("опыт", "работ", "рабоч", "знани", "умени", "навык", "владе", "уверен", "обязат", "требу", "нужн", "будет"),
    *(
        "плюс",
        "также",
        "налич",
        "понима",
        "готов",
        "желат",
        "участ",
        "experience",
        "work",
        "years",
        "skill",
        "knowledge",
    ),
    *("ability", "strong", "good", "with", "that", "from", "have", "including", "various"),
)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What facts are compared with: skills, and words without their endings."""

    skills: frozenset[Skill]
    stems: frozenset[str]

    @classmethod
    def of(cls, text: str) -> "_Wanted":
        return cls(frozenset(skills_in(text)), _stems(text))

    def likeness(self, fact: Fact) -> float:
        """How well a fact answers: skills in common count most, then words; a number decides between equals."""
        common = 3 * len(self.skills & fact.skills) + len(self.stems & _stems(fact.text))
        return common + 0.5 * bool(re.search(r"\d", fact.text)) if common else 0


def _stems(text: str) -> frozenset[str]:
    return frozenset(
        word[: 6 if len(word) > 7 else 5] for word in words(text) if len(word) > 3 and not word.startswith(_COMMON)
    )


def _stands_in(skill: Skill, text: str) -> bool:
    return skill in skills_in(text)


# --- words in their places --------------------------------------------------------------------------------------------


def _lower_first(text: str) -> str:
    """`text` as it goes on after a colon: in lower case unless it begins with a name or an abbreviation."""
    first = re.split(r"[\s,.:;-]", text, maxsplit=1)[0]
    tool = any(skill.ru == skill.en for skill in skills_in(first))
    ordinary = re.fullmatch(r"[А-ЯЁ][а-яё]+|[A-Z][a-z]+", first) and not tool
    return text[0].lower() + text[1:] if ordinary else text


def _sentence(statement: str, beginning: str) -> str:
    """A statement as a sentence; a verb without its pronoun gets `beginning`, where the language wants one."""
    if beginning and begins_with_verb(statement):
        return f"{beginning}{statement[0].lower()}{statement[1:]}."
    return f"{statement[0].upper()}{statement[1:]}."


def _inside_quotes(text: str) -> str:
    """`text` for a place between quotation marks: its own become the inner ones."""
    return text.replace("«", "„").replace("»", "“")


# --- revisions --------------------------------------------------------------------------------------------------------


def revise_letter(letter: str, wish: str, vacancy: str, resume: str) -> str:
    """`letter` changed as `wish` asks, always visibly, of at most 3500 characters.

    Understood in both languages: shorter, longer, more formal, friendlier, mention or leave out something, language.
    Any other wish gives the letter another opening. A fact enters only from the résumé or in the person's own words.
    """
    draft = _parse(letter)
    written = language_of_letter(letter)
    language = wished_language(wish) or written
    composer = _Composer(vacancy, resume, language)
    if language != written:
        draft = composer.letter()
    for asked in wishes_in(wish):
        draft = _changed(draft, composer, asked)
    revised = _within_limit(draft).text
    return revised if revised != letter else _within_limit(_reopened(draft, composer)).text


def _changed(draft: _Letter, composer: _Composer, wish: Wish) -> _Letter:
    phrases = composer.phrases
    match wish.asked:
        case Asked.LONGER:
            return _longer(draft, composer)
        case Asked.SHORTER:
            return _shorter(draft)
        case Asked.FORMAL:
            body = tuple(paragraph.replace("!", ".") for paragraph in draft.body)
            return _toned(replace(draft, body=body), phrases, phrases.formal_greeting, phrases.formal_call)
        case Asked.FRIENDLY:
            return _toned(draft, phrases, phrases.friendly_greeting, phrases.friendly_call)
        case Asked.MENTION:
            return _mentioning(draft, composer, wish.what)
        case Asked.LEAVE_OUT:
            return _without(draft, wish.what)
        case Asked.LANGUAGE:
            return draft  # it was changed before anything else


def _parse(letter: str) -> _Letter:
    paragraphs = [paragraph.strip() for paragraph in re.split(r"\n\s*\n", letter.strip())]
    mark = paragraphs.pop() if paragraphs[-1] in {phrases.mark for phrases in PHRASES.values()} else ""
    signed = paragraphs and SIGN_OFF.fullmatch(paragraphs[-1].split("\n")[0])
    sign_off = paragraphs.pop() if signed else ""
    greeted = (
        paragraphs
        and len(paragraphs[0]) <= 80
        and paragraphs[0].endswith(("!", ","))
        and len(sentences(paragraphs[0])) == 1
    )
    greeting = paragraphs.pop(0) if greeted else ""
    return _Letter(greeting, tuple(filter(None, paragraphs)), sign_off, mark)


def _longer(draft: _Letter, composer: _Composer) -> _Letter:
    """More of the résumé: facts that the letter does not tell yet, and the education."""
    untold = [fact for fact in composer.resume.facts if fact.text[1:] not in draft.text][:_MOST_FACTS]
    studies = [line for line in composer.resume.education if line not in draft.text]
    told = composer.told(untold, composer.phrases.more_facts)
    return _with(draft, " ".join(filter(None, [told, *composer.studied(studies[:1])])))


def _shorter(draft: _Letter) -> _Letter:
    """At most seven tenths of it; opening, proof and closing stay longest."""
    goal = 7 * len(draft.text) // 10
    while len(draft.text) > goal and (shortened := _trimmed(draft)) != draft:
        draft = shortened
    return draft


def _trimmed(draft: _Letter) -> _Letter:
    """Without its least: the last paragraph between proof and closing, or else a last sentence; never the first."""
    if len(draft.body) > 3:
        return replace(draft, body=(*draft.body[:-2], draft.body[-1]))
    for place in (1, 0, 2):
        kept = sentences(draft.body[place])[:-1] if place < len(draft.body) else []
        if kept or (place == 1 and len(draft.body) > 2):
            body = (*draft.body[:place], " ".join(kept), *draft.body[place + 1 :])
            return replace(draft, body=tuple(filter(None, body)))
    return draft


def _toned(draft: _Letter, phrases: Phrases, greeting: str, call: str) -> _Letter:
    ours = {*phrases.call, phrases.formal_call, phrases.friendly_call}
    body = (*draft.body[:-1], call) if draft.body and draft.body[-1] in ours else draft.body
    return replace(draft, greeting=greeting, body=body)


def _without(draft: _Letter, what: str) -> _Letter:
    """Without the sentences that speak of `what`; a letter of nothing else stays as it is."""
    unwanted = _Wanted.of(what)

    def stays(sentence: str) -> bool:
        spoken_of = unwanted.skills & set(skills_in(sentence)) or unwanted.stems & _stems(sentence)
        return not (spoken_of or what.casefold() in sentence.casefold())

    body = (" ".join(filter(stays, sentences(paragraph))) for paragraph in draft.body)
    return replace(draft, body=tuple(filter(None, body)) or draft.body)


def _mentioning(draft: _Letter, composer: _Composer, what: str) -> _Letter:
    """With what the résumé says of `what`; what it does not say enters in the person's own words."""
    kind = re.match(r"(?:про|об?о?|что|about|that)\s+|", what, re.IGNORECASE)
    introduced, topic = (kind[0].strip().lower(), what[kind.end() :]) if kind else ("", what)
    if not topic or BLANK.search(topic) or len(topic) > _LONGEST_MENTION:
        return draft
    phrases = composer.phrases
    stated = introduced in ("что", "that") or is_stated(topic)
    facts = [] if stated else [fact for fact in composer.take_facts(topic, 2) if fact.text[1:] not in draft.text]
    if facts:
        said = composer.told(facts, phrases.more_facts)
    elif introduced in ("что", "that") and language_of(what) == composer.language:
        said = phrases.mention_that.format(words=topic)
    elif introduced in ("про", "о", "об", "обо") and composer.language == "ru":
        said = phrases.mention_about.format(words=what)
    else:
        said = phrases.mention.format(words=topic)
    return draft if said in draft.text else _with(draft, said)


def _reopened(draft: _Letter, composer: _Composer) -> _Letter:
    """With another beginning: the whole opening of a letter of ours, the first sentence of any other."""
    openings = [composer.opening(turn) for turn in range(len(composer.phrases.opening))]
    first, rest = (draft.body[0], draft.body[1:]) if draft.body else ("", ())
    if first in openings:
        return replace(draft, body=(openings[(openings.index(first) + 1) % len(openings)], *rest))
    kept = " ".join([sentences(openings[0])[0], *sentences(first)[1:]])
    return replace(draft, body=(kept, *rest))


def _with(draft: _Letter, paragraph: str) -> _Letter:
    """With one paragraph more, after the proof where there is one and always before the closing."""
    place = min(2, max(len(draft.body) - 1, 0))
    return replace(draft, body=tuple(filter(None, [*draft.body[:place], paragraph, *draft.body[place:]])))


def _within_limit(draft: _Letter) -> _Letter:
    while len(draft.text) > LIMIT_CHARACTERS and (trimmed := _trimmed(draft)) != draft:
        draft = trimmed
    return draft
