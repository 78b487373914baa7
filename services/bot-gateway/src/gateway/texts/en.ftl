### Everything the bot says in English. There is no markup: texts are sent as they are.

## First words

greeting =
    Hello! I am Pismo. Send me a vacancy and your résumé, and I will write a cover letter: no fluff, no clichés, no invented facts.
greeting-again = Welcome back!
left =
    { $left ->
        [one] You have { $left } more letter
       *[other] You have { $left } more letters
    } { $window ->
        [day] today
       *[month] this month
    }.
left-none = The letters of your plan are used up. New ones come on { $day }.
language-question = Which language do you prefer?
language-chosen = Language: English.
language-ru = Русский
language-en = English

## Consents

consent-processing-question =
    To write a letter I need to read your résumé. Do you agree to the processing of your personal data? Texts are kept encrypted. Details: /privacy
consent-processing-agree = I agree
consent-processing-refuse = I do not agree
consent-processing-given = ✓ Data processing: you agreed.
consent-processing-refused = Data processing: you did not agree.
consent-processing-needed =
    Without this consent I cannot read a résumé or write a letter. What is kept and why: /privacy. If you change your mind, press the button.
consent-foreign-ai-question =
    AI models abroad write best. May the texts of the vacancy and the résumé be sent to them? If not, only models at home will write.
consent-foreign-ai-agree = Allow
consent-foreign-ai-refuse = Do not allow
consent-foreign-ai-given = ✓ AI abroad: you allowed it.
consent-foreign-ai-refused = AI abroad: not allowed, only models at home write.
consent-marketing-question = Now and then I tell about news and discounts. May I send you such messages?
consent-marketing-agree = Send them
consent-marketing-refuse = Do not send them
consent-marketing-given = ✓ News and discounts: yes.
consent-marketing-refused = News and discounts: no.
consent-answered = You have answered already. You can change the answer in /privacy.

## Vacancy and résumé

ask-vacancy = Send me the text of the vacancy, in one message or several in a row.
ask-resume =
    { $title ->
        [none] I have read the vacancy.
       *[other] I have read the vacancy: “{ $title }”.
    } Now send me your résumé as text.
draft-lost = This vacancy is no longer kept. Please send it once more.
ask-wish = What should change? Say it in your own words, for instance: “shorter, and more about leading a team”.
    If you have changed your mind, /new starts a new letter.
busy = I am still writing. Wait for the letter, or press “Stop” under it.
already-writing = This letter is being written already.

## While a letter is written

delivery-accepted = Got it. Your letter joins the queue…
delivery-queued =
    { $position ->
        [1] ⏳ You are next in the queue.
       *[other] ⏳ Your place in the queue: { $position }.
    }{ $unit ->
        [seconds] {" "}I will begin in about { $wait } s.
        [minutes] {" "}I will begin in about { $wait } min.
       *[none] {""}
    }
delivery-resting = ⏳ The models do not answer just now. I will try again; if it fails, nothing is charged.
delivery-writing = ✍️ Writing…
button-stop = Stop
delivery-cancelled =
    { $kind ->
        [revision] Stopped. The earlier letter is still above.
       *[letter] Stopped, nothing was charged.
    }
stopped = Stopping.
stop-too-late = This letter is not being written any more.
failure-timed-out =
    { $kind ->
        [revision] I could not revise the letter in time. The earlier one is still above, nothing was charged.
       *[letter] I could not write the letter in time. Sorry! Nothing was charged.
    }
failure-models-failed =
    { $kind ->
        [revision] No model managed this revision. The earlier letter is still above, nothing was charged.
       *[letter] No model managed this letter. Sorry! Nothing was charged.
    }
failure-internal =
    { $kind ->
        [revision] The letter could not be revised. The earlier one is still above, nothing was charged.
       *[letter] The letter could not be written. Sorry! Nothing was charged.
    }
letter-gone = This letter is no longer kept.
letter-unshown = The letter is ready, but it could not be shown here. It waits for you in /history.
button-new-letter = New letter
button-wish-again = Ask once more

## Rating

rating-question =
    { $kind ->
        [revision] Revised. Is it better now?
       *[letter] Done! How do you like the letter?
    }
button-like = 👍 I like it
button-dislike = 👎 Improve it
rated-like = 👍 Thank you! I am glad it fits. Good luck with your application!
rated-dislike = 👎 Thank you for being honest.
rate-later = I am writing another letter just now. Please rate this one a little later.
no-revisions-left =
    { $limit ->
        [one] The only revision
       *[other] All { $limit } revisions
    } of this letter are used. You can start a new one: another résumé makes another letter.

## Commands

command-start = Begin
command-new = New letter
command-plan = Plan and allowance
command-history = My letters
command-help = Help
command-language = Language
command-privacy = My data and consents
command-terms = Terms
help =
    I write cover letters. Send a vacancy, then your résumé, and a minute later the letter is there. If you do not like it, press 👎 and say what to change: up to three revisions, free of charge.

    /new: new letter
    /history: my letters
    /plan: plan and how many letters are left
    /language: language
    /privacy: my data and consents
    /terms: terms
plan =
    Plan: { $plan }
    Letters { $window ->
        [day] today
       *[month] this month
    }: { $used } of { $limit }{ $reserved ->
        [0] {""}
       *[other] , being written: { $reserved }
    }
    The allowance renews on { $day }.
