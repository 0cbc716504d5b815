// A terminal on an agent. Its session outlives a lost connection and a reload of the page: the broker keeps
// it for a minute and says again what was said last.

import { address, call, socketAddress } from "./api.js";
import { $, make, say, show } from "./dom.js";

const KEEP = "berth.terminal"; // in this tab's storage: {agent, session}
const RETRY_MS = [250, 500, 1000, 2000, 4000];
const DONE = 4000;       // said by us: end it
const TAKEN_OVER = 4001; // said by the broker
const SLICE = 16384;     // bytes of one message

const dark = matchMedia("(prefers-color-scheme: dark)");
const still = matchMedia("(prefers-reduced-motion: reduce)");
const themes = {
  dark: { background: "#101417", foreground: "#d8dee3", cursor: "#5fd3bf", cursorAccent: "#101417",
    selectionBackground: "#2d4a55", black: "#2a3238", red: "#f28b82", green: "#7fd18c", yellow: "#e3c36a",
    blue: "#82b1ff", magenta: "#d3a0f0", cyan: "#6fd3d9", white: "#cdd4d9", brightBlack: "#7c8890",
    brightRed: "#ffaaa3", brightGreen: "#a1e6ab", brightYellow: "#f5dc90", brightBlue: "#a8c8ff",
    brightMagenta: "#e5c0fa", brightCyan: "#98e8ec", brightWhite: "#ffffff" },
  light: { background: "#ffffff", foreground: "#1c2429", cursor: "#0b6e63", cursorAccent: "#ffffff",
    selectionBackground: "#bfdcd8", black: "#1c2429", red: "#b3261e", green: "#1b6e2d", yellow: "#7a5900",
    blue: "#1a56b0", magenta: "#8435a8", cyan: "#0b6c75", white: "#667077", brightBlack: "#566068",
    brightRed: "#c4372e", brightGreen: "#24803a", brightYellow: "#8a6700", brightBlue: "#2a67c4",
    brightMagenta: "#9646bb", brightCyan: "#157d87", brightWhite: "#39434a" },
};

// What a touch keyboard lacks.
const keys = [["Esc", "\x1b"], ["Tab", "\t"], ["Ctrl", null], ["↑", "\x1b[A"], ["↓", "\x1b[B"], ["←", "\x1b[D"],
  ["→", "\x1b[C"]];

let term, fit;           // xterm.js, once it was wanted
let agent = null;        // where; null: there is no terminal
let session = null;      // known to the broker
let socket = null;
let tries = 0, retry;
let controlHeld = false;

const states = {
  connecting: ["connecting…", ""],
  connected: ["connected", "on"],
  lost: ["connection lost, reconnecting…", "bad"],
  taken: ["open in another window", "bad"],
  ended: ["ended", ""],
};

// `again`: what the button offers that begins anew; null: nothing.
function enter(state, words, again = null) {
  const [usual, classes] = states[state];
  $("terminal").dataset.state = state;
  $("terminal-state").textContent = words ?? usual;
  $("terminal-state").className = `state ${classes}`;
  $("terminal-again").textContent = again ?? "";
  show($("terminal-again"), again !== null);
  if (term) term.options.disableStdin = state !== "connected";
}

function keep() {
  if (agent && session) sessionStorage.setItem(KEEP, JSON.stringify({ agent, session }));
  else sessionStorage.removeItem(KEEP);
}

function send(bytes) {
  if (socket?.readyState !== WebSocket.OPEN) return;
  for (let at = 0; at < bytes.length; at += SLICE) socket.send(bytes.subarray(at, at + SLICE));
}

const encoder = new TextEncoder();

function typed(data) {
  if (controlHeld && data.length === 1) data = String.fromCharCode(data.toUpperCase().charCodeAt(0) & 31);
  holdControl(false);
  send(encoder.encode(data));
}

// The connection.

function forget() {
  session = null;
  keep();
}

// Its end, as the broker tells it.
function over(told) {
  forget();
  if ("exit" in told) enter("ended", `ended with exit code ${told.exit}`, "New terminal");
  else enter("ended", told.message, "New terminal");
}

function heard(told) {
  if ("session" in told) {
    session = told.session;
    agent = told.agent;
    $("terminal-where").textContent = told.hostname && told.hostname !== told.agent
      ? `${told.agent} (${told.hostname})` : told.agent;
    tries = 0;
    keep();
    enter("connected");
    resized();
  } else if (told.error === "unauthorized") { // who signs in again may go on with it
    dispatchEvent(new CustomEvent("berth-failed", { detail: { status: 401 } }));
  } else {
    over(told);
  }
}

function resized() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ resize: { rows: term.rows, cols: term.cols } }));
}

// Why a first connection was refused is not told to a script, so it is looked up.
async function refused() {
  let words = "The broker refused the terminal.";
  try {
    const { agents } = await call("GET", "api/agents");
    const found = agents.find((candidate) => candidate.name === agent);
    if (!found?.connected) words = `${agent} is not connected.`;
  } catch (error) {
    if (error.status === 401) dispatchEvent(new CustomEvent("berth-failed", { detail: error }));
    words = error.message;
  }
  if (!socket) enter("ended", words, "Try again");
}

