"""What attackers write to models, as data for `text_rules`.

A line is a template over words with one space between them: `word*` takes any ending, ` ~ ` up to five words
between, `(…)*` up to four of these; the rest is a regular expression without unbounded repeats. The nouns are kept narrow
on purpose: people do write "ignore previous experience requirements" and «забудьте все правила скучного офиса».
"""

# ruff: noqa: E501 (a template is one line)

import re
from enum import StrEnum


class Rule(StrEnum):
    """Why a text is suspicious; a name that people may be shown."""

    BINARY = "binary"
    """Control characters, or bytes that were no text."""
    HIDDEN_CHARACTERS = "hidden_characters"
    """Zero-width, tag or direction characters in quantity."""
    FLOOD = "flood"
    """One character, word or line over and over."""
    MACHINE_MARKUP = "machine_markup"
    """Chat templates, role headers and forged fences."""
    OVERRIDE_INSTRUCTIONS = "override_instructions"
    """Tells a model to drop what it was told."""
    REVEAL_SECRETS = "reveal_secrets"
    """Asks a model for its prompt or keys."""
    ROLE_CHANGE = "role_change"
    """Tells a model to be somebody else."""
    ADDRESSED_TO_MACHINE = "addressed_to_machine"
    """Speaks to whatever program reads it, not to people."""
    ENCODED_INSTRUCTIONS = "encoded_instructions"
    """Any of the above, wrapped in base64 or hexadecimal."""


QUOTED_AS_EXAMPLE = (
    "attacks like", "attacks such as", "injections like", "injections such as", "phrases like", "prompts like",
    "атак вида", "атак типа", "атаки вида", "атаки типа", "инъекций вида", "инъекции вида", "фраз вроде", "запросов вида",
)  # fmt: skip
"""What stands before an attack that a vacancy for a security engineer merely quotes."""

# Over lower-case text with its punctuation.
MARKUP = re.compile(
    r"<\|[a-z_]{2,30}\|>|<</?sys>>|\[/?(?:inst|system|sys|assistant)\]|</?s>|<(?:start|end)_of_turn>"
    r"|</?(?:system|assistant|human|instructions?|prompt|tool_call|function_call|vacancy|resume|im_start|im_end)"
    r"(?: [^<>\n]{0,60})?>"
    r"|[\"']role[\"'] ?: ?[\"'](?:system|assistant|user)"
    r"|^[ \t]{0,8}#{1,6} ?(?:system|assistant|user|human|instruction|response|система)(?: (?:message|prompt))? ?:"
    r"|^[ \t]{0,8}[*_#>\[(]{0,4}(?:system|assistant|ai|система|ассистент)(?: (?:message|prompt|note))?[*_\])]{0,4} ?: ?[*_]{0,4} ?"
    r"(?:you (?:are|must|will)|ignore|disregard|forget|override|new instr|ты |игнорир|забудь|новые инстр)"
    r"|^(?:human|user): ?[^\n]{0,500}\n{1,2}assistant:"
    r"|[-=#*<\[]{2,9} ?(?:end of|конец) (?:the |input |job |user )?"
    r"(?:vacancy|resume|résumé|cv|prompt|data|input|document|description|instructions?"
    r"|вакансии|резюме|промпта|данных|документа|инструкций)\b"
    r"|\b(?:begin|end) (?:system )?prompt\b",
    re.MULTILINE,
)

