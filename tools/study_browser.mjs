// The study's pages in a real browser: consent, practice, 30 answers by keyboard, close, come back by the personal
// link, finish; then the researcher's page. Checks that no request leaves the server and that nothing is complained of.
//
//   cargo build -p perface-web
//   npm install --prefix /tmp/browser playwright-core     (or set NODE_PATH to where it is)
//   node tools/study_browser.mjs [--study DIR] [--program target/debug/perface-web] [--shots DIR]
//
// Without --study, a study with drawn faces is made. Skips with a message where there is no Chromium.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const option = (name, other) => {
  const place = process.argv.indexOf(`--${name}`);
  return place < 0 ? other : process.argv[place + 1];
};
const browserPath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
let chromium;
try {
  const from = [process.env.NODE_PATH, "/tmp/browser/node_modules", "."].filter(Boolean);
  ({ chromium } = createRequire(import.meta.url)(createRequire(import.meta.url).resolve("playwright-core", { paths: from })));
} catch {
  chromium = undefined;
}
if (!browserPath || !chromium) {
  console.log(`skipped: ${browserPath ? "playwright-core is not installed" : "no Chromium is installed"}`);
  process.exit(0);
}

function check(truth, what) {
  if (!truth) throw new Error(`not so: ${what}`);
  console.log(`ok: ${what}`);
}

/** 8 × 8 samples with drawn faces. */
function drawnStudy() {
  const folder = mkdtempSync(join(tmpdir(), "perface-study-"));
  const range = (letter, n) => Array.from({ length: n }, (_, i) => `${letter}${String(i + 1).padStart(3, "0")}`);
  const targets = range("t", 8).map((id) => ({ id, image: `${id}.png`, gender: "female" }));
  const triplet = (id) => ({ id, c: `${id}c.png`, a: `${id}a.png`, b: `${id}b.png`, gender: "female" });
  const samples = targets.flatMap((t) => range("s", 8).map((s) => ({ id: `${t.id}-${s}`, target_id: t.id, triplet_id: s, kind: "real" })));
  for (const [letter, kind] of [["d", "dummy"], ["p", "practice"]]) {
    for (const id of range(letter, 2)) samples.push({ id: `t001-${id}`, target_id: "t001", triplet_id: id, kind, correct: "a" });
  }
  const triplets = [...range("s", 8), ...range("d", 2), ...range("p", 2)].map(triplet);
  const rules = { k: 1, allowed_misses: 9, min_ms: 0, dummy_every: 20, repeat_every: 40, per_person: 40 };
  writeFileSync(join(folder, "study.json"), JSON.stringify({ schema: 1, seed: 3, engine: null, model_hash: null, simulated: true, ...rules, targets, triplets, samples, overrides: [] }));
  return folder;
}

const given = option("study");
const folder = given || drawnStudy();
const shots = option("shots", join(tmpdir(), "perface-study-shots"));
mkdirSync(shots, { recursive: true });
const program = option("program", "target/debug/perface-web");
const server = spawn(program, ["serve", folder, "--listen", "127.0.0.1:0", "--completion-code", "PF-7Q2K", ...(given ? [] : ["--placeholders"])]);
const origin = await new Promise((done, failed) => {
  let text = "";
  server.stdout.on("data", (data) => {
    text += data;
    const found = /listening at (\S+)\n/.exec(text);
    if (found) done(`http://${found[1]}`);
  });
  server.on("exit", () => failed(new Error("the server ended")));
  server.stderr.on("data", (data) => process.stderr.write(data));
});

const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
const elsewhere = [];
const complaints = [];
async function open(size, more = {}) {
  const context = await browser.newContext({ viewport: size, deviceScaleFactor: more.isMobile ? 2 : 1, ...more });
  const page = await context.newPage();
  page.on("request", (request) => {
    if (!request.url().startsWith(origin) && !request.url().startsWith("blob:")) elsewhere.push(request.url());
  });
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  return page;
}
const shot = (page, name) => page.screenshot({ path: join(shots, `${name}.png`) });
const count = (page) => page.locator(".bar .count").textContent();
const ready = (page) => page.locator(".stage:not(.loading) button.left:not([disabled])").waitFor();

/** Answer by keyboard until `left` questions were answered or the study ends. */
async function answer(page, left) {
  for (let n = 0; n < left; n++) {
    await ready(page);
    const before = await count(page);
    await page.waitForTimeout(40);
    await page.keyboard.press(n % 3 ? "ArrowLeft" : "ArrowRight");
    await page.waitForFunction((old) => document.querySelector(".bar .count")?.textContent !== old, before);
    if (!(await page.locator(".stage").count())) return;
  }
}