function lost(code) {
  socket = null;
  if ($("terminal").dataset.state === "ended") return;
  if (code === TAKEN_OVER) {
    enter("taken", null, "Bring it here");
  } else if (session) {
    enter("lost");
    retry = setTimeout(connect, RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)] * (0.75 + Math.random() / 2));
  } else {
    refused();
  }
}

function connect() {
  clearTimeout(retry);
  const query = new URLSearchParams({ agent, rows: term.rows, cols: term.cols });
  if (session) query.set("session", session);
  const mine = new WebSocket(socketAddress(`api/terminal?${query}`));
  mine.binaryType = "arraybuffer";
  socket = mine;
  if (!session) enter("connecting");
  let fresh = true; // what comes first replaces what is on the screen
  mine.onmessage = ({ data }) => {
    if (mine !== socket) return;
    if (fresh) term.reset();
    fresh = false;
    if (typeof data === "string") heard(JSON.parse(data));
    else term.write(new Uint8Array(data));
  };
  mine.onclose = ({ code }) => { if (mine === socket) lost(code); };
}

function disconnect(code = 1000) {
  clearTimeout(retry);
  const old = socket;
  socket = null;
  old?.close(code);
}

// The network is back, or the page is looked at again: no reason to wait.
function hurry() {
  if ($("terminal").dataset.state !== "lost" || document.hidden) return;
  tries = 0;
  if (!socket) connect();
}

// The browser knows sooner than the connection.
function offline() {
  if ($("terminal").dataset.state !== "connected") return;
  disconnect();
  lost(0);
}

// What is seen.

function restyle() {
  if (!term) return;
  term.options.theme = dark.matches ? themes.dark : themes.light;
  term.options.cursorBlink = !still.matches;
}

function leaveOn(event) {
  if (event.type !== "keydown" || !event.ctrlKey || event.key !== ".") return true;
  event.preventDefault();
  $("terminal-close").focus();
  return false;
}

async function load() {
  if (term) return;
  await import(address("page/xterm.js"));
  await import(address("page/addon-fit.js"));
  term = new globalThis.Terminal({ fontFamily: getComputedStyle($("screen")).fontFamily, fontSize: 13, scrollback: 5000,
    macOptionIsMeta: true, screenReaderMode: false });
  fit = new globalThis.FitAddon.FitAddon();
  term.loadAddon(fit);
  restyle();
  term.open($("screen"));
  term.attachCustomKeyEventHandler(leaveOn);
  term.onData(typed);
  term.onBinary((data) => send(Uint8Array.from(data, (c) => c.charCodeAt(0))));
  term.onResize(resized);
  term.onTitleChange((title) => { $("terminal-where").title = title; });
  new ResizeObserver(() => { if (!$("terminal").hidden) fit.fit(); }).observe($("screen"));
}

function holdControl(held) {
  controlHeld = held;
  $("keys").querySelector("[aria-pressed]").setAttribute("aria-pressed", held);
}

function press(sequence) {
  if (sequence === null) {
    holdControl(!controlHeld);
  } else {
    const arrow = term.modes.applicationCursorKeysMode && sequence.startsWith("\x1b[");
    send(encoder.encode(arrow ? sequence.replace("[", "O") : sequence));
  }
  term.focus();
}

function fullPage(full) {
  document.body.classList.toggle("full", full);
  $("terminal-size").setAttribute("aria-pressed", full);
  fit?.fit();
}

// From outside.

async function begin(name, known) {
  disconnect(session && session !== known ? DONE : 1000);
  agent = name;
  session = known;
  tries = 0;
  show($("terminal"));
  $("terminal-where").textContent = name;
  enter("connecting");
  try {
    await load();
  } catch {
    enter("ended", "The terminal could not be loaded.", "Try again");
    return;
  }
  fit.fit();
  term.reset();
  connect();
  $("terminal").scrollIntoView({ block: "nearest" });
  term.focus();
}

export const open = (name) => begin(name, null);

// After a reload of the page.
export function resume() {
  const kept = JSON.parse(sessionStorage.getItem(KEEP) ?? "null");
  if (kept && agent === null) begin(kept.agent, kept.session);
}

// Lets go of what is shown; the broker keeps it for a minute.
export function leave() {
  disconnect();
  agent = null;
  fullPage(false);
  show($("terminal"), false);
}

// Ends it.
export function close() {
  forget();
  disconnect(DONE);
  leave();
}

function closeAndSay() {
  close();
  say("Terminal closed");
  $("agents").querySelector("button:not(:disabled)")?.focus();
}

function again() {
  begin(agent, session);
}

for (const [label, sequence] of keys) {
  const key = make("button", { type: "button", textContent: label, onclick: () => press(sequence) });
  if (sequence === null) key.setAttribute("aria-pressed", "false");
  $("keys").append(key);
}
$("terminal-close").addEventListener("click", closeAndSay);
$("terminal-again").addEventListener("click", again);
$("terminal-size").addEventListener("click", () => {
  fullPage(!document.body.classList.contains("full"));
  term?.focus();
});
dark.addEventListener("change", restyle);
still.addEventListener("change", restyle);
addEventListener("online", hurry);
addEventListener("offline", offline);
document.addEventListener("visibilitychange", hurry);
