"""Names of skills and tasks as they stand in vacancies and résumés, in both languages.

This is what lets an English résumé answer a Russian vacancy: «продажи» and "sales" are one skill.
"""

# ruff: noqa: E501 (a skill is one line)

import re
from dataclasses import dataclass

from generation.language import Language

# A line lists skills that are written alike in both languages; a line with `=` holds one skill:
# "Russian name / English name = spellings". `*` is any ending.
_TABLE = """
Django, Flask, FastAPI, Celery, SQLAlchemy, asyncio, Pandas, NumPy, PyTorch, TensorFlow, MySQL, MongoDB, Redis, Kafka
RabbitMQ, ClickHouse, Elasticsearch, Oracle, Docker, Linux, Git, Jenkins, Terraform, Ansible, AWS, GCP, Azure, GraphQL, gRPC
Prometheus, Grafana, Nginx, Bash, PHP, Laravel, Symfony, Ruby, Rails, Rust, Scala, Airflow, Hadoop, dbt, Java, Spring, Kotlin
Android, iOS, Flutter, JavaScript, TypeScript, React, Redux, Vue, Angular, HTML, CSS, Webpack, Selenium, Postman, Pytest
Figma, Sketch, Photoshop, Illustrator, InDesign, Tilda, WordPress, Jira, Confluence, Scrum, Kanban, Agile, Tableau, Excel, CRM
amoCRM, Salesforce, SEO, SMM, HACCP, AutoCAD, SolidWorks, Revit, SAP, ERP, WMS, SQL, GAAP, QuickBooks, Zendesk, B2B, B2C
Python = python, питон*
Go = golang, go
C++ = c++
C# = c#, asp net, net core
Node.js = node js, nodejs
PostgreSQL = postgresql, postgres, постгрес*
Kubernetes = kubernetes, k8s
CI/CD = ci cd, gitlab ci, github actions
REST API = rest api*, restful
Power BI = power bi
Google Analytics = google analytics
Яндекс.Метрика / Yandex Metrica = яндекс метрик*, yandex metri*
1С / 1C = 1с, 1c, 1с*
МСФО / IFRS = мсфо, ifrs
ВЭД / foreign trade = вэд
подготовка к экзаменам / exam preparation = егэ, огэ, exam prep*
UX/UI = ux, ui, ux ui
микросервисы / microservices = микросервис*, microservice*
машинное обучение / machine learning = машинн* обучени*, machine learning, ml
анализ данных / data analysis = анализ* данных, data analy*
тестирование / testing = тестирован*, testing, автотест*, qa
код-ревью / code review = код ревью, code review*
высокие нагрузки / high load = высоконагруж*, highload, high load, нагрузк*
дизайн-системы / design systems = дизайн систем*, design system*
прототипы / prototyping = прототип*, prototyp*
исследования пользователей / user research = user research, usability, юзабилити, исследован* пользовател*, интервью с пользовател*
лендинги / landing pages = лендинг*, landing page*
фирменный стиль / branding = фирменн* стил*, брендинг*, branding, brand identity
мобильные приложения / mobile apps = мобильн* приложени*, mobile app*
продажи / sales = продаж*, sales, selling
холодные звонки / cold calls = холодн* звонк*, холодн* баз*, cold call*
переговоры / negotiations = переговор*, negotiat*
ключевые клиенты / key accounts = ключев* клиент*, key account*
работа с клиентами / work with clients = клиент*, покупател*, гост*, client*, customer*, guest*
Битрикс24 / Bitrix24 = битрикс*, bitrix*
первичная документация / source documents = первичн* документ*, первичн* бухгалтерск*, первичк*, source documents
налоговая отчётность / tax reporting = налог*, ндс, tax, taxes, vat
сверки / reconciliations = сверк*, reconcil*
зарплата / payroll = начислен* зарплат*, расчет* зарплат*, заработн* плат*, payroll
закрытие месяца / month-end close = закрыти* месяца, month end
дебиторская задолженность / receivables = дебиторск*, receivable*
кадровый учёт / HR records = кадров*, hr records
документооборот / document management = документооборот*, делопроизводств*
отчётность / reporting = отчет*, reporting, reports
бюджетирование / budgeting = бюджет*, budget*
инъекции / injections = инъекци*, укол*, injection*
внутривенные процедуры / IV therapy = внутривенн*, капельниц*, катетер*, intravenous, iv, catheter*
перевязки / wound care = перевязк*, wound*
забор крови / blood draws = забор* крови, взяти* крови, blood draw*, phlebotomy
уход за пациентами / patient care = пациент*, больными, patient*
медицинская документация / medical records = медицинск* документ*, medical record*, charting
санитарный режим / infection control = санэпид*, санпин*, стерилизац*, infection control, steril*
первая помощь / first aid = перв* помощ*, неотложн* помощ*, first aid, cpr, bls
водительское удостоверение / driving licence = водительск*, прав* категор*, права b, права в, категори* b, категории в, driving licen*, driver* licen*
доставка / delivery = доставк*, доставля*, delivery, deliver*
знание города / knowing the city = знан* города, район* города, know* the city
касса / cash desk = касс*, cash
склад / warehouse = склад*, warehouse*
логистика / logistics = логисти*, маршрут*, logistic*, route*
закупки / procurement = закупк*, procurement, purchasing
инвентаризация / stock-taking = инвентаризац*, inventory
преподавание / teaching = преподава*, урок*, заняти*, учител*, teach*, lesson*, classroom
учебные программы / curriculum = учебн* програм*, рабочи* програм*, curricul*, lesson plan*
классное руководство / class tutoring = классн* руковод*, homeroom
работа с родителями / work with parents = родител*, parent*
управление командой / team leadership = управлен* команд*, руководил*, руководств* команд*, руководств* отдел*, управлен* персонал*, наставнич*, team lead*, led a team, leadership, mentor*
управление проектами / project management = управлен* проект*, ведени* проект*, project manag*
подбор персонала / recruiting = подбор*, найм*, рекрут*, recruit*, hiring
обучение сотрудников / staff training = обучени* сотрудник*, обучал*, адаптаци*, onboarding, trained, training
контекстная реклама / paid search = контекстн* реклам*, яндекс директ, google ads, ppc
тексты / copywriting = копирайт*, написан* текст*, copywriting
контент / content = контент*, content
деловая переписка / business correspondence = делов* переписк*, correspondence
приготовление блюд / cooking = приготовлен*, кухн*, повар*, cooking, kitchen, dishes
ремонт / repairs = ремонт*, repair*
чертежи / drawings = чертеж*, drawings
английский язык / English = английск*, english
немецкий язык / German = немецк*, german
китайский язык / Chinese = китайск*, chinese
испанский язык / Spanish = испанск*, spanish
французский язык / French = французск*, french
"""