async function practise(page) {
  for (let guard = 0; guard < 20 && !(await page.getByRole("button", { name: "Begin" }).count()); guard++) {
    if (!(await page.locator(".stage").count())) break;
    await ready(page);
    if (!/Practice/.test(await count(page))) break;
    const before = await count(page);
    await page.waitForTimeout(60);
    await page.keyboard.press("ArrowLeft");
    await page.waitForTimeout(120);
    if (await page.locator(".note.bad").count()) {
      await page.keyboard.press("ArrowRight");
    }
    await page.waitForFunction((old) => document.querySelector(".bar .count")?.textContent !== old, before);
  }
}

try {
  const desk = { width: 1280, height: 800 };
  let page = await open(desk);
  await page.goto(`${origin}/?PROLIFIC_PID=abc`);
  await page.locator("h1").first().waitFor();
  await shot(page, "desktop-1-information");
  check(await page.getByRole("button", { name: "Take part" }).isDisabled(), "nobody takes part without agreeing");
  // By keyboard alone.
  await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByText("Come back whenever you like").waitFor();
  const link = await page.getByLabel("Your personal link").inputValue();
  check(new RegExp(`^${origin}/#[0-9a-f]{32}$`).test(link) && page.url() === link, "the personal link is shown and in the address bar");
  await shot(page, "desktop-2-link");
  await page.getByRole("button", { name: "Practise" }).focus();
  await page.keyboard.press("Enter");
  await ready(page);
  await shot(page, "desktop-3-practice");
  await practise(page);
  await page.getByRole("button", { name: "Begin" }).focus();
  await page.keyboard.press("Enter");
  await ready(page);
  const boxes = await page.locator(".stage img").evaluateAll((images) => images.map((i) => { const b = i.getBoundingClientRect(); return [b.width, b.height]; }));
  check(boxes.length === 3 && boxes.every(([w, h]) => w === boxes[0][0] && h === boxes[0][0]), `three faces of one size (${boxes[0][0]} px)`);
  const fits = () => page.evaluate(() => document.documentElement.scrollHeight <= innerHeight && document.documentElement.scrollWidth <= innerWidth);
  check(await fits(), "a question fits the window");
  await shot(page, "desktop-4-question");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await shot(page, "desktop-5-focus");
  await answer(page, 30);
  check((await count(page)).startsWith("Question 31"), "30 answers by keyboard");
  await page.getByRole("button", { name: "Pause" }).click();
  await shot(page, "desktop-6-pause");
  const names = await page.locator(".stage img").evaluateAll((images) => images.map((i) => i.alt));
  check(names.join() === "The face above,The left face,The right face", "pictures have names for those who do not see them");
  await page.context().close();

  page = await open({ width: 390, height: 844 }, { isMobile: true, hasTouch: true, reducedMotion: "reduce" });
  await page.goto(link);
  await ready(page);
  check((await count(page)).startsWith("Question 31"), "the link goes on where it was, on another device");
  check(await page.evaluate(() => document.documentElement.scrollHeight <= innerHeight && document.documentElement.scrollWidth <= innerWidth), "a question fits a phone");
  await shot(page, "phone-1-question");
  await page.locator(".stage button.right").tap();
  await page.waitForFunction(() => !document.querySelector(".bar .count")?.textContent.startsWith("Question 31"));
  await answer(page, 1000);
  await page.getByText("Thank you").first().waitFor();
  check(await page.getByText("PF-7Q2K").isVisible(), "the completion code is shown at the end");
  await shot(page, "phone-2-done");
  await page.context().close();

  page = await open({ width: 390, height: 844 }, { isMobile: true, hasTouch: true });
  await page.goto(origin);
  await page.locator("h1").first().waitFor();
  await shot(page, "phone-3-information");
  await page.context().close();
  page = await open({ width: 844, height: 390 }, { isMobile: true, hasTouch: true });
  await page.goto(origin);
  await page.locator("#agree").check();
  await page.getByRole("button", { name: "Take part" }).click();
  await page.getByRole("button", { name: "Practise" }).click();
  await ready(page);
  await shot(page, "phone-4-landscape");
  await page.context().close();

  page = await open({ width: 1280, height: 900 });
  await page.goto(`${origin}/researcher`);
  await page.getByText("needs the researcher").waitFor();
  complaints.splice(0, complaints.length, ...complaints.filter((text) => !/401/.test(text)));
  const token = readFileSync(join(folder, "researcher.token"), "utf8").trim();
  await page.goto("about:blank");
  await page.goto(`${origin}/researcher#${token}`);
  await page.locator(".tiles").waitFor();
  await page.screenshot({ path: join(shots, "researcher-desktop.png"), fullPage: true });
  await page.setViewportSize({ width: 390, height: 844 });
  await page.screenshot({ path: join(shots, "researcher-phone.png"), fullPage: true });
  check(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "the researcher's page fits a phone");
  check(elsewhere.length === 0, `no request leaves the server ${elsewhere.join(" ")}`);
  check(complaints.length === 0, `the browser has nothing to complain of ${complaints.join(" | ")}`);
  console.log(`screenshots in ${shots}`);
} finally {
  await browser.close();
  server.kill();
  if (!given) rmSync(folder, { recursive: true, force: true });
}
