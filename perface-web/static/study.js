// The page people answer on. No libraries, nothing from elsewhere.
"use strict";

const page = document.getElementById("page");
const status = document.getElementById("status");

let study; // texts, practice questions
let token; // of this person
let asking; // the question on the screen

/** An element with attributes and children; text is always text. */
function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null));
  return element;
}

function show(title, ...children) {
  asking = undefined;
  document.title = title;
  page.replaceChildren(...children);
  window.scrollTo(0, 0);
  page.focus({ preventScroll: true });
}

function say(text) {
  status.textContent = text;
}

function blocks(list) {
  return list.map((block) => {
    if (block.heading) return h("h1", {}, block.heading);
    if (block.paragraph) return h("p", {}, block.paragraph);
    return h("ul", {}, block.list.map((item) => h("li", {}, item)));
  });
}

class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

async function call(method, path, body) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  const reply = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, reply.error || "Something went wrong.");
  return reply;
}

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** Send until it arrives: the server takes the same answer only once. */
async function send(path, body, trouble) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await call("POST", path, body);
    } catch (error) {
      if (error instanceof Refused && error.code < 500) throw error;
      trouble("Your answer is not sent yet. Trying again …");
      await wait(Math.min(8000, 500 * 2 ** attempt));
    }
  }
}

const personalLink = () => `${location.origin}/#${token}`;

function linkField() {
  const field = h("input", { type: "text", readonly: true, value: personalLink(), "aria-label": "Your personal link" });
  field.addEventListener("focus", () => field.select());
  const copy = h("button", { type: "button", class: "plain" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      field.select();
      document.execCommand("copy");
    }
    copy.textContent = "Copied";
    say("The link is copied");
  });
  return h("div", { class: "link" }, field, copy);
}

// Pages

function information() {
  const box = h("input", { type: "checkbox", id: "agree" });
  const begin = h("button", { type: "submit", disabled: true }, "Take part");
  const trouble = h("p", { class: "error", role: "alert" });
  box.addEventListener("change", () => (begin.disabled = !box.checked));
  const form = h("form", {},
    h("label", { class: "consent", for: "agree" }, box, h("span", {}, study.texts.consent.map((b) => b.paragraph || b.heading || b.list.join(" ")).join(" "))),
    trouble,
    h("div", { class: "row" }, begin));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    begin.disabled = true;
    try {
      const query = new URLSearchParams(location.search);
      const external = query.get("PROLIFIC_PID") || query.get("workerId") || query.get("participant");
      token = (await call("POST", "/api/people", { consent: true, external })).token;
      history.replaceState(null, "", `/#${token}`);
      welcome();
    } catch (error) {
      trouble.textContent = error.message;
      begin.disabled = false;
    }
  });
  show("Which face is closer?", h("div", { class: "card" }, blocks(study.texts.information), form));
}

function welcome() {
  const next = study.practice.length ? "Practise" : "Begin";
  show("Your personal link", h("div", { class: "card" },
    h("h1", {}, "Come back whenever you like"),
    h("p", {}, "This is your personal link. With it you can stop and go on later, on this or another device. Do not pass it on."),
    linkField(),
    h("h2", {}, "How it works"),
    h("p", {}, "One face is shown above two others. Choose the lower face that looks more like the one above. Click or tap it, or press ", h("kbd", {}, "←"), " or ", h("kbd", {}, "→"), ". Go by your first impression of the whole face."),
    h("div", { class: "row" }, h("button", { type: "button", onclick: practise }, next))));
}

async function practise() {
  const all = study.practice;
  for (let n = 0; n < all.length; n++) {
    const { question, correct } = all[n];
    const following = all[n + 1] && all[n + 1].question;
    await new Promise((done) => {
      let missed = false;
      ask(question, {
        count: `Practice ${n + 1} of ${all.length}`,
        share: n / all.length,
        upcoming: following,
        choose: async (choice, _ms, view) => {
          if (choice !== correct) {
            missed = true;
            view.note("Look again: the other one shows the same person as above.", "bad");
            view.unlock();
            return;
          }
          view.note(missed ? "Yes, that one shows the same person." : "Right: it shows the same person.", "good");
          await wait(900);
          done();
        },
      });
    });
  }
  await call("POST", "/api/practised");
  show("Ready", h("div", { class: "card" },
    h("h1", {}, "Now for the real questions"),
    h("p", {}, "From now on most questions have no right answer. Take the face that looks more like the one above to you. A few are as plain as in practice; they tell us that somebody is looking."),
    h("div", { class: "row" }, h("button", { type: "button", onclick: resume }, "Begin"))));
}

