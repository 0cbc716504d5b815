// A broker of a test's own, and a machine that has joined it.

import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const berth = process.env.BERTH ?? "build/berth";

const freePort = () => new Promise((done) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

// A broker with a user, ann; `more` are further options of `berth broker`.
export async function start(after, ...more) {
  const state = mkdtempSync(join(tmpdir(), "berth-browser-"));
  chmodSync(state, 0o711); // where root starts it, it becomes somebody else
  after(() => rmSync(state, { recursive: true, force: true }));
  const port = await freePort();
  const words = ["--state", join(state, "s")];
  const broker = spawn(berth, ["broker", ...words, "--listen", `127.0.0.1:${port}`, ...more], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((done) => broker.once("exit", done));
  after(() => broker.kill() && ended);
  let said = "";
  await new Promise((done, fail) => {
    broker.stderr.on("data", (text) => {
      said += text;
      if (said.includes("berth broker: ")) done();
    });
    ended.then((status) => fail(new Error(`the broker ended with ${status}: ${said}`)));
  });
  const admin = (...asked) => execFileSync(berth, ["broker", ...asked, ...words], { encoding: "utf8" }).trim();
  admin("user", "add", "ann");
  const scheme = more.includes("--tls-self-signed") ? "https" : "http";
  return { dir: state, url: `${scheme}://127.0.0.1:${port}`, token: admin("token", "ann"), said, admin };
}

// A machine of ann's, joined; `more` are further options of `berth agent`.
export async function machine(after, { dir, url }, code, ...more) {
  const home = join(dir, "machine");
  mkdirSync(home);
  const agent = spawn(berth, ["agent", "--join", url, "--code", code, "--name", "box", ...more],
    { env: { HOME: home, PATH: process.env.PATH, SHELL: "/bin/sh" }, stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((done) => agent.once("exit", done));
  after(() => agent.kill() && ended);
  await new Promise((done, fail) => {
    let told = "";
    agent.stderr.on("data", (text) => {
      told += text;
      if (told.includes("joined as ")) done();
    });
    ended.then((status) => fail(new Error(`the agent ended with ${status}: ${told}`)));
  });
}
