// The broker as clients see it that others have written: ws, which speaks WebSocket, and the browser over TLS.

import { once } from "node:events";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { machine, start } from "./broker.mjs";
import { newPage, until } from "./browser.mjs";
import { assert, screenHas, shown, state } from "./rig.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const { default: WebSocket } = await import(join(root, "build/vendor/src/ws/wrapper.mjs"));

async function code({ url, token }) {
  const reply = await fetch(`${url}/api/agent/code`, { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  return (await reply.json()).code;
}

// A terminal on ann's machine: what came of it so far is in `texts` and `bytes`.
async function terminal(after, broker, options = {}) {
  const socket = new WebSocket(`${broker.url.replace("http", "ws")}/api/terminal?rows=30&cols=100`,
    { headers: { Authorization: `Bearer ${broker.token}` }, ...options });
  socket.texts = [];
  socket.bytes = "";
  socket.on("message", (data, binary) => {
    if (binary) socket.bytes += data;
    else socket.texts.push(JSON.parse(data));
  });
  after(() => socket.terminate());
  await once(socket, "open");
  return socket;
}

async function joined(after, ...more) {
  const broker = await start(after, ...more);
  await machine(after, broker, await code(broker));
  return broker;
}

export const tests = {
  async "clients: ws has a terminal"(after) {
    const socket = await terminal(after, await joined(after));
    await until(() => socket.texts.length, "first word");
    assert.match(socket.texts[0].session, /^[0-9a-f]{32}$/);
    assert.equal(socket.texts[0].agent, "box");
    socket.send(Buffer.from("echo $((6 * "), { fin: false });
    socket.ping("are you there"); // between the pieces of a message
    const [answer] = await once(socket, "pong");
    assert.equal(String(answer), "are you there");
    socket.send(Buffer.from("7)); stty si"), { fin: false });
    socket.send(Buffer.from("ze\r"));
    await until(() => /42\r/.test(socket.bytes) && /30 100\r/.test(socket.bytes), "answer");
    socket.send(JSON.stringify({ resize: { rows: 31, cols: 101 } }));
    socket.send(Buffer.from("stty size\r"));
    await until(() => /31 101\r/.test(socket.bytes), "new size");
    socket.send(Buffer.from("exit 3\r"));
    const [status] = await once(socket, "close");
    assert.equal(status, 1000);
    assert.deepEqual(socket.texts.at(-1), { exit: 3 });
  },

  async "clients: ws that offers compression gets none"(after) {
    const socket = await terminal(after, await joined(after), { perMessageDeflate: true });
    assert.equal(socket.extensions, "");
    socket.send(Buffer.from("seq 100000 | tail -n 1\r"));
    await until(() => /100000\r/.test(socket.bytes), "answer");
  },

  async "clients: ws is told what is wrong"(after) {
    const broker = await joined(after);
    for (const [what, status] of [["junk", 1008], [JSON.stringify({ resize: { rows: 0, cols: 1 } }), 1008]]) {
      const socket = await terminal(after, broker);
      socket.send(what);
      const [got] = await once(socket, "close");
      assert.equal(got, status, what);
      assert.equal(socket.texts.at(-1).error, "invalid_request");
    }
    for (const [headers, status] of [[{}, 401], [{ Authorization: "Bearer x" }, 401]]) {
      const socket = new WebSocket(`${broker.url.replace("http", "ws")}/api/terminal`, { headers });
      const [, response] = await once(socket, "unexpected-response");
      assert.equal(response.statusCode, status);
      response.destroy();
    }
  },

  async "clients: the browser over TLS, page and terminal"(after) {
    const broker = await start(after, "--tls-self-signed");
    const { page, context, complaints } = await newPage(null, { ignoreHTTPSErrors: true });
    after(() => context.close());
    const reply = await page.goto(broker.url);
    const { protocol, issuer } = await reply.securityDetails();
    assert.equal(protocol, "TLS 1.2");
    assert.ok(issuer);
    await page.fill("#token", broker.token);
    await page.press("#token", "Enter");
    await shown(page, "#home");
    const [cookie] = await context.cookies();
    assert.ok(cookie.secure && cookie.httpOnly && cookie.name === "__Host-berth");
    await page.click("#add");
    await shown(page, "#join-how");
    const pin = /SHA-256 is ([0-9a-f]{64})/.exec(broker.said)[1];
    await machine(after, broker, await page.locator("#join-code").innerText(), "--pin", pin);
    await page.click("#join-terminal");
    await state(page, "connected");
    await page.locator("#screen textarea").focus();
    await page.keyboard.type("echo $((6 * 7))\r");
    await screenHas(page, "42");
    assert.deepEqual(complaints, []);
  },
};