_TOKEN = re.compile(r"[\w+#]+")


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill with its name in each language, for lists: Russian names are in the nominative."""

    ru: str
    en: str

    def named(self, language: Language) -> str:
        """Its name in `language`."""
        return self.ru if language == "ru" else self.en


def words(text: str) -> list[str]:
    """The words of `text` in lower case, with ё as е; "C++" and "C#" are words."""
    return _TOKEN.findall(text.lower().replace("ё", "е"))


def _spellings() -> dict[str, list[tuple[tuple[str, ...], Skill]]]:
    """Each spelling by its first word; that and the others as they stand in the table."""
    index: dict[str, list[tuple[tuple[str, ...], Skill]]] = {}
    for line in _TABLE.strip().split("\n"):
        names, _, spellings = line.partition(" = ")
        for name in [names] if spellings else names.split(", "):
            ru, _, en = name.partition(" / ")
            skill = Skill(ru, en or ru)
            for spelling in (spellings or name).lower().split(", "):
                parts = tuple(re.findall(r"[\w+#]+\*?", spelling))
                index.setdefault(parts[0], []).append((parts, skill))
    return index


_INDEX = _spellings()
_SHORTEST_STEM = 2


def skills_in(text: str) -> tuple[Skill, ...]:
    """The skills that `text` names, each once, in the order of their first mention."""
    tokens = words(text)
    found: dict[Skill, None] = {}
    for place, token in enumerate(tokens):
        stems = [token, *(f"{token[:size]}*" for size in range(_SHORTEST_STEM, len(token) + 1))]
        for parts, skill in (entry for stem in stems for entry in _INDEX.get(stem, ())):
            following = tokens[place : place + len(parts)]
            if len(following) == len(parts) and all(map(_fits, parts, following)):
                found.setdefault(skill)
    if "Go" in {skill.ru for skill in found} and not re.search(r"\bGo\b(?! [a-z])|[Gg]olang", text):
        found.pop(Skill("Go", "Go"))
    return tuple(found)


def _fits(spelling: str, token: str) -> bool:
    return token.startswith(spelling[:-1]) if spelling.endswith("*") else token == spelling
