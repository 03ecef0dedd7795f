// The researcher's page: numbers of the running study, every ten seconds.
"use strict";

const content = document.getElementById("content");
const now = document.getElementById("now");
const token = location.hash.slice(1);
const headers = { Authorization: `Bearer ${token}` };
const EVERY_MS = 10000;

function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null));
  return element;
}

const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
const seconds = (ms) => (ms == null ? "–" : `${(ms / 1000).toFixed(1)} s`);
const interval = (p) => (p ? `${percent(p.value)} (${percent(p.low)} to ${percent(p.high)})` : "–");
const number = (n) => n.toLocaleString("en");
const tile = (value, label) => h("li", {}, h("b", {}, value), label);

/** A bar from 0 to `share` of its width. */
function bar(share) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 10");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  rect.setAttribute("width", String(100 * share));
  rect.setAttribute("height", "10");
  svg.append(rect);
  return svg;
}

function chart(rows) {
  const most = Math.max(1, ...rows.map(([, n]) => n));
  return h("dl", { class: "chart" }, rows.map(([label, n]) => [h("dt", {}, label), h("dd", {}, bar(n / most)), h("dd", {}, number(n))]));
}

async function save(name) {
  const response = await fetch(`/api/researcher/${name}`, { headers, cache: "no-store" });
  if (!response.ok) return;
  const link = h("a", { href: URL.createObjectURL(await response.blob()), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function draw(data) {
  const { progress, rules, agreement, times } = data;
  document.getElementById("simulated").hidden = !data.simulated;
  now.textContent = `As of ${data.now.slice(0, 19).replace("T", " ")} UTC`;
  const all = progress.samples * rules.k;
  const count = (status) => data.people.filter((p) => p.status === status).length;
  const left = data.person_hours_left;
  const warnings = [];
  if (data.blanks.length) warnings.push(`Texts still to be filled in: ${data.blanks.join(", ")}`);
  if (data.left_out) warnings.push(`${data.left_out} samples are not asked: their pictures are missing.`);
  const spread = progress.by_answers.map((n, k) => [k === rules.k ? `${k} or more` : String(k), n]);
  let from = 0;
  const speeds = times ? times.histogram.map(([end, n], i) => {
    const label = i === times.histogram.length - 1 ? `over ${seconds(from)}` : `to ${seconds(end)}`;
    from = end;
    return [label, n];
  }) : [];
  const agreed = agreement ? [
    tile(percent(agreement.pairwise), "two people agree"),
    tile(agreement.fleiss_kappa == null ? "–" : agreement.fleiss_kappa.toFixed(2), "Fleiss’ κ so far"),
  ] : [];
  content.replaceChildren(
    h("ul", { class: "warnings" }, warnings.map((text) => h("li", {}, text))),
    h("ul", { class: "tiles" },
      tile(percent(1 - progress.needed / Math.max(1, all)), `${number(all - progress.needed)} of ${number(all)} answers`),
      tile(number(progress.done), `of ${number(progress.samples)} samples done`),
      tile(number(data.people.length), `people: ${count("here")} here, ${count("finished")} finished, ${count("excluded")} excluded`),
      tile(left == null ? "–" : left < 1 ? `${Math.ceil(left * 60)} min` : `${left.toFixed(1)} h`, "of one person’s time left"),
      tile(number(data.answers.last_hour), "answers in the last hour"),
      agreed),
    h("div", { class: "row" },
      h("button", { type: "button", onclick: () => save("votes.csv") }, "Save votes.csv"),
      h("button", { type: "button", class: "plain", onclick: () => save("people.csv") }, "Save people.csv")),
    h("div", { class: "panels" },
      h("section", { class: "panel" }, h("h2", {}, "Samples by number of valid answers"), chart(spread)),
      h("section", { class: "panel" }, h("h2", {}, "Answer times"), speeds.length ? chart(speeds) : h("p", {}, "No answers yet."),
        times ? h("p", {}, `Half of the answers took less than ${seconds(times.median_ms)}; one in twenty less than ${seconds(times.p05_ms)}, one in twenty more than ${seconds(times.p95_ms)}.`) : null,
        h("p", {}, `Left face chosen: ${interval(data.left)}. Without side bias it is 50 %.`))),
    h("h2", {}, "People"),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "People" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Person", "Status", "Answers", "Valid", "Dummies missed", "Too fast", "Repeats alike", "Left chosen", "With majority", "Median time", "Last seen (UTC)"].map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", {}, data.people.map((p) => {
        const s = p.summary;
        const share = (x) => (x ? `${percent(x.value)} of ${x.n}` : "–");
        const cells = s
          ? [number(s.answers), number(s.valid), `${s.missed} of ${s.dummies}`, number(s.too_fast), share(s.consistent), share(s.left), share(s.with_others), seconds(s.median_ms)]
          : ["0", "0", "–", "–", "–", "–", "–", "–"];
        return h("tr", {}, h("td", {}, p.id), h("td", {}, h("span", { class: `badge ${p.status}` }, p.status)), cells.map((c) => h("td", {}, c)), h("td", {}, p.last_seen.slice(0, 16).replace("T", " ")));
      })))));
}

async function watch() {
  try {
    const response = await fetch("/api/researcher/progress", { headers, cache: "no-store" });
    if (response.status === 401) {
      now.textContent = "";
      content.replaceChildren(h("div", { class: "panel" }, h("h2", {}, "This page needs the researcher’s token"),
        h("p", {}, "Open it as /researcher#TOKEN. The token is in the file researcher.token in the study’s folder.")));
      return;
    }
    draw(await response.json());
  } catch {
    now.textContent = "The server cannot be reached. Trying again …";
  }
  setTimeout(watch, EVERY_MS);
}

window.addEventListener("hashchange", () => location.reload());
watch();
