// The page on the broker itself.

import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { start } from "./broker.mjs";
import { newPage, until } from "./browser.mjs";
import { assert, gone, says, screen, screenHas, shown, state, text } from "./rig.mjs";

async function signedIn(after) {
  const broker = await start(after);
  const { page, complaints, context } = await newPage(broker.url);
  after(() => context.close());
  await page.fill("#token", broker.token);
  await page.press("#token", "Enter");
  await shown(page, "#home");
  return { ...broker, page, context, complaints };
}

// Pastes the page's line on a machine of its own, as far as a folder can be one.
async function paste(after, { page, dir }) {
  const home = join(dir, "home");
  mkdirSync(home);
  await page.click("#add");
  await shown(page, "#join-how");
  const machine = spawn("sh", ["-c", await text(page, "#join-command")],
    { env: { HOME: home, PATH: process.env.PATH }, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  machine.said = "";
  for (const out of [machine.stdout, machine.stderr]) out.on("data", (data) => { machine.said += data; });
  machine.ended = new Promise((done) => machine.once("exit", done));
  after(() => machine.exitCode ?? machine.signalCode ?? process.kill(-machine.pid));
  await Promise.race([says(page, "#join-note", "has joined."),
    machine.ended.then((status) => { throw new Error(`ended with ${status}: ${machine.said}`); })]);
  return machine;
}

export const tests = {
  async "broker: the line on the page joins a machine, which has a terminal then"(after) {
    const broker = await signedIn(after);
    const { page, complaints } = broker;
    const machine = await paste(after, broker);
    await page.click("#join-terminal");
    await state(page, "connected");
    await page.locator("#screen textarea").focus();
    await page.keyboard.type("kept=$((6 * 7)); stty size\r");
    await until(async () => /^\d+ \d+$/m.test(await screen(page)), "size");
    await page.reload();
    await state(page, "connected");
    await page.locator("#screen textarea").focus();
    await page.keyboard.type("echo is $kept\r");
    await screenHas(page, "is 42");
    await says(page, "#activity > li:first-child", /terminal[^]*running/);
    await page.keyboard.type("exit 3\r");
    await says(page, "#terminal-state", "ended with exit code 3");
    await says(page, "#activity > li:first-child", /terminal[^]* m?s$/);
    await page.locator("#agents button:has-text('Revoke')").click();
    await page.click("#revoke-yes");
    await says(page, "#agents", "No machine yet");
    assert.equal(await machine.ended, 1);
    await says(page, "#activity", "revoked");
    assert.deepEqual(complaints, []);
  },

  async "broker: a machine that goes away in the middle"(after) {
    const broker = await signedIn(after);
    const { page, url, token } = broker;
    const machine = await paste(after, broker);
    await page.click("#join-terminal");
    await state(page, "connected");
    const running = fetch(`${url}/api/exec`, { method: "POST", headers: { Authorization: `Bearer ${token}` },
      body: JSON.stringify({ command: "sleep 1000" }) });
    await says(page, "#activity", /sleep 1000[^]*running/);
    process.kill(-machine.pid, "SIGKILL");
    await state(page, "ended");
    assert.equal((await (await running).json()).error, "agent_disconnected");
    await says(page, "#activity", /sleep 1000[^]*agent lost/);
    await says(page, "#agents", "last seen");
  },

  async "broker: signs in, stays so, signs out"(after) {
    const { page, context, complaints } = await signedIn(after);
    assert.equal(await text(page, "#user"), "ann");
    const [cookie] = await context.cookies();
    assert.ok(cookie.httpOnly && cookie.sameSite === "Strict");
    await page.reload();
    await says(page, "#agents", "No machine yet");
    await page.click("#sign-out");
    await shown(page, "#sign-in");
    assert.deepEqual(await context.cookies(), []);
    assert.deepEqual(complaints, []);
  },

  async "broker: asks to sign in again once the token is revoked"(after) {
    const { page, admin } = await signedIn(after);
    await says(page, "#activity-state", "live");
    const [id] = admin("token", "ann", "list").split(" ");
    admin("token", "ann", "revoke", id);
    await shown(page, "#sign-in");
    await gone(page, "#home");
    await page.fill("#token", admin("token", "ann"));
    await page.press("#token", "Enter");
    await says(page, "#activity-state", "live");
  },

  async "broker: a code, a device, and its end"(after) {
    const { page, url, complaints } = await signedIn(after);
    await page.click("#add");
    await shown(page, "#join-how");
    const code = await text(page, "#join-code");
    assert.equal(await text(page, "#join-command"), `curl -fsS ${url}/install.sh | sh -s -- ${code}`);
    await says(page, "#join-left", /^valid for (10:00|9:5\d)$/);
    const enrolled = await fetch(`${url}/api/agent/enroll`, { method: "POST",
      body: JSON.stringify({ code, public_key: "ab".repeat(32), name: "box" }) });
    assert.equal(enrolled.status, 200);
    await page.keyboard.press("Escape");
    await page.reload();
    await says(page, "#agents", "never connected");
    await page.click("button[aria-label='Revoke box']");
    await page.click("#revoke-yes");
    await gone(page, "#revoke");
    await says(page, "#agents", "No machine yet");
    assert.deepEqual(complaints, []);
  },

  async "broker: what it serves cannot be framed or scripted from elsewhere"(after) {
    const { url } = await start(after);
    const { page, context } = await newPage();
    after(() => context.close());
    const { headers } = await fetch(url);
    assert.match(headers.get("content-security-policy"), /default-src 'none'.*frame-ancestors 'none'/);
    await page.goto(url);
    await page.evaluate(async () => {
      window.seen = new Set();
      addEventListener("securitypolicyviolation", (event) => window.seen.add(event.effectiveDirective));
      const put = (tag, properties) => document.body.append(Object.assign(document.createElement(tag), properties));
      const tries = [() => { document.createElement("div").innerHTML = "<img src=x onerror='ran = true'>"; },
        () => put("script", { textContent: "ran = true" }),
        () => put("style", { textContent: "body { color: red }" }),
        () => put("img", { src: "http://127.0.0.1:9/" }),
        () => put("iframe", { src: "/" }),
        () => fetch("http://127.0.0.1:9/")];
      for (const attempt of tries) await Promise.resolve().then(attempt).catch(() => {});
    });
    const breached = ["connect-src", "frame-src", "img-src", "require-trusted-types-for", "style-src-elem"];
    await until(() => page.evaluate((all) => all.every((one) => window.seen.has(one)), breached), "report of every breach");
    assert.equal(await page.evaluate(() => window.ran), undefined);
    await until(async () => (await page.locator("#sign-in").isVisible()), "sign-in");
  },
};