plan-free = Free
plan-premium = Premium
history-empty = No letters yet. Send me a vacancy, and the first one will be here.
history-title = Your letters, newest first. Press one to open it:
history-item = { $day } · { $title }
history-untitled = untitled
history-newer = ← Newer
history-older = Older →
history-unfinished = This letter has no text: it was stopped or did not succeed.
button-revise = Change the letter
language-set = We speak English now.
privacy =
    What I keep: your Telegram profile (name, language), your consents, vacancies, résumés and letters. Texts are encrypted with a key of your own, letters are kept for up to 90 days. Nobody gets them but the models that write.

    You can change your consents by the buttons:
privacy-withdraw-processing = Withdraw: data processing
privacy-give-processing = Agree: data processing
privacy-withdraw-foreign-ai = Forbid AI abroad
privacy-give-foreign-ai = Allow AI abroad
privacy-withdraw-marketing = Send me no news
privacy-give-marketing = Send me news
processing-withdrawn = The consent is withdrawn. I process nothing any more. If you change your mind, press the button.
terms =
    A letter counts only when it has been written. A stopped, failed or refused letter costs nothing, and neither do revisions. I rely on your résumé, but read the letter before you send it: the application is yours. Do not send me other people's data without their permission.

## When something else came

unknown-command = There is no such command. All I can do: /help
only-text =
    { $stage ->
        [vacancy] I only understand text so far. Copy the text of the vacancy here.
        [resume] I only understand text so far. Copy the text of your résumé here.
        [wish] I only understand text so far. Say in words what should change.
       *[other] I only understand text so far. To begin a letter, send the text of a vacancy.
    }
no-files =
    { $stage ->
        [resume] I do not read files yet. Open the file and copy the text of your résumé here.
       *[other] I do not read files yet. Open the file and copy its text here.
    }
edited = I see that you edited the message, but I have read the earlier text already. If it matters, begin again: /new
private-only = I write letters in a private chat, where only I see your résumé. Open me and press /start
small-talk = I am always here! To begin a new letter, send the whole text of a vacancy.
old-button = This button no longer works.
slow-down =
    That is too fast. Wait { $seconds } { $seconds ->
        [one] second
       *[other] seconds
    } and try again.
slow-down-writing =
    I write at most { $limit } letters and revisions in five minutes. Wait { $seconds } { $seconds ->
        [one] second
       *[other] seconds
    } and send the text again.
apology = Something broke, and this message could not be handled. Sorry! Nothing was charged. Try again, or begin anew: /new

## Refusals of services

error-letter-not-found = This letter is not there any more. Begin a new one: /new
error-letter-already-submitted = This letter is being written already.
error-letter-not-completed = This letter has no text yet.
error-revisions-exhausted =
    { $limit ->
        [one] The only revision
       *[other] All { $limit } revisions
    } of this letter are used. You can begin a new one: /new
error-text-too-large =
    { $field ->
        [vacancy] The vacancy is too long: { $actual } KB, and I read up to { $limit } KB. Send only the description and the requirements.
        [resume] The résumé is too long: { $actual } KB, and I read up to { $limit } KB. Keep what matters most and send it again.
       *[wish] The wish is too long: { $actual } KB, and I read up to { $limit } KB. Say it in fewer words.
    }
error-text-too-short =
    { $field ->
        [vacancy] That is too little for a vacancy. Send its whole text; if it is a link, open it and copy the description.
        [resume] That is too little for a résumé. Say where you worked, as what, and what you can do.
       *[wish] Say a little more about what should change.
    }
error-suspicious-content =
    { $rule ->
        [binary] This does not look like text: it has control characters. Copy the text and send it again.
        [hidden_characters] The text has many invisible characters. Copy it through a plain editor and send it again.
        [flood] The same thing repeats here. Send an ordinary { $field ->
            [vacancy] vacancy
            [resume] résumé
           *[wish] wish
        }.
       *[other] The text has instructions for a machine, not for people. Remove them and send the { $field ->
            [vacancy] vacancy
            [resume] résumé
           *[wish] wish
        } again.
    }
error-allowance-exhausted =
    The letters of your plan are used up: { $used } of { $limit } used{ $reserved ->
        [0] {""}
       *[other] , being written: { $reserved }
    }. New ones come on { $day }. Until then you can revise the letters you have, they are in /history.
error-billing-unavailable = I cannot check your plan just now. Nothing was charged. Try again in a minute.
error-queue-full =
    Too many letters are being written just now. Nothing was charged. Try again in { $seconds } { $seconds ->
        [one] second
       *[other] seconds
    }.
error-idempotency-mismatch = The request did not go through. Nothing was charged. Send the text again.
error-reservation-not-found = The letter could not be accounted for. Nothing was charged. Try again.
error-reservation-resolved = This letter has been accounted for already.
error-invalid-field = The request could not be read. Send the text again, or begin anew: /new
error-overloaded = There are very many requests just now. Nothing was charged. Try again in a minute.
error-draining = The service is restarting. Nothing was charged. Try again in a minute.
error-internal = Something broke on my side. Nothing was charged. Try again in a minute.
error-caller-not-allowed = A service does not recognise me: its settings are wrong, your data is not concerned. Nothing was charged. Try again later.
error-store-unavailable = The store does not answer just now. Nothing was charged. Try again in a minute.
error-service-away = The service does not answer just now. Nothing was charged. Try again in a minute.
