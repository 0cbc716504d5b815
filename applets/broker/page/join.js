// Adding a machine: a command with a code in it, until the agent is there or the code has expired.

import { brokerNow, call } from "./api.js";
import { $, say, show } from "./dom.js";
import * as agents from "./agents.js";
import * as terminal from "./terminal.js";

const LOOK_MS = 3000;

let tick, look, expires, known, unwatch, joined;

function note(words, failed = false) {
  $("join-note").textContent = words;
  $("join-note").className = failed ? "error" : "";
}

function count() {
  const left = Math.round((expires - brokerNow()) / 1000);
  if (left <= 0) {
    expired();
    return;
  }
  $("join-left").textContent = `valid for ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
}

function rest() {
  clearInterval(tick);
  clearInterval(look);
  unwatch?.();
}

function expired() {
  rest();
  note("The code has expired.", true);
  show($("join-new"));
  show($("join-how"), false);
}

// The one that was not there, or not connected, when the code was made.
function arrived(list) {
  if (!known) {
    known = new Set(list.filter((agent) => agent.connected).map((agent) => agent.name));
    return;
  }
  const agent = list.find((candidate) => candidate.connected && !known.has(candidate.name));
  if (!agent) return;
  rest();
  joined = agent;
  note(`${agent.name} has joined.`);
  show($("join-how"), false);
  show($("join-terminal"), !agent.allow || agent.allow.includes("terminal"));
  $("join-close").textContent = "Done";
}

function reset() {
  rest();
  joined = known = null;
  for (const id of ["join-command", "join-code", "join-left"]) $(id).textContent = "";
  for (const id of ["join-new", "join-terminal", "join-how"]) show($(id), false);
  $("join-close").textContent = "Close";
  note("Asking for a code…");
}

async function begin() {
  reset();
  try {
    arrived((await call("GET", "api/agents")).agents);
    const { code, expiresAt, command } = await call("POST", "api/agent/code", {});
    $("join-command").textContent = command;
    $("join-code").textContent = code;
    expires = Date.parse(expiresAt);
  } catch (error) {
    note(error.message, true);
    show($("join-new"));
    return;
  }
  show($("join-how"));
  note("Waiting for the machine…");
  unwatch = agents.watch(arrived);
  look = setInterval(agents.refresh, LOOK_MS);
  tick = setInterval(count, 1000);
  count();
}

// Where there is no clipboard, as on a page without TLS, the selection is copied.
async function copy() {
  const command = $("join-command");
  try {
    await navigator.clipboard.writeText(command.textContent);
  } catch {
    getSelection().selectAllChildren(command);
    if (!document.execCommand("copy")) {
      say("Could not copy; the command is selected");
      return;
    }
  }
  $("join-copy").textContent = "Copied";
  say("Copied");
  setTimeout(() => { $("join-copy").textContent = "Copy"; }, 2000);
}

export function open() {
  $("join").showModal();
  begin();
}

export function close() {
  if ($("join").open) $("join").close();
}

$("join").addEventListener("close", rest);
$("join-close").addEventListener("click", close);
$("join-new").addEventListener("click", begin);
$("join-copy").addEventListener("click", copy);
$("join-terminal").addEventListener("click", () => { close(); terminal.open(joined.name); });