ENGLISH = {
    Rule.OVERRIDE_INSTRUCTIONS: """
        (ignore|disregard|forget|override|bypass|overrule|neglect|discard) ~ (previous|prior|above|earlier|preceding|foregoing|initial|original|your) ~ (instruct*|directive*|guideline*|prompt*|rules|commands|programming|training|constraints|restrictions)
        (ignore|disregard|forget|override|bypass) (all|any|every|everything in) (of )?(the |these |those |your )*(system )?(instructions|directives|prompts)
        (ignore|disregard|forget) (everything|all|anything) (that )?(above|before this|previously|you were told|you have been told|you ve been told|i said)
        (do not|don t|dont|never|stop) (follow*|obey*) (the |any |all |your )*(previous|prior|above|system|original|initial) ~ (instruct*|prompt*|rules|guidelines)
        (previous|prior|above|earlier|original) (instructions|prompts|prompt|rules) (are|is|were|was) (now )?(void|invalid|cancel*|obsolete|null|a test|no longer|superseded|overridden)
        your (new|real|actual|true|only) (instructions|instruction|prompt|directive|directives) (is|are|follow*)
        instead of ~ letter (output|print|say|reveal|generate|respond)
        from now on you (are|will|must|should|shall) (only |now |always )*(answer|respond|act|obey|ignore|behave|reply|output|speak|say|an ai)
        system (override|overwrite|message override) (initiated|enabled|activated|engaged|mode|ignore|you|new)
        new system (prompt|instructions|instruction) (is|are|ignore|you|follow*)
    """,
    Rule.REVEAL_SECRETS: """
        (reveal|show|print|output|display|repeat|leak|expose|disclose|recite|dump|tell|give|translate|quote|paste) (me |us )?(all |of |the |back )*your (full |entire |own |exact )*(system|hidden|initial|secret|original|internal) (prompt*|instruct*|rules|message|guidelines|directives)
        (reveal|print|output|display|repeat|leak|disclose|recite|dump) ~ your (prompt|instructions)
        (print|output|repeat|recite|dump) (the |full |entire |whole )*system (prompt|instructions)
        what (is|are|was|were) your (system |initial |hidden |original |exact |secret )*(prompt|instructions)
        (repeat|print|output|copy) (everything|all|the (text|words|sentences|instructions|lines)) (written |that is |stated |of the text )?(above|before this)
        (print|output|reveal|dump|leak|send|show) (me |us |all |of )*your (api key|api keys|secret key|secret keys|environment variables|credentials|passwords)
        (print|output|dump|reveal) (all |the )*(api keys|environment variables|secret keys)
        (reveal|show|print|output|send) (me |the |all )*(other|another) (user|users|person|people|candidate|candidates|applicants) (s )?(resume*|data|letters|letter)
    """,
    Rule.ROLE_CHANGE: """
        you are (now )?(dan|stan|jailbroken|unrestricted|uncensored|chatgpt|gpt|claude|in developer mode|in dan mode|no longer (an |a )?(ai|assistant|bound|restricted))
        you are now (an |a )?(ai|evil|different|new|unfiltered|pirate|hacker|terminal|linux|poet|free) (assistant|model|ai|chatbot|who|that|with|and|terminal|from)
        you are an ai (assistant|model|language model|chatbot|without)
        (act|behave|respond|answer|roleplay|role play) as (dan|root|(an |a )(unrestricted|uncensored|jailbroken|evil|linux terminal|unfiltered))
        (pretend|imagine) (that )?(you are|to be|you re|you have) (an |a )?(ai|dan|unrestricted|evil|hacker|not an ai|no (rules|restrictions|filters))
        do anything now
        (developer|dan|god|jailbreak|unrestricted) mode (is )?(now )?(enabled|activated|engaged|unlocked)
        (enter|enable|activate|switch to) (dan|god|jailbreak|unrestricted) mode
    """,
    Rule.ADDRESSED_TO_MACHINE: """
        if you are (an |a |the )*(ai|llm|chatgpt|gpt|large language model|language model|bot|chatbot|robot)( model| assistant| system)?( reading this| processing this| then| please)* (write|say|output|print|add|include|mention|respond|use|start|insert|put|type|begin|ignore|recommend|rate)
        (attention|note to|message to) (all |the |any )*(ai|llm|llms|chatgpt|language model|language models)( assistant| assistants| model| models| system| systems)?( reading this| processing this)* (you|please|do|must|ignore|write|include|add|always|say|output|rate|recommend|print|disregard|the candidate)
        (respond|reply|answer) only with (the )?(word|phrase|string)
        (print|output|say) (only )?(the )?(word |phrase )?(pwned|hacked|i have been pwned|owned)
    """,
}

