// The chat page: columns of people talking to one bot. All state is the server's; this file shows it and sends what
// people do. Texts reach the document as text nodes only, never as markup.

const RU = navigator.language.toLowerCase().startsWith("ru");
const say = RU
  ? {
      title: "Чат-песочница", add: "Добавить человека", addShort: "Человек", theme: "Сменить тему", columns: "Люди", bots: "Бот",
      waiting: "Ждём, когда бот подключится…", offline: "Нет связи с песочницей, переподключаемся…", bot: "бот", typing: "печатает",
      log: "Сообщения", messageAs: "Сообщение от имени", placeholder: "Сообщение", send: "Отправить", attach: "Прикрепить файл",
      commands: "Команды", start: "Начать", welcome: "Чат пока пуст. Нажмите «Начать», чтобы бот поздоровался.", edited: "изменено",
      newPerson: "Новый человек", person: "Профиль", firstName: "Имя", lastName: "Фамилия", language: "Язык Telegram", number: "Номер (необязательно)",
      cancel: "Отмена", save: "Сохранить", create: "Добавить", block: "Заблокировать бота", unblock: "Разблокировать бота", closeChat: "Убрать с экрана",
      ok: "Понятно", open: "Открыть ссылку?", yes: "Открыть", pay: "Заплатить", copied: "Скопировано", more: "Показать целиком", less: "Свернуть",
      today: "Сегодня", yesterday: "Вчера", down: "К последним сообщениям", asPhoto: "как фото", remove: "Убрать файл", drop: "Отпустите файл, чтобы прикрепить",
      download: "Скачать", paid: "Оплачено", refunded: "Возвращено", declined: "Платёж отклонён", unsupported: "Этой кнопке здесь нечего открыть",
      sticker: "Стикер", voice: "Голосовое сообщение", video_note: "Видеосообщение", location: "Геопозиция", contact: "Контакт", photo: "Фото",
      me: "Вы", spoiler: "Показать скрытый текст", edit: "Изменить профиль", units: ["Б", "КБ", "МБ"],
    }
  : {
      title: "Sandbox chat", add: "Add a person", addShort: "Person", theme: "Switch theme", columns: "People", bots: "Bot",
      waiting: "Waiting for a bot to connect…", offline: "The sandbox is out of reach, reconnecting…", bot: "bot", typing: "typing",
      log: "Messages", messageAs: "Message as", placeholder: "Message", send: "Send", attach: "Attach a file",
      commands: "Commands", start: "Start", welcome: "Nothing here yet. Press Start and the bot will say hello.", edited: "edited",
      newPerson: "New person", person: "Profile", firstName: "First name", lastName: "Last name", language: "Telegram language", number: "Number (optional)",
      cancel: "Cancel", save: "Save", create: "Add", block: "Block the bot", unblock: "Unblock the bot", closeChat: "Remove from screen",
      ok: "OK", open: "Open this link?", yes: "Open", pay: "Pay", copied: "Copied", more: "Show all", less: "Show less",
      today: "Today", yesterday: "Yesterday", down: "To the latest messages", asPhoto: "as a photo", remove: "Remove the file", drop: "Drop the file to attach it",
      download: "Download", paid: "Paid", refunded: "Refunded", declined: "Payment declined", unsupported: "This button has nothing to open here",
      sticker: "Sticker", voice: "Voice message", video_note: "Video message", location: "Location", contact: "Contact", photo: "Photo",
      me: "You", spoiler: "Show hidden text", edit: "Edit profile", units: ["B", "KB", "MB"],
    };

const LOCALE = RU ? "ru" : "en";
const clockFormat = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit" });
const dayFormat = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "long" });
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const PRESS_PATIENCE_MS = 15000;
const GROW_MS = 700; // an edit's new words appear within this

// Small building blocks

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const ICONS = {
  send: "M3.4 20.4 21.5 12 3.4 3.6l-.4 6.6L15 12 3 13.8z",
  attach: "M20 11.5l-8.2 8.2a5.2 5.2 0 0 1-7.4-7.4l8.6-8.6a3.5 3.5 0 0 1 5 5l-8.6 8.5a1.7 1.7 0 0 1-2.5-2.4l7.9-7.9",
  add: "M12 5v14M5 12h14",
  sun: "M12 4V2M12 22v-2M4 12H2M22 12h-2M6.3 6.3 4.9 4.9M19.1 19.1l-1.4-1.4M6.3 17.7l-1.4 1.4M19.1 4.9l-1.4 1.4M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  down: "M6 9l6 6 6-6",
  close: "M6 6l12 12M18 6 6 18",
  more: "M12 5.5v.01M12 12v.01M12 18.5v.01",
};

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", ICONS[name]);
  if (name === "more") path.setAttribute("stroke-width", "3");
  svg.append(path);
  return svg;
}

