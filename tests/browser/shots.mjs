// A picture of each state of the page, in light, in dark and on a phone, into the folder that is named first.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import * as browser from "./browser.mjs";
import { Mock, agent } from "./mock.mjs";
import { openTerminal, screenHas, state } from "./rig.mjs";

const dir = process.argv[2];
mkdirSync(dir, { recursive: true });
await browser.open();

const looks = { light: { colorScheme: "light" }, dark: { colorScheme: "dark" },
  phone: { colorScheme: "light", ...browser.phone }, "phone-dark": { colorScheme: "dark", ...browser.phone } };

function fill(mock) {
  mock.agents = [agent("studio", { hostname: "studio.lan" }), agent("nas", { arch: "aarch64", allow: ["exec", "files"] }),
    agent("build-server-with-a-long-name", { user: "continuous-integration", hostname: "build-07.internal.example.org",
      connected: false, since: null, lastSeen: new Date(Date.now() - 3 * 86400e3).toISOString() }),
    agent("new", { connected: false, since: null, lastSeen: null, hostname: null, user: null, platform: null, arch: null,
      version: null, allow: [] })];
  mock.tell("enroll", { agent: "studio" });
  mock.tell("join", { agent: "studio" });
  mock.tell("exec", { agent: "studio", what: "make -j8 test", outcome: "failed", exitCode: 2, durationMs: 74211 });
  mock.tell("exec", { agent: "nas", what: "df -h /srv", exitCode: 0, durationMs: 31 });
  mock.tell("file-read", { agent: "nas", what: "/srv/photos/2026/11/a-name-that-goes-on-and-on-for-longer-than-any-row-is-wide-on-any-screen.jpeg", durationMs: 512 });
  mock.tell("exec", { agent: "studio", what: "sleep 600", outcome: "timeout", durationMs: 120000 });
  mock.tell("terminal", { agent: "studio", outcome: null });
  mock.tell("exec", { agent: "studio", what: "rsync -a --delete src/ backup:/srv/src/", outcome: null });
}

async function shoot(look, name, page) {
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: join(dir, `${name}-${look}.png`), fullPage: !name.startsWith("full") });
}

async function press(page, what, then) {
  await page.click(what);
  await page.waitForSelector(then);
}

const states = {
  async signin(mock, page) {
    mock.signedIn = false;
    await page.goto(mock.url);
    await page.fill("#token", "berth_wrong");
    await press(page, "#sign-in button", "#sign-in-error:not(:empty)");
  },
  async empty(mock, page) {
    mock.agents = [];
    mock.activity = [];
    await page.goto(mock.url);
    await page.waitForSelector("#activity .empty");
  },
  async home(mock, page) {
    await page.goto(mock.url);
    await page.waitForSelector("#activity li");
    await page.waitForSelector("#activity-state.on");
  },
  async join(mock, page) {
    await states.home(mock, page);
    await press(page, "#add", "#join-code:not(:empty)");
  },
  async joined(mock, page) {
    await states.join(mock, page);
    mock.join("laptop");
    await page.waitForSelector("#join-terminal:not([hidden])");
  },
  async expired(mock, page) {
    mock.codeSeconds = 0;
    await states.home(mock, page);
    await press(page, "#add", "#join-new:not([hidden])");
  },
  async revoke(mock, page) {
    await states.home(mock, page);
    await press(page, "button[aria-label='Revoke studio']", "#revoke[open]");
  },
  async terminal(mock, page) {
    await states.home(mock, page);
    await openTerminal(page, "studio");
    await page.keyboard.type("colours\runame\rsize\r");
    await screenHas(page, "GNU/Linux");
  },
  async full(mock, page) {
    await states.terminal(mock, page);
    await page.click("#terminal-size");
  },
  async lost(mock, page) {
    await states.terminal(mock, page);
    await mock.down();
    await state(page, "lost");
    await page.waitForSelector("#activity-state:not(.on)");
  },
  async ended(mock, page) {
    await states.terminal(mock, page);
    await page.keyboard.type("exit 3\r");
    await state(page, "ended");
  },
};

const only = process.argv.slice(3);
for (const [look, options] of Object.entries(looks)) {
  for (const [name, reach] of Object.entries(states)) {
    if (only.length && !only.includes(name)) continue;
    const mock = await new Mock().start();
    fill(mock);
    const { page, complaints, context } = await browser.newPage(null, options);
    try {
      page.setDefaultTimeout(8000);
      await reach(mock, page);
      await shoot(look, name, page);
    } catch (error) {
      console.log(look, name, String(error).split("\n")[0]);
      await shoot(look, name, page);
    }
    for (const complaint of complaints) console.log(look, name, complaint);
    await context.close();
    await mock.down().catch(() => {});
  }
}
await browser.close();
