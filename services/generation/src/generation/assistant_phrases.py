"""How assistants talk around the letter they were asked for, as data for `guard`.

All repeats are bounded by the sentence, so that a sentence costs time in proportion to its length.
"""

# ruff: noqa: E501 (a table of phrases)

import re

PREAMBLE = re.compile(
    r"(?:конечно|разумеется|хорошо|отлично|с удовольствием|sure|certainly|of course|absolutely|great|okay|ok|no problem)"
    r"(?: thing|,? помогу)?[!.,:]*"
    r"|(?:(?:конечно|хорошо|отлично|sure|certainly|of course|absolutely)[!.,]\s*)?(?:"
    r"(?:вот|here(?:'|’)?s|here is|below is) (?:ваш|твой|готов|сопров|вариант|пример|проект|черновик|the|an?|your|my)"
    r"[^:\n]{0,120}(?:письм|отклик|вариант|letter|draft|version)[^:\n]{0,100}[:.!]?"
    r"|(?:ниже|представляю|предлагаю|готово|please find|i(?:'|’)ve (?:written|drafted|prepared))"
    r"[^:\n]{0,120}(?:письм|отклик|вариант|letter|draft|version)?[^:\n]{0,100}:)"
    r"|(?:сопроводительное письмо|письмо|cover letter|letter)(?:\s(?:на|для|к|for|to|[–—|-])\s[^.!?:\n]{0,80})?[:.]?"
    r"|(?:тема(?: письма)?|subject(?: line)?|кому|от кого|to|from|date|дата)\s?:[^\n]*",
    re.IGNORECASE,
)
INLINE_PREAMBLE = re.compile(
    r"(?:(?:конечно|хорошо|отлично|sure|certainly|of course)[!.,]\s*)?(?:вот|here(?:'|’)?s|here is|below is)"
    r"[^:\n]{0,120}(?:письм|вариант|letter|draft|version)[^:\n]{0,80}:\s+(?=\S)",
    re.IGNORECASE,
)
POSTSCRIPT = re.compile(
    r"надеюсь,? (?:это|письмо|текст|вам|что это)[^.!?\n]{0,40}(?:помо[жг]|подойд|понрав|пригод)"
    r"|если (?:хотите|нужно|потребуется|необходимо|что-то)[^.!?\n]{0,40}(?:могу|смогу|скажите|сообщите|дайте знать|напишите)"
    r"|дайте знать, если|удачи (?:с|на|в|вам)\b|(?:примечание|комментарий|пояснение|note)s?:|\(?это письмо "
    r"|let me know if|(?:i )?hope this (?:helps|works|letter helps)|feel free to|good luck (?:with|on|in)\b"
    r"|would you like me to|this (?:cover )?letter (?:highlights|emphasi[sz]es|showcases|is)",
    re.IGNORECASE,
)
# Before the signature "let me know if …" may be the applicant speaking; of the text itself only an assistant speaks.
ABOUT_THE_TEXT = re.compile(
    r"письм|текст|вариант|верси[юя]|сократ|отклик|собеседован|letter|draft|version|tweak|tailor|adjust|edit|revis|application|this helps",
    re.IGNORECASE,
)
SIGN_OFF = re.compile(
    r"(?:(?:с (?:глубоким |большим )?уважением|с наилучшими пожеланиями|искренне ваш\w?|(?:best|kind|warm|warmest|kindest)"
    r" (?:regards|wishes)|sincerely(?: yours)?|yours (?:sincerely|faithfully|truly)|respectfully(?: yours)?)(?P<comma>\s?[,.!–—-]?)"
    r"|(?:с благодарностью|regards|best|many thanks|thank you|thanks|cheers),)"
    r"(?P<name>(?:\s+(?-i:[A-ZА-ЯЁ])[\w'’-]*\.?){1,5}|\s+[\[{<(_][^\n]{0,80})?",
    re.IGNORECASE,
)
BLANK = re.compile(
    r"\[[^\]\n]*[^\W\d_][^\]\n]*\]|\{[^}\n]{1,80}\}|<\s?/?[^\W\d_][^>\n]{0,80}>|_{3,}|…{2,}|\.{5,}"
    r"|\b[XХ]{3,}\b|\b[XХ]{2}(?=\s?(?:%|процент|лет\b|год|years?\b|percent))"
    r"|\((?:ваше|ваш|имя|название|your|insert|укажите|вставьте)\b[^)\n]{0,60}\)"
    r"|\b(?:your (?:full )?name|company name|hiring manager(?:'|’)s name|имя фамилия|ваше имя|название компании|lorem ipsum)\b(?=[\s,.!\]]*$)",
    re.IGNORECASE,
)
GREETING_WITH_BLANK = re.compile(
    r"^(?:(?P<ru>уважаем\w+|здравствуйте|добрый день|дорог\w+)|(?P<en>dear|hello|hi|good (?:day|morning)))\b[^.!?\n]{0,100}[,!.:]?$",
    re.IGNORECASE,
)
REFUSAL = re.compile(
    r"\bas an ai(?: language)? (?:model|assistant)\b|\bas an ai,|\bкак (?:языковая модель|ии-ассистент|искусственный интеллект|нейросеть),"
    r"|\bi(?:'m| am)? ?(?:sorry|unable|afraid)?[^.!?\n]{0,30}\b(?:can(?:'|’)?t|cannot|can not|won(?:'|’)t|unable to|not able to)"
    r" (?:help|assist|comply|fulfil|write|create|generate|provide|continue|do that|produce)[^.!?\n]{0,60}(?:with|this|that|request|letter|$)"
    r"|\bя (?:не могу|не смогу|не в состоянии)(?: вам)? (?:помочь|написать|составить|выполнить|создать|сгенерировать|предоставить|обработать|продолжить|ответить)"
    r"|\bне могу (?:помочь|выполнить|написать|составить)[^.!?\n]{0,40}(?:запрос|просьб|письм|этим)",
    re.IGNORECASE,
)