function ticks() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 17 12");
  svg.setAttribute("class", "tick");
  svg.setAttribute("aria-hidden", "true");
  for (const [d, kind] of [["M1.2 6.6l3.2 3.2L10.6 2.6", "first"], ["M7.6 9.2l.8.6L15 2.6", "second"]]) {
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("d", d);
    path.setAttribute("class", kind);
    svg.append(path);
  }
  return svg;
}

const face = (name, id) => make("span", { class: `face tone-${id % 7}`, "aria-hidden": "true" }, [...(name || "?")][0].toUpperCase());
const fullName = (person) => [person.first_name, person.last_name].filter(Boolean).join(" ");
const size = (bytes) => {
  const step = bytes < 1024 ? 0 : bytes < 1024 * 1024 ? 1 : 2;
  return `${(bytes / 1024 ** step).toLocaleString(LOCALE, { maximumFractionDigits: step && bytes < 10 * 1024 ** step ? 1 : 0 })} ${say.units[step]}`;
};

function day(unixSeconds) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const then = new Date(unixSeconds * 1000).setHours(0, 0, 0, 0);
  if (then === midnight) return say.today;
  return Math.round((midnight - then) / 86400000) === 1 ? say.yesterday : dayFormat.format(then);
}

async function call(method, path, body) {
  const bot = page.bot ? `?bot=${page.bot.id}` : "";
  const form = body instanceof FormData;
  const response = await fetch(`/sandbox/${path}${bot}`, {
    method,
    body: form ? body : body && JSON.stringify(body),
    headers: form || !body ? {} : { "Content-Type": "application/json" },
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? response.statusText);
  return answer;
}

function ask(text, yes, withCancel) {
  const dialog = document.getElementById("alert");
  dialog.querySelector("#alert-text").textContent = text;
  dialog.querySelector(".primary").textContent = yes;
  dialog.querySelector("[value=cancel]").hidden = !withCancel;
  dialog.returnValue = "";
  dialog.showModal();
  dialog.querySelector(".primary").focus();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

// Text and its entities (offsets are UTF-16 units, as are JavaScript's)

const BLOCKS = new Set(["pre", "blockquote", "expandable_blockquote"]);
const TAGS = { bold: "b", italic: "i", underline: "u", strikethrough: "s", code: "code" };

function words(text, entities, column) {
  const fragment = document.createDocumentFragment();
  build(fragment, 0, text.length, entities.filter((entity) => entity.offset < text.length));
  return fragment;

  function build(parent, from, to, inside) {
    let at = from;
    for (let index = 0; index < inside.length; ) {
      const entity = inside[index];
      const end = Math.min(entity.offset + entity.length, to);
      const block = BLOCKS.has(entity.type);
      const before = text.slice(at, entity.offset);
      parent.append(block ? before.replace(/\n$/, "") : before);
      let next = index + 1;
      while (next < inside.length && inside[next].offset < end) next += 1;
      const element = dress(entity, text.slice(entity.offset, end));
      build(element.firstElementChild ?? element, entity.offset, end, inside.slice(index + 1, next));
      parent.append(element);
      if (entity.type === "expandable_blockquote" && end - entity.offset > 150) parent.append(unfolder(element));
      at = block && text[end] === "\n" ? end + 1 : end;
      index = next;
    }
    parent.append(text.slice(at, to));
  }

  function dress(entity, part) {
    switch (entity.type) {
      case "text_link": return link(entity.url);
      case "url": return link(/^[a-z]+:/i.test(part) ? part : `https://${part}`);
      case "email": return link(`mailto:${part}`);
      case "pre": return make("pre", {});
      case "blockquote": return make("blockquote", {});
      case "expandable_blockquote": return make("blockquote", { class: part.length > 150 ? "folded" : "" });
      case "mention": case "hashtag": case "text_mention": return make("span", { class: "mention" });
      case "bot_command": return make("button", { type: "button", class: "command", onclick: () => column.send(part) });
      case "spoiler": {
        const cover = make("span", { class: "spoiler", role: "button", tabIndex: 0, "aria-label": say.spoiler }, make("span"));
        const show = () => {
          cover.classList.add("shown");
          for (const name of ["role", "tabindex", "aria-label"]) cover.removeAttribute(name);
        };
        cover.addEventListener("click", show);
        cover.addEventListener("keydown", (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), show()));
        return cover;
      }
      default: return make(TAGS[entity.type] ?? "span");
    }
  }

  function link(url) {
    return /^(https?|mailto|tg|tel):/i.test(url) ? make("a", { href: url, target: "_blank", rel: "noopener noreferrer" }) : make("span");
  }

  function unfolder(quote) {
    const button = make("button", { type: "button", class: "unfold", textContent: say.more, "aria-expanded": "false" });
    button.addEventListener("click", () => {
      const folded = quote.classList.toggle("folded");
      button.textContent = folded ? say.more : say.less;
      button.setAttribute("aria-expanded", String(!folded));
    });
    return button;
  }
}

// One message

class Message {
  constructor(column, view) {
    this.column = column;
    this.element = make("article", { class: "message" });
    this.shown = 0;
    this.apply(view, false);
  }

  apply(view, live) {
    const before = this.view;
    this.view = view;
    const out = view.from === "person";
    this.element.classList.toggle("out", out);
    this.element.classList.toggle("seen", view.seen);
    this.element.classList.toggle("has-buttons", view.buttons.length > 0);
    if (before && JSON.stringify({ ...before, seen: 0 }) === JSON.stringify({ ...view, seen: 0 })) return;
    cancelAnimationFrame(this.frame);
    const kept = before ? commonPrefix(before.text, view.text) : view.text.length;
    const grows = live && before && !calm.matches && !document.hidden && view.text.length > kept && kept >= before.text.length * 0.6;
    const from = grows ? Math.min(kept, this.shown) : view.text.length;
    this.render();
    this.grow(from);
  }

  service() {
    const { successful_payment: paid, refunded_payment: refunded } = this.view;
    const payment = paid ?? refunded;
    return payment && `${paid ? say.paid : say.refunded}: ${price(payment.total_amount, payment.currency)}`;
  }

  render() {
    const { view, column } = this;
    const service = this.service();
    if (service) {
      this.element.className = "service";
      this.element.replaceChildren(service);
      return;
    }
    this.words = make("div", { class: "words" });
    const edited = view.edit_count > 0 ? `${say.edited} ` : "";
    const time = make("time", { dateTime: new Date(view.date * 1000).toISOString(), textContent: edited + clockFormat.format(view.date * 1000) });
    const out = view.from === "person";
    this.meta = make("span", { class: "meta" }, time, out ? ticks() : null);
    this.words.style.setProperty("--meta", `${time.textContent.length * 6.4 + (out ? 30 : 12)}px`);
    const author = make("span", { class: "unseen", textContent: `${out ? fullName(column.person ?? { first_name: say.me }) : page.bot?.name ?? say.bot}: ` });
    this.bubble = make("div", { class: "bubble" }, author, this.quote(), this.attachment(), this.words, this.meta);
    this.element.replaceChildren(this.bubble, ...(view.buttons.length ? [this.keys()] : []));
  }

  // Shows the text up to `from` at once and the rest over GROW_MS, so that a letter grows instead of jumping.
  grow(from) {
    if (!this.words) return;
    const { text, entities } = this.view;
    const draw = (length) => {
      this.shown = length;
      const stuck = this.column.stuck;
      this.words.replaceChildren(words(text.slice(0, length), entities, this.column));
      if (stuck) this.column.scrollDown();
    };
    if (from >= text.length) {
      this.bubble.removeAttribute("aria-busy");
      draw(text.length);
      return;
    }
    this.bubble.setAttribute("aria-busy", "true");
    const began = performance.now();
    const step = (now) => {
      const part = Math.min((now - began) / GROW_MS, 1);
      let length = from + Math.round((text.length - from) * part);
      if (/[\uD800-\uDBFF]/.test(text[length - 1] ?? "")) length += 1;
      draw(length);
      if (part < 1) this.frame = requestAnimationFrame(step);
      else this.bubble.removeAttribute("aria-busy");
    };
    draw(from);
    this.frame = requestAnimationFrame(step);
  }

  finish() {
    if (this.words && this.shown < this.view.text.length) {
      cancelAnimationFrame(this.frame);
      this.grow(this.view.text.length);
    }
  }

  quote() {
    const replied = this.column.messages.get(this.view.reply_to_message_id);
    if (!replied) return null;
    const show = () => replied.element.scrollIntoView({ block: "center", behavior: calm.matches ? "auto" : "smooth" });
    return make("button", { type: "button", class: "quote", textContent: replied.view.text.slice(0, 120) || replied.view.document?.file_name || "…", onclick: show });
  }

  attachment() {
    const { view } = this;
    const { document: file, photo, sticker, invoice } = view;
    if (file) {
      const name = file.file_name ?? "file";
      const extension = name.includes(".") ? name.split(".").pop().slice(0, 4) : "";
      return make(
        "a",
        { class: "file", href: `/sandbox/files/${encodeURIComponent(file.file_id)}`, download: name, "aria-label": `${say.download}: ${name}, ${size(file.file_size ?? 0)}` },
        make("span", { class: "kind", textContent: extension || "↓" }),
        make("span", {}, make("b", { textContent: name }), make("small", { textContent: size(file.file_size ?? 0) })),
      );
    }
    if (photo) {
      const { file_id: id, width, height } = photo.at(-1);
      return make("img", { class: "picture", src: `/sandbox/files/${encodeURIComponent(id)}`, alt: view.text || say.photo, width, height, onload: () => this.column.stuck && this.column.scrollDown() });
    }
    if (invoice) {
      return make(
        "div", { class: "invoice" },
        make("b", { textContent: invoice.title }), make("span", { textContent: invoice.description }), make("br"),
        make("span", { class: "price", textContent: price(invoice.total_amount, invoice.currency) }),
      );
    }
    if (sticker) return make("div", { class: "big", textContent: sticker.emoji ?? "🖼", role: "img", "aria-label": say.sticker });
    for (const kind of ["voice", "video_note", "location", "contact"]) {
      if (view[kind]) return make("div", { textContent: say[kind] });
    }
    return null;
  }

  keys() {
    const rows = this.view.buttons.map((row) => make("div", { class: "row" }, ...row.map((button) => this.key(button))));
    return make("div", { class: "keys" }, ...rows);
  }

  key(button) {
    const { column } = this;
    const invoiceLink = button.url?.startsWith("https://t.me/$");
    if (button.url && !invoiceLink) {
      const corner = make("span", { class: "corner", textContent: "↗", "aria-hidden": "true" });
      return make("a", { class: "key", href: /^(https?|tg):/i.test(button.url) ? button.url : "#", target: "_blank", rel: "noopener noreferrer" }, button.text, corner);
    }
    const { invoice } = this.view;
    const text = button.pay && invoice ? `${say.pay} ${price(invoice.total_amount, invoice.currency)}` : button.text;
    const element = make("button", { class: "key", type: "button" }, text);
    if (button.callback_data !== undefined) {
      element.dataset.data = button.callback_data;
      element.addEventListener("click", () => this.press(element, button.callback_data));
    } else if (button.copy_text) {
      element.append(make("span", { class: "corner", textContent: "⧉", "aria-hidden": "true" }));
      element.addEventListener("click", () => column.copy(button.copy_text.text));
    } else if (button.pay || invoiceLink) {
      element.addEventListener("click", () => this.pay(element, invoiceLink ? { link: button.url } : { message_id: this.view.message_id }));
    } else {
      element.disabled = true;
      element.title = say.unsupported;
    }
    return element;
  }

  async press(element, data) {
    if (element.classList.contains("busy")) return;
    element.classList.add("busy");
    element.setAttribute("aria-busy", "true");
    const rest = () => {
      element.classList.remove("busy");
      element.removeAttribute("aria-busy");
    };
    try {
      const { callback_query_id: id } = await call("POST", `people/${this.column.id}/callbacks`, { message_id: this.view.message_id, data });
      const timer = setTimeout(() => (this.column.pressed.delete(id), rest()), PRESS_PATIENCE_MS);
      this.column.pressed.set(id, () => (clearTimeout(timer), rest()));
      if (this.column.answered.delete(id)) this.column.release(id);
    } catch (error) {
      rest();
      this.column.toast(error.message);
    }
  }

  async pay(element, what) {
    if (!(await ask(`${say.pay}?`, element.textContent, true))) return;
    element.disabled = true;
    try {
      const result = await call("POST", `people/${this.column.id}/payments`, what);
      if (result.status !== "paid") this.column.toast(`${say.declined}: ${result.error_message}`);
    } catch (error) {
      this.column.toast(error.message);
    } finally {
      element.disabled = false;
    }
  }
}

const price = (amount, currency) => (currency === "XTR" ? `${amount} ⭐` : new Intl.NumberFormat(LOCALE, { style: "currency", currency }).format(amount / 100));

function commonPrefix(a, b) {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}

// One person's chat

class Column {
  constructor(id) {
    this.id = id;
    this.messages = new Map();
    this.pressed = new Map(); // button presses that wait for the bot, by callback query id
    this.answered = new Set(); // answers that overtook the reply to their press
    this.unread = 0;
    this.stuck = true;
    this.file = null;

    this.title = make("h2");
    this.status = make("p", { class: "status" });
    this.avatar = make("span");
    const edit = make("button", { type: "button", class: "round", title: say.edit, "aria-label": say.edit, onclick: () => profile.edit(this) }, icon("more"));
    const head = make("header", { class: "head" }, this.avatar, make("div", { class: "who" }, this.title, this.status), edit);

    this.lane = make("div", { class: "lane" });
    this.log = make("div", { class: "log", role: "log", "aria-live": "polite", "aria-label": say.log, tabIndex: 0 }, this.lane);
    this.log.addEventListener("scroll", () => this.scrolled(), { passive: true });

    this.count = make("output");
    this.down = make("button", { type: "button", class: "round down", "aria-label": say.down, hidden: true, onclick: () => this.scrollDown(true) }, icon("down"), this.count);
    this.menu = make("div", { class: "menu", hidden: true });
    this.attached = make("div", { class: "attached", hidden: true });
    this.startButton = make("button", { type: "button", class: "start", hidden: true, textContent: say.start, onclick: () => this.start() });
    this.unblockButton = make("button", { type: "button", class: "unblock", hidden: true, textContent: say.unblock, onclick: () => this.setBlocked(false) });
    this.replies = make("div", { class: "replies", hidden: true });
    this.picker = make("input", { type: "file", hidden: true, onchange: () => this.attach(this.picker.files[0]) });

    this.field = make("textarea", { rows: 1, placeholder: say.placeholder, id: `composer-${id}`, autocomplete: "off" });
    this.label = make("label", { class: "unseen", htmlFor: this.field.id });
    this.slash = make("button", { type: "button", class: "round slash", "aria-label": say.commands, title: say.commands, "aria-expanded": "false", hidden: true, onclick: () => this.toggleMenu() }, make("span", { textContent: "/", "aria-hidden": "true" }));
    const clip = make("button", { type: "button", class: "round", "aria-label": say.attach, title: say.attach, onclick: () => this.picker.click() }, icon("attach"));
    this.sendButton = make("button", { type: "submit", class: "round send", "aria-label": say.send, title: say.send, disabled: true }, icon("send"));
    this.composer = make("form", { class: "composer" }, clip, this.label, this.field, this.slash, this.sendButton, this.picker);
    this.toastBox = make("div", { class: "toast", role: "status", hidden: true });
    this.foot = make("footer", { class: "foot" }, this.toastBox, this.down, this.menu, this.attached, this.startButton, this.unblockButton, this.composer, this.replies);
    this.element = make("section", { class: "column", id: `chat-${id}`, "data-drop": say.drop }, head, this.log, this.foot);

    this.composer.addEventListener("submit", (event) => (event.preventDefault(), this.submit()));
    this.field.addEventListener("input", () => this.typed());
    this.field.addEventListener("keydown", (event) => this.key(event));
    this.menu.addEventListener("keydown", (event) => this.walkMenu(event));
    this.acceptDrops();
  }

  // What the server says

  snapshot(chat) {
    this.person = chat.person ?? { id: this.id, first_name: say.me, language_code: navigator.language.slice(0, 2) };
    this.commands = chat.commands;
    this.messages.clear();
    this.lane.replaceChildren();
    // Reading a whole history aloud helps nobody: the log speaks from here on.
    this.log.setAttribute("aria-live", "off");
    for (const view of chat.messages) if (!view.deleted) this.place(view, false);
    setTimeout(() => this.log.setAttribute("aria-live", "polite"), 300);
    this.state(chat);
    this.setTyping(chat.typing ? 5 : 0);
    this.rename(this.person);
    this.scrollDown();
  }

  rename(person) {
    this.person = person;
    const name = fullName(person);
    const bot = page.bot;
    this.title.textContent = bot?.name ?? say.waiting;
    this.avatar.replaceWith((this.avatar = face(bot?.name ?? "…", bot?.id ?? 4)));
    this.element.setAttribute("aria-label", name);
    this.label.textContent = `${say.messageAs} ${name}`;
    this.showStatus();
    page.chips();
  }

  state({ blocked, keyboard }) {
    this.blocked = blocked;
    this.unblockButton.hidden = !blocked;
    this.composer.hidden = blocked;
    this.slash.hidden = !this.commands?.length;
    this.replies.replaceChildren(
      ...(keyboard?.keyboard ?? []).map((row) =>
        make("div", { class: "row" }, ...row.map((key) => make("button", { type: "button", textContent: key.text, onclick: () => this.send(key.text) }))),
      ),
    );
    this.replies.hidden = blocked || !keyboard;
    this.field.placeholder = keyboard?.input_field_placeholder ?? say.placeholder;
    this.welcome();
  }

  welcome() {
    const empty = this.messages.size === 0;
    this.startButton.hidden = this.blocked || !page.bot || !(empty || page.startPayload);
    if (!empty) {
      this.card?.remove();
      this.card = null;
    } else if (page.bot && !this.card) {
      const { name, id, texts } = page.bot;
      const about = texts[`description|${this.person?.language_code ?? ""}`] || texts["description|"] || say.welcome;
      this.card = make("div", { class: "welcome" }, face(name, id), make("h3", { textContent: name }), make("p", { textContent: about }));
      this.lane.append(this.card);
    }
  }

  place(view, live) {
    const known = this.messages.get(view.message_id);
    if (view.deleted) {
      if (known) this.vanish(known);
      return;
    }
    if (known) {
      known.apply(view, live);
      return;
    }
    const last = [...this.messages.values()].at(-1);
    const message = new Message(this, view);
    this.messages.set(view.message_id, message);
    this.card?.remove();
    this.card = null;
    if (!last || day(last.view.date) !== day(view.date)) this.lane.append(make("div", { class: "day", textContent: day(view.date) }));
    const joins = last && !last.service() && last.view.from === view.from && view.date - last.view.date < 600 && this.lane.lastElementChild === last.element;
    message.element.classList.toggle("joined", Boolean(joins));
    if (joins && !last.view.buttons.length) last.element.classList.remove("tail");
    if (!message.service()) message.element.classList.add("tail");
    if (live) message.element.classList.add("new");
    this.lane.append(message.element);
    if (!live) return;
    this.welcome();
    if (view.from === "bot") this.setTyping(0);
    if (this.stuck || view.from === "person") this.scrollDown(true);
    else {
      this.unread += 1;
      this.scrolled();
    }
  }

  vanish(message) {
    this.messages.delete(message.view.message_id);
    message.element.classList.add("leaving");
    setTimeout(() => (message.element.remove(), this.welcome()), calm.matches ? 0 : 200);
  }

  answer({ callback_query_id: id, text, show_alert: alert, url }) {
    if (!this.release(id)) this.answered.add(id);
    if (text && alert) ask(text, say.ok, false);
    else if (text) this.toast(text);
    if (url) ask(`${say.open}\n${url}`, say.yes, true).then((yes) => yes && /^https?:/i.test(url) && open(url, "_blank", "noopener"));
  }

  release(id) {
    const rest = this.pressed.get(id);
    this.pressed.delete(id);
    rest?.();
    return Boolean(rest);
  }

  setTyping(seconds) {
    clearTimeout(this.typingTimer);
    this.typing = seconds > 0;
    if (this.typing) this.typingTimer = setTimeout(() => this.setTyping(0), seconds * 1000);
    this.showStatus();
  }

  showStatus() {
    this.status.classList.toggle("typing", Boolean(this.typing));
    if (this.typing) this.status.replaceChildren(say.typing, make("span", { class: "dots", "aria-hidden": "true" }, make("i"), make("i"), make("i")));
    else this.status.textContent = page.bot ? `${say.bot} · ${fullName(this.person)}` : "";
  }

  // What the person does

  async send(text) {
    try {
      await call("POST", `people/${this.id}/messages`, { text, ...this.introduction() });
      return true;
    } catch (error) {
      this.toast(error.message);
      return false;
    }
  }

  // A person the server has not met yet brings their name and language along.
  introduction() {
    return page.drafts.get(this.id) ?? {};
  }

  async submit() {
    const text = this.field.value;
    this.toggleMenu(false);
    if (this.file) {
      const form = new FormData();
      for (const [name, value] of Object.entries(this.introduction())) form.append(name, value);
      form.append("caption", text.trim());
      if (this.file.asPhoto) form.append("kind", "photo");
      form.append("document", this.file.file, this.file.file.name);
      try {
        await call("POST", `people/${this.id}/documents`, form);
        this.attach(null);
        this.clear();
      } catch (error) {
        this.toast(error.message);
      }
    } else if (text.trim()) {
      this.clear();
      if (!(await this.send(text))) {
        this.field.value = text;
        this.typed();
      }
    }
  }

  clear() {
    this.field.value = "";
    this.typed();
  }

  start() {
    this.send(page.startPayload ? `/start ${page.startPayload}` : "/start");
    page.forgetStart();
    this.field.focus({ preventScroll: true });
  }

  async setBlocked(blocked) {
    try {
      await call("POST", `people/${this.id}/${blocked ? "block" : "unblock"}`);
    } catch (error) {
      this.toast(error.message);
    }
  }

  key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.submit();
    } else if (event.key === "Escape") this.toggleMenu(false);
    else if ((event.key === "ArrowUp" || event.key === "ArrowDown") && !this.menu.hidden) {
      event.preventDefault();
      const items = this.menu.querySelectorAll("button");
      items[event.key === "ArrowUp" ? items.length - 1 : 0]?.focus();
    }
  }

  typed() {
    this.field.style.height = "24px";
    this.field.style.height = `${Math.min(this.field.scrollHeight, innerHeight * 0.38)}px`;
    this.sendButton.disabled = !this.field.value.trim() && !this.file;
    const prefix = /^\/\w*$/.test(this.field.value) ? this.field.value.slice(1) : null;
    this.toggleMenu(prefix !== null, prefix ?? "");
  }

  toggleMenu(open = this.menu.hidden, prefix = "") {
    const commands = (this.commands ?? []).filter(({ command }) => command.startsWith(prefix));
    this.menu.hidden = !open || !commands.length;
    this.slash.setAttribute("aria-expanded", String(!this.menu.hidden));
    const choose = (command) => {
      this.clear();
      this.send(`/${command}`);
      this.field.focus();
    };
    this.menu.replaceChildren(
      ...commands.map(({ command, description }) =>
        make("button", { type: "button", onclick: () => choose(command) }, make("b", { textContent: `/${command}` }), make("span", { textContent: description })),
      ),
    );
  }

  walkMenu(event) {
    const items = [...this.menu.querySelectorAll("button")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
    } else if (event.key === "Escape") {
      this.toggleMenu(false);
      this.field.focus();
    }
  }

  attach(file) {
    this.picker.value = "";
    this.file = file ? { file, asPhoto: /^image\/(png|jpeg)$/.test(file.type) } : null;
    this.attached.hidden = !file;
    this.attached.replaceChildren();
    if (file) {
      const photo = this.file.asPhoto && make("label", {}, make("input", { type: "checkbox", checked: true, onchange: (event) => (this.file.asPhoto = event.target.checked) }), say.asPhoto);
      const remove = make("button", { type: "button", class: "round", "aria-label": say.remove, title: say.remove, onclick: () => this.attach(null) }, icon("close"));
      this.attached.append(make("b", { textContent: file.name }), make("span", { textContent: size(file.size) }), ...(photo ? [photo] : []), remove);
      this.field.focus();
    }
    this.typed();
  }

  acceptDrops() {
    let depth = 0;
    const drop = (on) => this.element.classList.toggle("dropping", on);
    const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
    this.element.addEventListener("dragenter", (event) => holdsFiles(event) && (event.preventDefault(), (depth += 1), drop(true)));
    this.element.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
    this.element.addEventListener("dragleave", () => depth > 0 && ((depth -= 1), drop(depth > 0)));
    this.element.addEventListener("drop", (event) => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      depth = 0;
      drop(false);
      this.attach(event.dataTransfer.files[0]);
    });
    this.field.addEventListener("paste", (event) => {
      const file = event.clipboardData?.files[0];
      if (file) (event.preventDefault(), this.attach(file));
    });
  }

  // Comforts

  async copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      this.toast(say.copied);
    } catch (error) {
      this.toast(error.message);
    }
  }

  toast(text) {
    clearTimeout(this.toastTimer);
    this.toastBox.hidden = false;
    this.toastBox.textContent = text;
    this.toastTimer = setTimeout(() => (this.toastBox.hidden = true), Math.max(3000, text.length * 60));
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.log;
    this.stuck = scrollHeight - scrollTop - clientHeight < 60;
    if (this.stuck) this.unread = 0;
    this.down.hidden = this.stuck;
    this.count.textContent = this.unread || "";
  }

  scrollDown(smooth = false) {
    this.stuck = true;
    this.log.scrollTo({ top: this.log.scrollHeight, behavior: smooth && !calm.matches ? "smooth" : "instant" });
    this.unread = 0;
    this.down.hidden = true;
  }
}