async function resume() {
  try {
    const reply = await call("GET", "/api/next");
    if (!reply.practised && reply.answered === 0 && reply.state === "ask" && study.practice.length) welcome();
    else go(reply);
  } catch (error) {
    if (error instanceof Refused && error.code === 401) {
      token = undefined;
      show("Unknown link", h("div", { class: "card" }, h("h1", {}, "This link is not known here"),
        h("p", {}, "Please check that it is complete. If you have not taken part yet, you can begin here."),
        h("div", { class: "row" }, h("button", { type: "button", onclick: () => { history.replaceState(null, "", "/"); information(); } }, "To the information"))));
    } else {
      show("No connection", h("div", { class: "card" }, h("h1", {}, "The study cannot be reached"), h("p", {}, "Your answers so far are safe."),
        h("div", { class: "row" }, h("button", { type: "button", onclick: resume }, "Try again"))));
    }
  }
}

function go(reply) {
  if (reply.state === "finished") return finished(reply);
  if (reply.state === "ended") return show("Thank you", h("div", { class: "card" }, blocks(study.texts.ended)));
  if (reply.state === "withdrawn") return withdrawn();
  const quota = study.per_person;
  ask(reply.question, {
    count: quota ? `Question ${reply.answered + 1} of ${quota}` : `Question ${reply.answered + 1}`,
    share: quota ? reply.answered / quota : reply.complete,
    shareOf: quota ? "Your progress" : "Progress of the whole study",
    upcoming: reply.upcoming,
    menu: true,
    choose: async (choice, ms, view) => {
      try {
        go(await send("/api/answers", { question: reply.question.id, choice, ms }, (text) => view.note(text, "bad")));
      } catch (error) {
        // Answered on another device meanwhile: go on from where it is.
        if (error instanceof Refused && error.code === 409) resume();
        else view.note(error.message, "bad");
      }
    },
  });
}

function finished(reply) {
  const end = [];
  if (reply.code) end.push(h("h2", {}, "Your completion code"), h("p", { class: "code" }, reply.code));
  if (reply.url) end.push(h("div", { class: "row" }, h("a", { class: "button", href: reply.url, rel: "noreferrer" }, "Complete your participation")));
  show("Thank you", h("div", { class: "card" }, blocks(study.texts.done), end,
    h("div", { class: "row" }, h("button", { type: "button", class: "plain", onclick: confirmWithdrawal }, "Delete my answers …"))));
}

function withdrawn() {
  show("Deleted", h("div", { class: "card" }, h("h1", {}, "Your answers are deleted"), h("p", {}, "Nothing you chose is kept. Thank you for your time.")));
}

function open(dialog) {
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
}

function pause() {
  const dialog = h("dialog", { "aria-labelledby": "paused" },
    h("h2", { id: "paused" }, "Paused"),
    h("p", {}, "Every answer so far is kept. Come back by your personal link:"),
    linkField(),
    h("div", { class: "row" },
      h("button", { type: "button", onclick: () => dialog.close() }, "Go on"),
      h("button", { type: "button", class: "plain", onclick: () => { dialog.close(); confirmWithdrawal(); } }, "Delete my answers …")));
  dialog.addEventListener("close", () => { if (asking) asking.restart(); });
  open(dialog);
}

function confirmWithdrawal() {
  const trouble = h("p", { class: "error", role: "alert" });
  const dialog = h("dialog", { "aria-labelledby": "sure" },
    h("h2", { id: "sure" }, "Delete all your answers?"),
    h("p", {}, "They cannot be brought back, and you cannot take part again with this link."), trouble,
    h("div", { class: "row" },
      h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, "Keep them"),
      h("button", { type: "button", class: "danger", onclick: async () => {
        try {
          await call("DELETE", "/api/me");
          dialog.close();
          withdrawn();
        } catch (error) {
          trouble.textContent = error.message;
        }
      } }, "Delete")));
  open(dialog);
}

