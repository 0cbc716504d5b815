// The page but for its terminal: signing in, agents, joining, activity, trouble; by eye, by keyboard, by finger.

import { phone } from "./browser.mjs";
import { agent, assert, gone, look, openTerminal, says, shown, state, text, until } from "./rig.mjs";

const signedOut = (mock) => { mock.signedIn = false; };

async function signIn(page, token) {
  await page.fill("#token", token);
  await page.press("#token", "Enter");
}

// The ratio of WCAG 2 between an element's text and what is behind it.
function contrast(element) {
  const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  let behind = element;
  const paint = (e) => parse(getComputedStyle(e).backgroundColor);
  while (behind.parentElement && paint(behind)[3] === 0) behind = behind.parentElement;
  const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(paint(behind))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

function overflow() {
  return [...document.querySelectorAll("body *")].filter((e) => !e.closest("#keys, .xterm, .unseen, .skip") &&
    e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 0.5).map((e) => e.outerHTML.slice(0, 80));
}

export const tests = {
  async "page: signs in with a token"(after) {
    const { mock, page, context, well } = await look(after, signedOut);
    await shown(page, "#sign-in");
    assert.equal(await page.evaluate(() => document.activeElement.id), "token");
    await signIn(page, ` ${mock.token} `);
    await says(page, "#agents", "box");
    assert.equal(await text(page, "#user"), "ann");
    assert.equal(await page.inputValue("#token"), "");
    assert.ok(!page.url().includes(mock.token));
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
    assert.ok(!kept.includes(mock.token));
    assert.equal((await context.cookies()).length, 0);
    well();
  },

  async "page: a wrong token is said to be one"(after) {
    const { page, well } = await look(after, signedOut);
    await signIn(page, "berth_wrong");
    await says(page, "#sign-in-error", "No user has this token");
    assert.equal(await page.isVisible("#home"), false);
    well();
  },

  async "page: signs out"(after) {
    const { mock, page, well } = await look(after);
    await openTerminal(page);
    await page.click("#sign-out");
    await shown(page, "#sign-in");
    assert.equal(await page.isVisible("#home"), false);
    await until(() => !mock.sockets.length && !mock.events.size, "end of what was open");
    await page.reload();
    await shown(page, "#sign-in");
    well();
  },

  async "page: a session that has ended elsewhere"(after) {
    const { mock, page } = await look(after);
    await says(page, "#agents", "box");
    mock.signedIn = false;
    mock.tell("join");
    await shown(page, "#sign-in");
  },

  async "page: what agents are"(after) {
    const { page, well } = await look(after, (mock) => {
      mock.agents.push(agent("nas", { allow: ["exec"], arch: "aarch64", user: "root", hostname: "nas.lan" }),
        agent("old", { connected: false, since: null, lastSeen: "2026-01-01T00:00:00Z" }),
        agent("new", { connected: false, since: null, lastSeen: null, platform: null, arch: null, version: null,
          hostname: null, user: null, allow: [] }));
    });
    await says(page, "#agents", "never connected");
    const rows = await page.locator("#agents > li").allInnerTexts();
    assert.equal(rows.length, 4);
    assert.match(rows[0], /^box ann@box[^]*linux x86_64 · berth 0\.1\.0 · allows exec, files, terminal, dial[^]*connected 3m ago/);
    assert.match(rows[1], /^nas root@nas\.lan[^]*aarch64[^]*allows exec/);
    assert.match(rows[2], /^new\s+never connected/);
    assert.match(rows[3], /^old[^]*last seen/);
    const enabled = await page.locator("#agents button:has-text('Terminal')").evaluateAll((all) => all.map((b) => !b.disabled));
    assert.deepEqual(enabled, [true, false, false, false]);
    well();
  },

  async "page: what agents say of themselves is text"(after) {
    const evil = "<img src=x onerror=alert(1)>\u202e'\"&amp;";
    const { mock, page, well } = await look(after, (mock) => {
      mock.agents = [agent(evil, { hostname: evil, user: evil, platform: evil, arch: evil, version: evil, allow: [evil] })];
      mock.tell("exec", { what: evil, agent: evil, outcome: evil });
    });
    let alerted = false;
    page.on("dialog", () => { alerted = true; });
    await says(page, "#agents", evil);
    await says(page, "#activity", evil);
    mock.tell("exec", { what: `${evil}2`, agent: evil, kind: evil });
    await says(page, "#activity", `${evil}2`);
    assert.equal(await page.locator("main img").count(), 0);
    await page.locator("#agents button").last().click();
    await says(page, "#revoke-title", evil);
    assert.equal(alerted, false);
    well();
  },

  async "page: no agent yet"(after) {
    const { page } = await look(after, (mock) => { mock.agents = []; });
    await says(page, "#agents", "No machine yet");
    await says(page, "#activity", "Nothing has been done yet");
  },

  async "page: revokes an agent when that is confirmed"(after) {
    const { mock, page, well } = await look(after);
    await page.click("button[aria-label='Revoke box']");
    assert.equal(await page.evaluate(() => document.activeElement.id), "revoke-no");
    await page.keyboard.press("Escape");
    await gone(page, "#revoke");
    await page.click("button[aria-label='Revoke box']");
    await page.click("#revoke-no");
    await gone(page, "#revoke");
    assert.ok(!mock.asked.includes("DELETE /api/agents/box"));
    await page.click("button[aria-label='Revoke box']");
    await page.click("#revoke-yes");
    await says(page, "#agents", "No machine yet");
    await says(page, "#said", "box is revoked");
    assert.ok(mock.asked.includes("DELETE /api/agents/box"));
    well();
  },

  async "page: errors are said in words"(after) {
    const { mock, page } = await look(after);
    mock.faults.set("DELETE /api/agents/box", [500, "internal", "The broker could not do that now."]);
    await page.click("button[aria-label='Revoke box']");
    await page.click("#revoke-yes");
    await says(page, "#revoke-error", "The broker could not do that now.");
    await page.keyboard.press("Escape");
    mock.faults.set("POST /api/agent/code", [429, "rate_limited", "That is too often.", { "Retry-After": "7" }]);
    await page.click("#add");
    await says(page, "#join-note", "That is too often. Try again in 7 s.");
    assert.equal(await page.isVisible("#join-how"), false);
    mock.faults.clear();
    await page.click("#join-new");
    await says(page, "#join-code", "K7QM-3XWD");
  },

  async "page: a machine that joins appears by itself"(after) {
    const { mock, page, context, well } = await look(after);
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.click("#add");
    await says(page, "#join-code", "K7QM-3XWD");
    const command = "curl -fsS https://berth.example/install.sh | sh -s -- K7QM-3XWD";
    assert.equal(await text(page, "#join-command"), command);
    await says(page, "#join-left", /^valid for (10:00|9:5\d)$/);
    const first = await text(page, "#join-left");
    await until(async () => await text(page, "#join-left") !== first, "countdown");
    await page.click("#join-copy");
    await says(page, "#join-copy", "Copied");
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), command);
    mock.join("laptop");
    await says(page, "#join-note", "laptop has joined.");
    assert.equal(await page.isVisible("#join-how"), false);
    await says(page, "#agents", "laptop");
    await page.click("#join-terminal");
    await state(page, "connected");
    await says(page, "#terminal-where", "laptop");
    well();
  },

  async "page: an agent that comes back counts as joined"(after) {
    const { mock, page } = await look(after, (mock) => { mock.agents = [agent("box", { connected: false })]; });
    await page.click("#add");
    await says(page, "#join-code", "K7QM");
    mock.agents[0].connected = true;
    mock.tell("join");
    await says(page, "#join-note", "box has joined.");
  },

  async "page: copies where there is no clipboard"(after) {
    const { page, well } = await look(after);
    await page.evaluate(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
    await page.click("#add");
    await says(page, "#join-code", "K7QM");
    await page.click("#join-copy");
    await until(async () => await text(page, "#join-copy") === "Copied" || (await text(page, "#said")).includes("Could not"), "copy");
    assert.equal(await page.evaluate(() => getSelection().toString().trim()), await text(page, "#join-command"));
    well();
  },

  async "page: a code that expires"(after) {
    const { mock, page, well } = await look(after, (mock) => { mock.codeSeconds = 2; });
    await page.click("#add");
    await says(page, "#join-note", "The code has expired.");
    assert.equal(await page.isVisible("#join-how"), false);
    mock.codeSeconds = 600;
    await page.click("#join-new");
    await says(page, "#join-note", "Waiting for the machine");
    await page.keyboard.press("Escape");
    await gone(page, "#join");
    well();
  },

  async "page: activity as it happens"(after) {
    const { mock, page, well } = await look(after, (mock) => {
      for (let i = 0; i < 70; i++) mock.tell("exec", { what: `old ${i}`, at: new Date(Date.now() - 1e6 + i * 1000).toISOString() });
    });
    await until(async () => await page.locator("#activity > li").count() === 50, "50 rows");
    assert.match(await page.locator("#activity > li").first().innerText(), /old 69/);
    await page.click("#older");
    await until(async () => await page.locator("#activity > li").count() === 70, "70 rows");
    assert.match(await page.locator("#activity > li").last().innerText(), /old 0/);
    await gone(page, "#older");
    const { id, at } = mock.tell("exec", { what: "make", outcome: null });
    await says(page, "#activity > li:first-child", "running");
    mock.tell("exec", { id, at, what: "make", outcome: "failed", exitCode: 2, durationMs: 61000 });
    await says(page, "#activity > li:first-child", /exit 2\s+1 min/);
    assert.equal(await page.locator("#activity > li").count(), 71);
    well();
  },

  async "page: the broker goes away and comes back"(after) {
    const { mock, page } = await look(after);
    await says(page, "#activity-state", "live");
    await mock.down();
    await says(page, "#activity-state", "reconnecting");
    mock.activity.push({ ...mock.tell("exec", { what: "meanwhile" }), id: "other", what: "missed" });
    await mock.up();
    await says(page, "#activity-state", "live");
    await says(page, "#activity", "missed");
  },

  async "page: a broker that does not answer yet"(after) {
    const { mock, page } = await look(after);
    await says(page, "#agents", "box");
    mock.faults.set("GET /api/me", [500, "internal", "The broker could not do that now."]);
    await page.reload();
    await says(page, "#trouble", "The broker could not do that now.");
    mock.faults.clear();
    await says(page, "#agents", "box");
    await gone(page, "#trouble");
  },

  async "page: the keyboard reaches everything, and is seen to"(after) {
    const { page, well } = await look(after);
    await says(page, "#agents", "box");
    const reached = [];
    for (let i = 0; i < 12; i++) {
      await page.keyboard.press("Tab");
      const [name, outline] = await page.evaluate(() => {
        const e = document.activeElement;
        return [e.ariaLabel || e.textContent.trim(), getComputedStyle(e).outlineStyle];
      });
      if (await page.evaluate(() => document.activeElement === document.body)) break;
      assert.notEqual(outline, "none", name);
      reached.push(name);
    }
    assert.deepEqual(reached, ["Skip to the content", "Sign out", "Add a machine", "Terminal on box", "Revoke box"]);
    well();
  },

  async "page: a dialog keeps the focus and gives it back"(after) {
    const { page } = await look(after);
    await page.focus("#add");
    await page.keyboard.press("Enter");
    await says(page, "#join-code", "K7QM");
    for (let i = 0; i < 8; i++) {
      await page.keyboard.press("Tab");
      const inside = await page.evaluate(() => document.activeElement === document.body || !!document.activeElement.closest("#join"));
      assert.ok(inside);
    }
    await page.keyboard.press("Escape");
    await gone(page, "#join");
    assert.equal(await page.evaluate(() => document.activeElement.id), "add");
  },

  async "page: the focus stays where the list is made anew"(after) {
    const { mock, page } = await look(after);
    await page.focus("button[aria-label='Revoke box']");
    mock.join("laptop");
    await says(page, "#agents", "laptop");
    assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), "Revoke box");
  },

  async "page: nothing sticks out on a phone"(after) {
    const long = "ahostnamethatgoesonandonwithoutanyplacewhereitcouldbebroken";
    const { mock, page, well } = await look(after, (mock) => {
      mock.agents.push(agent(long, { hostname: long, user: "continuous-integration" }));
      mock.tell("exec", { agent: long, what: long.repeat(5), outcome: "failed", exitCode: 255, durationMs: 9e7 });
    }, phone);
    const fits = async () => assert.deepEqual(await page.evaluate(overflow), []);
    await says(page, "#activity", "exit 255");
    await fits();
    await page.click("#add");
    await says(page, "#join-code", "K7QM");
    await fits();
    mock.join("laptop");
    await says(page, "#join-note", "joined");
    await fits();
    await page.click("#join-close");
    await page.click(`button[aria-label='Revoke ${long}']`);
    await fits();
    await page.click("#revoke-no");
    await openTerminal(page);
    await fits();
    await page.click("#terminal-size");
    await fits();
    await page.click("#terminal-size");
    await page.click("#sign-out");
    await shown(page, "#sign-in");
    await fits();
    well();
  },

  async "page: everything can be read, in light and in dark"(after) {
    for (const colorScheme of ["light", "dark"]) {
      const { page } = await look(after, (mock) => {
        mock.agents.push(agent("nas", { connected: false }));
        mock.tell("exec", { what: "false", outcome: "failed", exitCode: 1, durationMs: 5 });
        mock.tell("exec", { what: "sleep", outcome: null });
      }, { colorScheme });
      await says(page, "#activity", "exit 1");
      await page.click("#add");
      await says(page, "#join-code", "K7QM");
      const seen = "h2, .strong, .muted, .when, .deed > *, .state, button:not(:disabled), dialog[open] p, dialog[open] code";
      const bad = await page.evaluate(([seen, contrast]) => {
        const ratio = new Function(`return ${contrast}`)();
        return [...document.querySelectorAll(seen)].filter((e) => e.checkVisibility() && e.textContent.trim() && ratio(e) < 4.5)
          .map((e) => `${e.outerHTML.slice(0, 80)} ${ratio(e).toFixed(2)}`);
      }, [seen, String(contrast)]);
      assert.deepEqual(bad, []);
    }
  },

  async "page: nothing moves for who wants that"(after) {
    const { page } = await look(after, () => {}, { reducedMotion: "reduce" });
    await openTerminal(page);
    const moving = await page.evaluate(() => [...document.querySelectorAll("*")].filter((e) => {
      const style = getComputedStyle(e);
      return style.animationName !== "none" || parseFloat(style.transitionDuration) > 0;
    }).map((e) => e.outerHTML.slice(0, 80)));
    assert.deepEqual(moving, []);
  },
};