// The dialog that makes and changes people

const profile = {
  dialog: document.getElementById("profile"),

  open(column, person) {
    const form = this.dialog.querySelector("form");
    for (const element of this.dialog.querySelectorAll("[data-text]")) element.textContent = say[element.dataset.text];
    this.dialog.querySelector("h2").textContent = column ? say.person : say.newPerson;
    this.dialog.querySelector(".primary").textContent = column ? say.save : say.create;
    for (const element of this.dialog.querySelectorAll(".only-known")) element.hidden = !column;
    for (const element of this.dialog.querySelectorAll(".only-new")) element.hidden = Boolean(column);
    const language = form.elements.language_code;
    if (person.language_code && ![...language.options].some(({ value }) => value === person.language_code)) {
      language.append(make("option", { value: person.language_code, textContent: person.language_code }));
    }
    form.elements.first_name.value = person.first_name ?? "";
    form.elements.last_name.value = person.last_name ?? "";
    language.value = person.language_code || LOCALE;
    form.elements.id.value = "";
    if (column) {
      const block = this.dialog.querySelector("[data-act=block]");
      block.textContent = column.blocked ? say.unblock : say.block;
      block.onclick = () => (column.setBlocked(!column.blocked), this.dialog.close());
      const close = this.dialog.querySelector("[data-act=close]");
      close.disabled = page.columns.size < 2;
      close.onclick = () => (page.remove(column), this.dialog.close());
    }
    this.dialog.returnValue = "";
    this.dialog.showModal();
    form.elements.first_name.select();
    return new Promise((resolve) =>
      this.dialog.addEventListener(
        "close",
        () => resolve(this.dialog.returnValue === "save" ? Object.fromEntries(new FormData(form)) : null),
        { once: true },
      ),
    );
  },

  async edit(column) {
    const fields = await this.open(column, column.person);
    if (!fields) return;
    const { first_name, last_name, language_code } = fields;
    try {
      page.drafts.delete(column.id);
      column.rename(await call("PUT", `people/${column.id}`, { first_name, last_name, language_code }));
      page.connect();
    } catch (error) {
      column.toast(error.message);
    }
  },

  async add() {
    const fields = await this.open(null, { language_code: LOCALE });
    if (!fields) return;
    const { first_name, last_name, language_code } = fields;
    const id = Number(fields.id) || newId();
    const known = fields.id && (await fetch(`/sandbox/people/${id}`)).ok;
    if (!known) await call("PUT", `people/${id}`, { first_name, last_name, language_code });
    page.show(id);
    page.connect();
    page.columns.get(id).field.focus();
  },
};

