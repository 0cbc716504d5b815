// The page on the broker itself.

import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newPage, until } from "./browser.mjs";
import { assert, gone, says, shown, text } from "./rig.mjs";

const berth = process.env.BERTH ?? "build/berth";

const freePort = () => new Promise((done) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

async function start(after) {
  const state = mkdtempSync(join(tmpdir(), "berth-browser-"));
  chmodSync(state, 0o711); // where root starts it, it becomes somebody else
  after(() => rmSync(state, { recursive: true, force: true }));
  const port = await freePort();
  const words = ["--state", join(state, "s")];
  const broker = spawn(berth, ["broker", ...words, "--listen", `127.0.0.1:${port}`], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((done) => broker.once("exit", done));
  after(() => broker.kill() && ended);
  await new Promise((done, fail) => {
    let said = "";
    broker.stderr.on("data", (text) => {
      said += text;
      if (said.includes("berth broker: ")) done();
    });
    ended.then((status) => fail(new Error(`the broker ended with ${status}: ${said}`)));
  });
  const admin = (...more) => execFileSync(berth, ["broker", ...more, ...words], { encoding: "utf8" }).trim();
  admin("user", "add", "ann");
  return { url: `http://127.0.0.1:${port}`, token: admin("token", "ann") };
}

async function signedIn(after) {
  const broker = await start(after);
  const { page, complaints, context } = await newPage(broker.url);
  after(() => context.close());
  await page.fill("#token", broker.token);
  await page.press("#token", "Enter");
  await shown(page, "#home");
  return { ...broker, page, context, complaints };
}

export const tests = {
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
    const breaches = await page.evaluate(async () => {
      const seen = [];
      addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
      const inline = document.createElement("script");
      inline.textContent = "window.ran = true";
      const style = document.createElement("style");
      style.textContent = "body { color: red }";
      document.head.append(inline, style);
      await fetch("http://127.0.0.1:9/").catch(() => {});
      await new Promise((next) => setTimeout(next, 0));
      return { seen, ran: window.ran };
    });
    assert.equal(breaches.ran, undefined);
    assert.deepEqual(breaches.seen.sort(), ["connect-src", "script-src-elem", "style-src-elem"]);
    await until(async () => (await page.locator("#sign-in").isVisible()), "sign-in");
  },
};