RUSSIAN = {
    Rule.OVERRIDE_INSTRUCTIONS: """
        (игнорируй*|проигнорируй*|забудь|забудьте|отбрось*|отмени|отмените|сбрось*|не учитывай*|не следуй*|не выполняй*|не соблюдай*|не обращай* внимания на|нарушь*|обойди|обойдите|перестань* (следовать|выполнять)|прекрати* (следовать|выполнять)) ~ (предыдущ*|прошл*|прежн*|предшеств*|вышеуказанн*|вышестоящ*|выше|системн*|изначальн*|исходн*|первоначальн*|твои|твоим|твоих|данные тебе) ~ (инструкци*|указани*|команд*|правил*|промпт*|промт*|директив*|ограничени*|установк*|запрет*|подсказк*)
        (игнорируй*|проигнорируй*|забудь|забудьте|отбрось*|не следуй*|не выполняй*|не учитывай*) (про |о |об )?(все|всем|всех|любые|любых|любым|свои|своих|своим|эти) (эти |свои |мои )?(инструкци*|указани*|промпт*|промт*|директив*)
        (забудь|забудьте|игнорируй*|проигнорируй*) (про |о |об )?(все|всем) (то )?(что )?(было |написано |сказано |говорилось |указано )*(выше|до этого|ранее|тебе (говорили|сказали|велели))
        (предыдущ*|прошл*|прежн*|исходн*|все) (инструкции|указания|промпты|правила) (теперь |больше )?(игнорируй*|забудь*|отменены|отменяются|недействительны|не действуют|аннулированы|неактуальны)
        вместо ~ письма (выведи|выведите|напечатай|сгенерируй|выдай|верни)
        (вот )?(твои|ваши) (новые|настоящие|реальные) (инструкции|указания)
        (новые|новая) (системные |системная )?(инструкции|инструкция|команда|директива) для (тебя|модели|ии|нейросети|ассистента|бота)
        (с этого момента|отныне) ты (будешь |должен |должна |обязан |только )*(отвечать|отвечаешь|выполнять|выполняешь|игнорировать|игнорируешь|слушать|слушаешься|подчиняться|подчиняешься|ии|нейросеть|бот|не ассистент)
    """,
    Rule.REVEAL_SECRETS: """
        (покажи|выведи|раскрой|напечатай|повтори|процитируй|перескажи|сообщи|выдай|назови|распечатай|озвучь|скинь|пришли|напиши|опиши|открой|покажите|выведите|раскройте|напечатайте|повторите|процитируйте|сообщите|назовите) (мне |нам )?(весь |полностью |дословно |все |всю |текст )*(свой|свои|свою|твой|твои|твою|ваш|ваши|твоего|своего|своих) (полный |полные |скрытый |скрытые )*(системн*|скрыт*|начальн*|изначальн*|исходн*|секретн*|внутренн*|первоначальн*)( системн*)? (промпт*|промт*|инструкци*|сообщени*|подсказк*|запрос*|настройк*|указани*)
        (покажи|выведи|раскрой|напечатай|повтори|процитируй|выдай|распечатай|скинь|выведите|раскройте|напечатайте|повторите) (мне |нам )?(весь |полностью |дословно |текст |полный |содержимое )*(системный промпт|системный промт|системного промпта|системного промта|системные инструкции|системное сообщение|свой промпт|твой промпт|свой промт|твой промт|свои инструкции|твои инструкции)
        (какой|какие|каков|каковы) (у тебя |твой |твои |у вас )(системн* |исходн* |скрыт* )*(промпт|промт|инструкции)
        (повтори|выведи|напечатай|скопируй|процитируй) (весь |все )*(текст )?(что )?(написано |было )*(выше|до этого)
        (выведи|покажи|раскрой|напечатай|пришли) (мне |все |свой |свои |твой |твои )*(api ключ*|ключи api|переменные окружения|секретные ключи|секретный ключ|токен доступа|токены доступа)
        (покажи|выведи|пришли|раскрой) (мне |все )*(чужие|чужое|резюме других|данные других|письма других)
    """,
    Rule.ROLE_CHANGE: """
        (ты теперь|теперь ты|ты больше не|теперь вы|вы теперь) (просто |уже |не )*(dan|дан|без ограничений|пират*|хакер*|злой|другая модель|другой (ии|бот|ассистент)|ии|ai|нейросеть|нейронка|бот|чат бот|ассистент|языковая модель|chatgpt|gpt|свободн* от|связан* (правил*|ограничени*)|в режиме)
        (представь|притворись|вообрази|представьте) что ты (dan|дан|злой|хакер*|ии|нейросеть*|языков* модел*|не связан*|без ограничений|не ии)
        (веди себя|действуй|отвечай|пиши) как (dan|дан|злой|хакер|пират|ии без|нейросеть без|линукс терминал)
        режим (разработчика|бога|dan|дан|джейлбрейк*|без ограничений) (включен|активирован|разблокирован)
        (включи|активируй|перейди в) режим (разработчика|бога|dan|дан|джейлбрейк*|без ограничений)
        (ты|вы) (большая )?(языковая модель|нейросеть|ии ассистент|ai ассистент|chatgpt|чат бот) (без|котор*|и|твоя|должн*)
    """,
    Rule.ADDRESSED_TO_MACHINE: """
        если (ты|вы|это читает) (это )?(ии|ai|нейросеть|нейронка|нейросетка|бот|робот|чат бот|chatgpt|gpt|чатгпт|языковая модель|llm|искусственный интеллект)( читаешь это| читающий это| то| обязательно)* (напиши*|добавь*|ответь*|укажи*|вставь*|скажи*|начни*|используй*|выведи*|упомяни*|поставь*|игнорируй*|оцени*)
        (внимание|обращение к|инструкция для|сообщение для|команда для) (ии|ai|нейросет*|нейронк*|языков* модел*|llm|chatgpt|бот*|ассистент*) (ты|вы|напиши*|игнорируй*|выведи*|добавь*|ответь*|обязательно|забудь*|оцени*|рекомендуй*|сообщи*|вставь*|если)
        (ответь|отвечай|напиши|выведи|скажи) (только|лишь|просто|единственное|одно) (одно |одним |единственным )?(слово|словом|фразу|фразой)
        (выведи|напиши|скажи) (слово )?(взломано|взломан|pwned|hacked)
    """,
}