const newId = () => 700000000 + crypto.getRandomValues(new Uint32Array(1))[0] % 200000000;

// The page

const page = {
  columns: new Map(),
  bot: null,
  drafts: new Map(), // people that the server has not met
  startPayload: "",

  begin() {
    const query = new URLSearchParams(location.search);
    this.wantedBot = query.get("bot");
    const payload = query.get("start") ?? "";
    this.startPayload = /^[\w-]{1,64}$/.test(payload) ? payload : "";
    document.documentElement.lang = LOCALE;
    document.title = say.title;
    document.getElementById("title").textContent = say.title;
    const people = document.getElementById("people");
    people.setAttribute("aria-label", say.columns);
    const add = document.getElementById("add");
    add.append(icon("add"), make("span", { class: "wide", textContent: say.addShort }));
    add.title = say.add;
    add.setAttribute("aria-label", say.add);
    add.addEventListener("click", () => profile.add());
    const bots = document.getElementById("bots");
    bots.setAttribute("aria-label", say.bots);
    bots.addEventListener("change", () => ((this.wantedBot = bots.value), this.connect()));
    this.paint();

    const given = (query.get("person") ?? localStorage.getItem("people") ?? "").split(",").map(Number);
    const ids = given.filter((id) => Number.isSafeInteger(id) && id > 0 && id < 2 ** 52);
    for (const id of ids.length ? new Set(ids) : [this.newcomer()]) this.show(id);
    this.connect();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) for (const column of this.columns.values()) for (const message of column.messages.values()) message.finish();
    });
  },

  newcomer() {
    const id = newId();
    this.drafts.set(id, { first_name: say.me, language_code: LOCALE });
    return id;
  },

  show(id) {
    if (!this.columns.has(id)) {
      const column = new Column(id);
      this.columns.set(id, column);
      document.getElementById("columns").append(column.element);
    }
    this.remember();
  },

  remove(column) {
    this.columns.delete(column.id);
    column.element.remove();
    this.remember();
    this.connect();
  },

  remember() {
    localStorage.setItem("people", [...this.columns.keys()].join(","));
    this.chips();
  },

  chips() {
    const people = [...this.columns.values()].filter((column) => column.person);
    document.getElementById("people").replaceChildren(
      ...people.map((column) => {
        const go = () => (column.element.scrollIntoView({ inline: "start" }), column.field.focus());
        return make("button", { type: "button", class: "chip", onclick: go }, face(column.person.first_name, column.id), fullName(column.person));
      }),
    );
  },

  forgetStart() {
    if (!this.startPayload) return;
    this.startPayload = "";
    const query = new URLSearchParams(location.search);
    query.delete("start");
    history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
  },

  // Day or night: as the system has it, until the person chooses.
  paint() {
    const button = document.getElementById("theme");
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const apply = () => {
      const theme = localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light");
      document.documentElement.dataset.theme = theme;
      button.replaceChildren(icon(theme === "dark" ? "sun" : "moon"));
    };
    button.title = say.theme;
    button.setAttribute("aria-label", say.theme);
    button.addEventListener("click", () => {
      localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
      apply();
    });
    dark.addEventListener("change", apply);
    apply();
  },

  notice(text) {
    const notice = document.getElementById("notice");
    notice.textContent = text;
    notice.hidden = !text;
  },

  // One stream for all columns: browsers allow few connections to one host.
  connect() {
    this.stream?.close();
    const bot = this.wantedBot ? `&bot=${encodeURIComponent(this.wantedBot)}` : "";
    const stream = (this.stream = new EventSource(`/sandbox/events?people=${[...this.columns.keys()].join(",")}${bot}`));
    const on = (event, handle) => stream.addEventListener(event, ({ data }) => handle(JSON.parse(data)));
    const chat = (handle) => (data) => this.columns.has(data.chat_id) && handle(this.columns.get(data.chat_id), data);
    stream.addEventListener("error", () => {
      this.notice(say.offline);
      if (stream.readyState === EventSource.CLOSED && stream === this.stream) setTimeout(() => stream === this.stream && this.connect(), 2000);
    });
    on("snapshot", (snapshot) => this.snapshot(snapshot));
    on("bot", () => (clearTimeout(this.reconnect), (this.reconnect = setTimeout(() => this.connect(), 150))));
    on("message", chat((column, view) => column.place(view, true)));
    on("state", chat((column, state) => column.state(state)));
    on("typing", chat((column, { seconds }) => column.setTyping(seconds)));
    on("answer", chat((column, answer) => column.answer(answer)));
    on("person", (person) => (this.drafts.delete(person.id), this.columns.get(person.id)?.rename(person)));
  },

  snapshot({ bot, bots, chats }) {
    this.bot = bot;
    this.notice(bot ? "" : say.waiting);
    const chooser = document.getElementById("bots");
    chooser.hidden = bots.length < 2;
    chooser.replaceChildren(...bots.map(({ id, name }) => make("option", { value: id, textContent: `${name} · ${id}`, selected: id === bot?.id })));
    const byId = new Map(chats.map((chat) => [chat.chat_id, chat]));
    for (const column of this.columns.values()) {
      const nothing = { person: null, commands: [], messages: [], answers: [], blocked: false, keyboard: null, typing: false };
      const chat = byId.get(column.id) ?? nothing;
      column.snapshot(chat.person ? chat : { ...chat, person: { id: column.id, first_name: say.me, language_code: LOCALE, ...this.drafts.get(column.id) } });
      if (chat.person) this.drafts.delete(column.id);
      else if (!this.drafts.has(column.id)) this.drafts.set(column.id, { first_name: say.me, language_code: LOCALE });
    }
  },
};

page.begin();
