// A broker's API as the page sees it, in whatever state a test wants it. The page's own files come from the
// source tree, with the very fields that the broker sends along.

import { readFileSync, existsSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { WebSocket } from "./websocket.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const DONE = 4000; // a client's word that it will not come back
const TOKEN = "berth_" + "t".repeat(43);

function securityFields() {
  const source = readFileSync(join(root, "applets/broker/assets.c"), "utf8");
  const text = /security_fields\[\] =\n((?: +".*"\n?)+)/.exec(source)[1];
  const lines = text.match(/"[^\n]*"/g).map((line) => line.slice(1, -1)).join("").split("\\r\\n").filter(Boolean);
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
}

function pageFile(path) {
  const name = path === "/" ? "index.html" : path.replace("/page/", "");
  return [join(root, "applets/broker/page", name), join(root, "build/vendor/page/lib", name)].find(existsSync);
}

const ago = (seconds) => new Date(Date.now() - seconds * 1000).toISOString().replace(/\.\d+Z/, "Z");

export function agent(name, more = {}) {
  return { name, hostname: name, user: "ann", platform: "linux", arch: "x86_64", version: "0.1.0",
    allow: ["exec", "files", "terminal", "dial"], connected: true, since: ago(200), lastSeen: ago(0), ...more };
}

export class Mock {
  token = TOKEN;
  signedIn = true;
  agents = [];
  activity = []; // oldest first
  faults = new Map(); // "METHOD /path" -> [status, error, message, fields]
  asked = []; // "METHOD /path"
  sockets = []; // that are open
  sessions = new Map();
  codeSeconds = 600;
  events = new Set();
  connections = new Set();
  #n = 0;

  async start() {
    this.fields = securityFields();
    this.server = createServer((request, response) => this.#answer(request, response));
    this.server.on("connection", (socket) => {
      this.connections.add(socket);
      socket.on("close", () => this.connections.delete(socket));
    });
    this.server.on("upgrade", (request, socket) => this.#upgrade(request, socket));
    await this.up();
    return this;
  }

  up() {
    return new Promise((done) => this.server.listen(this.port ?? 0, "127.0.0.1", () => {
      this.port = this.server.address().port;
      this.url = `http://127.0.0.1:${this.port}`;
      done();
    }));
  }

  // Not to be reached, and every connection is gone.
  down() {
    const closed = new Promise((done) => this.server.close(done));
    for (const socket of this.connections) socket.destroy();
    return closed;
  }

  tell(kind, more = {}) {
    const entry = { id: `a${++this.#n}`, at: new Date().toISOString(), kind, agent: "box", hostname: "box", what: "",
      outcome: "ok", exitCode: null, durationMs: null, ...more };
    const old = this.activity.findIndex((other) => other.id === entry.id);
    if (old < 0) this.activity.push(entry);
    else this.activity[old] = entry;
    for (const response of this.events) response.write(`id: ${entry.id}\nevent: activity\ndata: ${JSON.stringify(entry)}\n\n`);
    return entry;
  }

  join(name, more) {
    this.agents.push(agent(name, { since: ago(0), ...more }));
    this.tell("join", { agent: name, hostname: name });
  }

  // ---- answers ----

  #json(response, status, body, fields = {}) {
    response.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store", ...fields });
    response.end(status === 204 ? "" : JSON.stringify(body));
  }

  #error(response, status, error, message, fields) {
    this.#json(response, status, { error, message }, fields);
  }

  async #answer(request, response) {
    const url = new URL(request.url, this.url);
    const what = `${request.method} ${url.pathname}`;
    this.asked.push(what);
    let text = "";
    for await (const piece of request) text += piece;
    const fault = this.faults.get(what);
    if (fault) this.#error(response, ...fault);
    else if (!url.pathname.startsWith("/api/")) this.#file(response, url.pathname);
    else if (what === "POST /api/session") this.#signIn(response, JSON.parse(text));
    else if (!this.signedIn) this.#error(response, 401, "unauthorized", "Sign in first.");
    else this.#api(what, url, request, response);
  }

  #file(response, path) {
    const file = pageFile(path);
    if (!file) return this.#error(response, 404, "not_found", "There is nothing here.");
    response.writeHead(200, { "Content-Type": TYPES[extname(file)], "Cache-Control": "no-cache", ...this.fields });
    response.end(readFileSync(file));
  }

  #signIn(response, { token }) {
    this.signedIn = token === this.token;
    if (this.signedIn) this.#json(response, 200, { user: "ann" });
    else this.#error(response, 401, "unauthorized", "This token stands for nobody.");
  }

  #api(what, url, request, response) {
    const name = decodeURIComponent(what.split("/").pop());
    if (what === "GET /api/me") {
      this.#json(response, 200, { user: "ann", url: this.url, version: "0.1.0", authenticated: true });
    } else if (what === "DELETE /api/session") {
      this.signedIn = false;
      this.#json(response, 204);
    } else if (what === "GET /api/agents") {
      this.#json(response, 200, { agents: this.agents });
    } else if (what === "POST /api/agent/code") {
      const expiresAt = new Date(Date.now() + this.codeSeconds * 1000).toISOString();
      this.#json(response, 200, { code: "K7QM-3XWD", expiresAt,
        command: "curl -fsS https://berth.example/install.sh | sh -s -- K7QM-3XWD" });
    } else if (what.startsWith("DELETE /api/agents/")) {
      this.agents = this.agents.filter((other) => other.name !== name);
      this.#json(response, 204);
      this.tell("revoke", { agent: name });
    } else if (what === "GET /api/activity") {
      this.#activity(url, request, response);
    } else {
      this.#error(response, 404, "not_found", "There is nothing here.");
    }
  }

  #activity(url, request, response) {
    if (request.headers.accept?.includes("text/event-stream")) {
      response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
      response.write(":\n\n");
      this.events.add(response);
      response.on("close", () => this.events.delete(response));
      return;
    }
    const before = url.searchParams.get("before");
    const end = before ? this.activity.findIndex((entry) => entry.id === before) : this.activity.length;
    const limit = Number(url.searchParams.get("limit") ?? 100);
    this.#json(response, 200, { activity: this.activity.slice(Math.max(0, end - limit), end).reverse() });
  }

  // ---- terminals: a shell that knows few words ----

  #upgrade(request, socket) {
    const query = new URL(request.url, this.url).searchParams;
    const found = this.agents.find((other) => other.name === query.get("agent"));
    this.asked.push("GET /api/terminal");
    if (!this.signedIn || !found?.connected) {
      socket.end("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    const ws = new WebSocket(request, socket);
    this.sockets.push(ws);
    const id = query.get("session");
    if (id && !this.sessions.has(id)) {
      ws.send(JSON.stringify({ error: "not_found", message: "That terminal is over." }));
      ws.close(1011);
      return;
    }
    const session = this.sessions.get(id) ?? { id: `s${++this.#n}`, said: Buffer.alloc(0), line: "" };
    const size = { rows: Number(query.get("rows")), cols: Number(query.get("cols")) };
    if (session.ws) session.ws.close(4001);
    this.sessions.set(session.id, Object.assign(session, { ws, size, closed: null }));
    ws.send(JSON.stringify({ session: session.id, agent: found.name, hostname: found.hostname }));
    if (session.said.length) ws.send(session.said);
    else this.#say(session, "$ ");
    ws.onmessage = (message) => this.#typed(session, message);
    ws.onclose = (code) => {
      this.sockets = this.sockets.filter((other) => other !== ws);
      session.closed = code;
      if (session.ws === ws) session.ws = null;
      if (code === DONE) this.sessions.delete(session.id);
    };
  }

  #say(session, text) {
    const bytes = Buffer.from(text);
    session.said = Buffer.concat([session.said, bytes]);
    session.ws?.send(bytes);
  }

  #typed(session, message) {
    if (typeof message === "string") {
      Object.assign(session.size, JSON.parse(message).resize);
      return;
    }
    for (const c of message.toString()) {
      if (c !== "\r") {
        session.line += c;
        this.#say(session, c < " " ? `^${String.fromCharCode(c.charCodeAt(0) + 64)}` : c);
        continue;
      }
      this.#run(session, session.line);
      session.line = "";
    }
  }

  #run(session, line) {
    const answers = { size: `${session.size.rows}x${session.size.cols}`,
      colours: "\x1b[38;2;200;30;60mtrue\x1b[0m \x1b[31mred\x1b[32m green\x1b[33m yellow\x1b[34m blue\x1b[35m magenta" +
        "\x1b[36m cyan\x1b[0m \x1b[1mbold\x1b[0m \x1b[7mreverse\x1b[0m",
      uname: "Linux box 6.1.0 x86_64 GNU/Linux" };
    if (line.startsWith("exit")) {
      session.ws.send(JSON.stringify({ exit: Number(line.split(" ")[1] ?? 0) }));
      session.ws.close(1000);
      this.sessions.delete(session.id);
      return;
    }
    this.#say(session, `\r\n${answers[line] ?? `${line}: not found`}\r\n$ `);
  }
}
