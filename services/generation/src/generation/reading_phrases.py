"""How vacancies and résumés put things, as data for `reading`: headings, trades, employers, periods, verbs."""

# ruff: noqa: E501 (a table of phrases)

import re

BULLET = re.compile(r"^\s*(?:[-–—•·▪●◦*+>✓✔►■□‣]+|\d{1,2}[.)])\s+|^\s*[•·▪●◦✓✔►■□‣#*]+\s*")
DECORATION = re.compile(r"\*\*|__|`|^#+\s*")
PICTURES = re.compile("[\U0001f300-\U0001faff\u2190-\u21ff\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d]+")
VACANCY_SECTIONS = {
    "requirements": (
        r"требовани\w+|(?:мы |что мы )?(?:жд[её]м|ожида(?:ем|ния))|наши ожидания|что нужно|кого (?:мы )?ищем|нам важно|от вас"
        r"|(?:необходим\w+|ключев\w+) (?:навыки|умения)|навыки|вы (?:умеете|знаете)|нам подойд[её]т|(?:будет|большим|как) плюс\w*"
        r"|плюсом будет|желательно|requirements|(?:minimum |preferred )?qualifications|(?:what )?we expect|must[ -]haves?|what you"
        r"(?:'|’)?(?:ll)? (?:need|bring|have)|you have|about you|your profile|skills|nice[ -]to[ -]haves?|who you are|we need|стек|tech stack"
    ),
    "duties": (
        r"обязанности|(?:ваши |основные )?задачи|чем (?:предстоит |вы будете |нужно )?заниматься|что (?:предстоит |нужно |надо )?делать"
        r"|вам предстоит|предстоит|функционал|responsibilities|(?:key )?duties|what you(?:'|’)?(?:ll| will) (?:do|be doing)|your tasks"
        r"|the role|tasks|you will|your role"
    ),
    "other": (
        r"условия|(?:что )?мы предлагаем|предлагаем|бонусы|плюшки|о (?:компании|нас|проекте)|контакты|график|зарплата|адрес|мы - это"
        r"|(?:what )?we offer|benefits|perks|conditions|about (?:us|the company)|salary|schedule|contacts?|how to apply|location"
    ),
}
RESUME_SECTIONS = {
    "experience": (
        r"(?:трудовой |профессиональный )?опыт(?: работы)?|карьера|места работы|трудовая деятельность"
        r"|(?:work |professional |relevant )?experience|employment(?: history)?|work history|career"
    ),
    "facts": (
        r"(?:мои |ключевые )?достижения|(?:учебные |пет-|pet[ -])?проекты|(?:о себе|обо мне|коротко о себе)|обязанности"
        r"|(?:key )?achievements|(?:personal |pet )?projects|(?:professional )?summary|(?:about(?: me)?)|profile|volunteering|волонт[её]рство|практика"
    ),
    "skills": (
        r"(?:ключевые |профессиональные |технические )?(?:навыки|умения)|стек|технологии|инструменты"
        r"|(?:key |technical |hard |soft |core )?skills|tech(?:nology|nical)? stack|technologies|tools|languages|(?:иностранные )?языки|знание языков"
    ),
    "education": (
        r"образование|уч[её]ба|курсы|повышение квалификации|сертификаты|дополнительное образование|education|courses|certifica(?:tes|tions)|training"
    ),
    "other": (
        r"контакты|контактная информация|личные данные|желаемая должность|цель|хобби|интересы|рекомендации|ключевая информация"
        r"|contacts?|personal (?:details|information|data)|objective|hobbies|interests|references"
    ),
}
ROLE_NOUN = re.compile(
    r"разработчи|программист|инженер|менеджер|бухгалтер|медсестр|медбрат|медицинск\w+ (?:сестр|брат)|врач|фельдшер|санитар|курьер|водител"
    r"|дизайнер|учител|преподавател|воспитател|педагог|репетитор|тренер|администратор|оператор|кассир|продавец|продавц|консультант|аналитик"
    r"|маркетолог|юрист|экономист|директор|руководител|начальник|заведующ|специалист|ассистент|помощник|секретар|стаж[её]р|повар|официант|бариста|кладовщик"
    r"|\bгрузчик|слесар|электрик|электромонт|сварщик|монтажник|токар|тестировщик|копирайтер|редактор|журналист|переводчик|психолог|логист"
    r"|рекрутер|флорист|парикмахер|\bмастера?\b|фармацевт|провизор|нян[яю]|сиделк|охранник|уборщи|комплектовщик|упаковщик|лаборант|архитектор"
    r"|технолог\b|технолога\b|механик|тимлид|продюсер|сотрудник|представител|агент\b|агента\b|библиотекар|верстальщик|модератор|промоутер|мерчендайзер|диспетчер"
    r"|\b(?:developer|engineer|programmer|manager|accountant|bookkeeper|nurse|doctor|courier|driver|designer|teacher|tutor|administrator|operator"
    r"|cashier|seller|consultant|analyst|marketer|lawyer|paralegal|director|lead|head of|specialist|assistant|secretary|intern|trainee|cook|chef|waiter|waitress"
    r"|barista|clerk|tester|qa|copywriter|editor|writer|translator|coach|recruiter|representative|associate|officer|technician|scientist"
    r"|architect|supervisor|coordinator|executive|caregiver|guard|electrician|mechanic|pharmacist|therapist|devops|sre)s?\b",
    re.IGNORECASE,
)
LABELLED_ROLE = re.compile(
    r"(?:вакансия|должность|позиция|position|job title|role|vacancy|title)\s*[:—–-]\s*(.{3,90})", re.IGNORECASE
)
WANTED = re.compile(
    r"\b(?:(?P<nominative>требу[ею]тся|нуж(?:ен|на|ны)|открыта вакансия:?|на должность:)|(?P<accusative>(?:мы )?(?:ищем|ищет|приглашаем|приглашает|набираем|набирает"
    r"|разыскиваем|в поиске|в поисках|возьм[её]м|на (?:должность|позицию|вакансию)|нанимаем))"
    r"|(?P<english>(?:looking|searching) for|(?:is |are |we're )?hiring|seeking|in need of|join (?:us|our team) as|we need|position of|role of))"
    r"\s+(?P<role>[^.!?:;\n(]{3,90})",
    re.IGNORECASE,
)
ROLE_ENDS = re.compile(
    r"\s*[,|/(;:!?]|\s[—–-]\s|\s(?:в|во|для|с|со|на|от|к|из|который|которая|at|with|to|who|for|in|on|that|based|near|and join)\s|\s*\bкотор",
    re.IGNORECASE,
)
PRAISE = re.compile(
    r"^(?:в (?:нашу |свою )?(?:команду|компанию|штат|офис|отдел)\S*(?: [«\"][^»\"]+[»\"])?\s+|срочно |к нам |себе |нам |на постоянной основе |(?:опытн|талантлив|активн|ответственн|сильн|крут)\S+ |an? |the |our |experienced |talented |skilled |motivated |new |next )+",
    re.IGNORECASE,
)
COMPANY_KIND = (
    r"(?:компани\w+|ооо|оао|зао|пао|ао|ип|групп\w+(?: компаний)?|холдинг\w*|сет\w+(?: [а-яё]+)?|завод\w*|банк\w*|студи\w+|агентств\w+|школ\w+|клиник\w+"
    r"|магазин\w*|кафе|ресторан\w*|фабрик\w+|кофейн\w+|бюро|команд\w+|лице\w+|гимнази\w+|центр\w*|сад\w*|отел\w+|салон\w*|стартап\w*|проект\w*)"
)
COMPANIES = (
    re.compile(
        r"^(?:компания|работодатель|организация|company|employer)\s*[:—–-]\s*(?P<name>[^\n,;]{2,60})",
        re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(rf"\b{COMPANY_KIND}\s+[«\"“](?P<name>[^»\"”\n]{{2,50}})[»\"”]", re.IGNORECASE),
    re.compile(
        r"\b[Вв] (?:компанию|компании|команду|студию|агентство|банк|стартап) (?P<name>[A-ZА-ЯЁ][\w&.-]+(?: [A-ZА-ЯЁ][\w&.-]+){0,2})"
    ),
    re.compile(r"\b[Кк]омпания (?P<name>[A-ZА-ЯЁ][\w&.-]+(?: [A-ZА-ЯЁ][\w&.-]+){0,2})"),
    re.compile(
        r"^(?P<name>[A-ZА-ЯЁ0-9«\"][^.!?:;\n]{1,60}?)\s+(?:(?:срочно )?(?:ищет|приглашает|набирает|открывает|открыла)"
        r"|is (?:now |currently )?(?:looking|hiring|seeking|searching)|seeks|needs)\b",
        re.MULTILINE,
    ),
    re.compile(
        r"^(?P<name>[A-ZА-ЯЁ«\"][^.!?:;,\n—–]{1,40}?) [—–-] (?:это |крупн|ведущ|международн|российск|федеральн|современн|компани|разработчик |сеть |производител)",
        re.MULTILINE,
    ),
    re.compile(
        r"\b(?:at|join|About) (?P<name>(?!Us|You|The|Our|This|Least|Home)[A-Z][\w&'’]*(?: (?:[A-Z][\w&'’]*|of|and|&)){0,3})(?=[\s,.:;!)]|$)"
    ),
    re.compile(r"^(?P<name>[A-Z][\w&]+(?: [A-Z][\w&]+){0,2}) is an? ", re.MULTILINE),
)
# A name only by its place: after a dash in the first line, or the first thing in quotes.
LIKELY_COMPANIES = (
    re.compile(r"^[^\n]{3,70}?\s[—–|-]\s(?P<name>[A-ZА-ЯЁ«\"][^\n,;|—–]{1,40})$", re.MULTILINE),
    re.compile(r"[«“](?P<name>[A-ZА-ЯЁ][^»”\n]{1,40})[»”]"),
)
NOT_A_COMPANY = re.compile(
    r"удал[её]нн|remote|hybrid|гибрид|офис|full|part[- ]time|москва|петербург|спб|казань|новосибирск|екатеринбург|london|berlin|dubai|график|смен|\d{3} ?000|\d/\d|вакансия"
    r"|^(?:мы|наша|наш|we|our|it|this|he|she|the|работодатель|компания|клиент)\b",
    re.IGNORECASE,
)
YOU_WILL = re.compile(r"(?:you will|you(?:'|’)ll|вы будете|вам предстоит|предстоит)\s+", re.IGNORECASE)
NEEDED = re.compile(
    r"^(?:нужн\w+|требу\w+|необходим\w+|обязательно|required|must have|we need|needed)\s*:\s*", re.IGNORECASE
)
OFFER = re.compile(
    r"график|зарплат|з/?п\b|оплат|оклад|доход|дмс|оформлен|мы предлагаем|компания\b|salary|schedule|no commercial|в (?:нашу|сеть)",
    re.IGNORECASE,
)
ASKS = re.compile(
    r"опыт|знани|умени|владени|навык|образовани|требу|необходим|нужн|желательн|experience|knowledge|ability|able to|must|require|skill|degree|proficien|familiar|fluent",
    re.IGNORECASE,
)
MONTH = r"(?:(?:янв|фев|мар|апр|ма[йя]|июн|июл|авг|сен|окт|ноя|дек|jan|feb|apr|may|jun|jul|aug|sep|oct|nov|dec)[а-яa-z]*\.?\s+|\d{1,2}[./])?"
YEAR = rf"(?:{MONTH}(?:19|20)\d\d)"
NOW = (
    r"(?:по )?(?:настоящее время|наст(?:оящее|\.)? ?вр(?:емя|\.)?|сейчас|н\.\s?в\.?|present|now|current|today|ongoing)"
)
PERIOD = re.compile(
    rf"(?:с\s+|from\s+)?{YEAR}(?:\s?г(?:ода?|\.)?)?\s*(?:[-–—]|по|to|until|до)\s*(?:{YEAR}(?:\s?гг?\.?)?|{NOW})|(?:с|since)\s+{YEAR}(?:\s?г(?:ода?|\.)?)?",
    re.IGNORECASE,
)
YEARS = re.compile(
    r"\b(?:(?:более|свыше|больше|около|over|more than)\s+)?\d{1,2}(?:[.,]\d)?\+?[- ](?:лет|года?|years?)\b(?:\s+\d{1,2}\s+мес\w+)?",
    re.IGNORECASE,
)
EXPERIENCE = re.compile(r"опыт|стаж|experience|работаю|worked|working", re.IGNORECASE)
CONTACT = re.compile(
    r"\S@\S+\.\w|https?://|www\.|t\.me/|\+?\d[\d\s()-]{8,}\d|\b(?:тел|телефон|phone|e-?mail|почта|telegram|телеграм|whatsapp|skype|linkedin|github)\b\s*[:—-]?",
    re.IGNORECASE,
)
PRIVATE = re.compile(
    r"дата рождения|родил(?:ся|ась)|возраст|гражданство|семейное|женат|замужем|дети|зарплат|желаем|прожива|\bпол:|адрес|переезд|командировк|занятость|график"
    r"|хочу|ищу|рекомендаци|резюме|date of birth|\bage\b|nationality|marital|salary|relocat|address|seeking|looking for|curriculum|references|^(?:г\.|город)\s|\bмужчина\b|\bженщина\b",
    re.IGNORECASE,
)
DURATION = re.compile(r"\(?\d[\d\sа-яёa-z]*(?:лет|год\w*|мес\w*|years?|months?)[\d\sа-яёa-z]*\)?", re.IGNORECASE)
EMPLOYER = re.compile(
    r"\b(?:ооо|оао|зао|пао|ао|ип|гбуз|гбоу|мбоу|inc|llc|ltd|gmbh|corp)\b|[«\"“][^»\"”]+[»\"”]", re.IGNORECASE
)
LABELLED_NAME = re.compile(r"(?:фио|ф\.\s?и\.\s?о\.|имя|name|full name)\s*[:—–-]\s*(.+)", re.IGNORECASE)
NAMED_IN_PROSE = re.compile(
    r"(?:[Мм]еня зовут|[Mm]y name is|(?:I'm|I am)(?= [A-Z]\w+ [A-Z]))\s+((?:[A-ZА-ЯЁ][\w'’-]+\s?){1,3})"
)
NAME = re.compile(
    r"(?:[A-ZА-ЯЁ]['’]?[A-ZА-ЯЁ]?[a-zа-яё]+(?:-[A-ZА-ЯЁ]?[a-zа-яё]+)?|[A-ZА-ЯЁ]\.)"
    r"(?:\s+(?:[A-ZА-ЯЁ]['’]?[A-ZА-ЯЁ]?[a-zа-яё]+(?:-[A-ZА-ЯЁ][a-zа-яё]+)?|[A-ZА-ЯЁ]\.|de|van|von)){1,3}"
)
PATRONYMIC = re.compile(r"\w+(?:вич|вна|ична|инична|кызы|оглы)", re.IGNORECASE)
SURNAME = re.compile(r"[А-ЯЁ]\w{2,}(?:ов|ова|ев|ева|ёв|ёва|ский|ская|цкий|цкая|енко|ук|юк)")
NO_NAME = re.compile(
    r"резюме|curriculum|vitae|resume|опыт|работ|навык|образован|experience|skills|education|summary|profile|москва|санкт|петербург|россия|город"
    r"|университет|институт|школа|university|college|school|about|contact|новгород|ростов",
    re.IGNORECASE,
)
GRADUATED = re.compile(
    r"окончил|закончил|учусь|учился|училась|получил\w* (?:диплом|степень)|graduated|studied|studying|hold",
    re.IGNORECASE,
)
EDUCATION = re.compile(
    r"университет|институт|колледж|академи|техникум|училище|бакалавр|магистр|диплом\b|окончил|высшее|вуз\b|студент|курс(?:ы|е)?\b|university|college|institute|academy|bachelor|master(?:'s|’s| of)|\bb\.?sc|\bm\.?sc|\bph\.?d|degree|diploma|graduat",
    re.IGNORECASE,
)
PAST_RU = re.compile(r"(?!стол|школ|материал|персонал|журнал|отдел|канал|портал|сигнал|квартал|зал|файл|протокол|метал|профил|филиал|раздел|модул|угл|дел|сил|числ|правил)[а-яё]{2,}(?:л|ла|лся|лась)|\w*вл[её]к|\w*мог|достиг", re.IGNORECASE)  # fmt: skip
PRESENT_RU = re.compile(r"[а-яё]+(?:ю|юсь)|веду|ищу|пишу|учу|учусь|могу|вожу|провожу|держусь|пеку", re.IGNORECASE)
PAST_EN = re.compile(
    r"[a-z-]+ed|led|built|wrote|ran|grew|made|won|taught|sold|kept|brought|cut|drove|held|set|oversaw|began|took|gave|met|spoke|drew|did|found|got|rose",
    re.IGNORECASE,
)
PRESENT_EN = re.compile(
    r"manage|lead|build|develop|maintain|write|design|teach|support|run|handle|prepare|coordinate|create|work|speak|use|help|provide|own|know|plan|test|sell|drive|hold|keep|train|organi[sz]e|process|assist|conduct|perform",
    re.IGNORECASE,
)
ADVERB = re.compile(r"[а-яё]+о|[a-z]+ly|также|летом|зимой|сейчас|раньше|not?|не|also", re.IGNORECASE)
SUBJECT = re.compile(r"(?:я|i|i'm|i’m|мы|we|мой|моя|моё|мои|my|у меня)\s", re.IGNORECASE)
THERE_IS = re.compile(r"^(?:есть|имеется|имеются)\s+", re.IGNORECASE)

# From the accusative of a person back to the nominative; the first that fits is taken.
NOUN_ENDINGS = (
    (re.compile("(?<=[Пп]родав)(?:ца|цов)$"), "ец"),
    (re.compile("телей$|теля$"), "тель"),
    (re.compile("(?<=[бвгджзклмнпрстфхцчшщ])(?:ов|а)$"), ""),
    (re.compile("(?<=[крт])у$"), "а"),
    (re.compile("(?<=н)ю$"), "я"),
    (re.compile("(?<=[рл])я$"), "ь"),
)
LEGAL_FORM = re.compile(r"^(?:компания|ооо|зао|оао|пао|ао|ип)\s+", re.IGNORECASE)
OTHER_YEARS = re.compile(r"\bмне\b|возраст|вожден|водительск|\bage\b|years old|driving", re.IGNORECASE)
