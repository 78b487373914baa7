"""The offline writer's own words.

What was read from the texts only ever stands where no case is asked of it: in quotes, after a colon or a dash.
"""

from dataclasses import dataclass

from generation.language import Language


@dataclass(frozen=True, slots=True)
class Phrases:
    """One language's wordings; where several stand, the two texts decide which is taken."""

    greeting: str
    formal_greeting: str
    friendly_greeting: str
    opening: tuple[str, ...]
    opening_without_role: tuple[str, ...]
    company: str
    company_with_kind: str
    shared_skills: tuple[str, ...]
    years: tuple[str, ...]
    latest_job: tuple[str, ...]
    earlier_job: str
    nominal_facts: tuple[str, ...]
    facts_alone: tuple[str, ...]
    more_facts: tuple[str, ...]
    beginnings: tuple[str, ...]
    quoted_facts: str
    answers: tuple[str, ...]
    answer: str
    skills: str
    education: str
    duty: tuple[str, ...]
    motive: tuple[str, ...]
    call: tuple[str, ...]
    formal_call: str
    friendly_call: str
    mention: str
    mention_that: str
    mention_about: str
    sign_off: str
    mark: str
    conjunction: str


PHRASES: dict[Language, Phrases] = {
    "ru": Phrases(
        greeting="Здравствуйте!",
        formal_greeting="Уважаемые коллеги!",
        friendly_greeting="Добрый день!",
        opening=(
            "Откликаюсь на вакансию «{role}»{company}.",
            "Пишу вам по поводу вакансии «{role}»{company}.",
            "Меня заинтересовала вакансия «{role}»{company}.",
            "Предлагаю свою кандидатуру на вакансию «{role}»{company}.",
        ),
        opening_without_role=(
            "Откликаюсь на вашу вакансию{company}.",
            "Пишу вам по поводу вашей вакансии{company}.",
            "Меня заинтересовала ваша вакансия{company}.",
            "Предлагаю свою кандидатуру на вашу вакансию{company}.",
        ),
        company=" в компании «{company}»",
        company_with_kind=" ({company})",
        shared_skills=(
            "Из того, что вам нужно, в моём резюме есть: {skills}.",
            "Вот что из описания мне уже знакомо: {skills}.",
            "С описанием у моего резюме много общего: {skills}.",
        ),
        years=("Опыт работы — {years}.", "За плечами опыт: {years}."),
        latest_job=("Последнее место работы — {job}.", "Ближайший по времени опыт — {job}."),
        earlier_job="До этого — {job}.",
        nominal_facts=(
            "На практике это значит: {facts}.",
            "Среди моих задач были: {facts}.",
            "Что сюда входит: {facts}.",
        ),
        facts_alone=("Что у меня есть для этой работы: {facts}.", "Мой опыт в двух словах: {facts}."),
        more_facts=("Кроме того, в моём опыте есть: {facts}.", "К этому добавлю: {facts}."),
        beginnings=("", "", "", ""),
        quoted_facts="Приведу строки из резюме в оригинале: {facts}.",
        answers=(
            "Отвечу и по пунктам вакансии.",
            "Теперь о ваших требованиях.",
            "Несколько слов о требованиях из описания.",
        ),
        answer="«{asked}» — {fact}.",
        skills="Из инструментов в моём резюме есть также {skills}.",
        education="Образование: {education}.",
        duty=(
            "В описании меня особенно привлекает задача «{duty}»: с неё и хочется начать.",
            "Мне интересна именно эта работа: в ней есть «{duty}», и здесь мне есть что предложить.",
            "Из ваших задач мне ближе всего «{duty}» — ради таких дел и пишу это письмо.",
        ),
        motive=(
            "Мне интересна именно эта работа: в ней видно, где мой опыт принесёт пользу.",
            "Мне близки задачи из вашего описания, поэтому и пишу вам.",
        ),
        call=(
            "С удовольствием расскажу подробнее на собеседовании и отвечу на вопросы.",
            "Давайте поговорим: расскажу подробнее о каждом из этих пунктов и отвечу на вопросы.",
            "Если мой опыт вам подходит, с радостью обсужу детали при встрече или по телефону.",
        ),
        formal_call="Прошу рассмотреть мою кандидатуру. Подробности сообщу на собеседовании в удобное для вас время.",
        friendly_call="Давайте созвонимся или встретимся: расскажу всё как есть и с радостью послушаю о вашей работе.",
        mention="Отдельно отмечу: {words}.",
        mention_that="Отдельно отмечу, что {words}.",
        mention_about="Отдельно скажу {words}.",
        sign_off="С уважением",
        mark="— Письмо составлено без участия ИИ",
        conjunction=" и ",
    ),
    "en": Phrases(
        greeting="Dear hiring team,",
        formal_greeting="Dear Sir or Madam,",
        friendly_greeting="Hello!",
        opening=(
            "I would like to apply for the {role} position{company}.",
            "I am writing about the {role} position{company}.",
            "Please consider my application for the {role} role{company}.",
            "Your {role} opening{company} caught my attention.",
        ),
        opening_without_role=(
            "I would like to apply for the position you advertise{company}.",
            "I am writing about the position you advertise{company}.",
            "Please consider my application for your vacancy{company}.",
            "Your opening{company} caught my attention.",
        ),
        company=" at {company}",
        company_with_kind=" at {company}",
        shared_skills=(
            "Of the things you ask for, my background covers {skills}.",
            "Your description and my résumé have a good deal in common: {skills}.",
            "What you list and I already know: {skills}.",
        ),
        years=("I have {years} of experience.", "Behind me are {years} of experience."),
        latest_job=("My most recent position: {job}.", "Most recently: {job}."),
        earlier_job="Before that: {job}.",
        nominal_facts=("In practice this meant: {facts}.", "What this covers: {facts}."),
        facts_alone=("What I bring to this job: {facts}.", "In short, my résumé says: {facts}."),
        more_facts=("My experience also includes: {facts}.", "I can add to this: {facts}."),
        beginnings=("I ", "I also ", "Besides, I ", "I "),
        quoted_facts="My résumé is in another language, so let me quote it: {facts}.",
        answers=(
            "To answer your requirements directly.",
            "A word on the points in your description.",
            "Point by point.",
        ),
        answer="“{asked}”: {fact}.",
        skills="My résumé also lists {skills}.",
        education="Education: {education}.",
        duty=(
            "What draws me to this job is the task you describe as “{duty}”: that is where I would like to start.",
            "I am interested in this job in particular: “{duty}” is work I have something to bring to.",
            "Of your tasks, “{duty}” appeals to me most; it is the reason I am writing.",
        ),
        motive=(
            "I am interested in this job in particular, because I can see where my background would be of use.",
            "The work you describe is the work I want to do, which is why I am writing.",
        ),
        call=(
            "I would be glad to talk through the details and answer your questions.",
            "I would welcome a conversation about how I can help, at any time that suits you.",
            "If this sounds useful, I would be happy to meet or to talk by phone.",
        ),
        formal_call="I should be grateful for the opportunity of an interview at your convenience.",
        friendly_call="Shall we have a chat? I will happily tell you more and hear about your work.",
        mention="I would also like to mention: {words}.",
        mention_that="I would also like to mention that {words}.",
        mention_about="I would also like to speak {words}.",
        sign_off="Best regards",
        mark="— Written without AI",
        conjunction=" and ",
    ),
}