// A question

/** A picture that is there already when it is shown. */
function picture(url, alt) {
  return h("img", { src: url, alt, width: 512, height: 512, draggable: "false", decoding: "sync" });
}

async function ask(question, options) {
  const above = picture(question.above, "The face above");
  const note = h("p", { class: "note", role: "alert" });
  const choice = (side, text, key) => h("button", { type: "button", class: side, "aria-keyshortcuts": side === "left" ? "ArrowLeft" : "ArrowRight" },
    picture(question[side], `The ${side} face`),
    h("span", { class: "name" }, side === "left" ? [h("kbd", { "aria-hidden": "true" }, key), text] : [text, h("kbd", { "aria-hidden": "true" }, key)]));
  const left = choice("left", "Left", "←");
  const right = choice("right", "Right", "→");
  const stage = h("div", { class: "stage loading", role: "group", "aria-labelledby": "q" },
    h("figure", { class: "above" }, above),
    h("p", { class: "question", id: "q" }, "Which face looks more like the one ", h("span", { class: "tall" }, "above"), h("span", { class: "wide" }, "in the middle"), "?"),
    left, right);
  const bar = h("div", { class: "bar" },
    h("span", { class: "count" }, options.count),
    h("progress", { max: 1, value: options.share, "aria-label": options.shareOf || "Progress" }),
    options.menu ? h("button", { type: "button", class: "plain", onclick: pause }, "Pause") : null);
  show(options.count, h("div", { class: "ask" }, bar, stage, note));

  let began; // when all three faces were on the screen
  let locked = true;
  const view = {
    note(text, kind) {
      note.textContent = text;
      note.className = `note ${kind}`;
    },
    unlock() {
      for (const button of [left, right]) {
        button.disabled = false;
        button.classList.remove("chosen");
      }
      locked = false;
    },
    restart() {
      began = performance.now();
    },
    choose(side) {
      if (locked) return;
      locked = true;
      const ms = Math.max(0, Math.round(performance.now() - began));
      (side === "left" ? left : right).classList.add("chosen");
      left.disabled = right.disabled = true;
      options.choose(side, ms, view);
    },
  };
  asking = view;
  left.addEventListener("click", () => view.choose("left"));
  right.addEventListener("click", () => view.choose("right"));

  const images = [above, ...stage.querySelectorAll("button img")];
  for (let attempt = 0; ; attempt++) {
    const loaded = await Promise.allSettled(images.map((image) => image.decode()));
    if (asking !== view) return;
    if (loaded.every((result) => result.status === "fulfilled")) break;
    view.note("A picture is missing. Trying again …", "bad");
    await wait(Math.min(8000, 500 * 2 ** attempt));
    if (asking !== view) return;
    for (const image of images) if (!image.naturalWidth) image.src = `${image.getAttribute("src").split("?")[0]}?${attempt}`;
  }
  if (note.textContent) view.note("", "");
  stage.classList.remove("loading");
  requestAnimationFrame(() => {
    began = performance.now();
    locked = false;
    say(`${options.count}. Choose left or right.`);
  });
  if (options.upcoming) for (const side of ["above", "left", "right"]) new Image().src = options.upcoming[side];
}

document.addEventListener("keydown", (event) => {
  if (!asking || event.repeat || event.altKey || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
  if (event.key === "ArrowLeft") asking.choose("left");
  else if (event.key === "ArrowRight") asking.choose("right");
  else return;
  event.preventDefault();
});

window.addEventListener("hashchange", start);

async function start() {
  token = /^#[0-9a-f]{32}$/.test(location.hash) ? location.hash.slice(1) : undefined;
  try {
    study = await call("GET", "/api/study");
  } catch {
    show("No connection", h("div", { class: "card" }, h("h1", {}, "The study cannot be reached"), h("div", { class: "row" }, h("button", { type: "button", onclick: start }, "Try again"))));
    return;
  }
  document.getElementById("simulated").hidden = !study.simulated;
  if (token) resume();
  else information();
}

start();
