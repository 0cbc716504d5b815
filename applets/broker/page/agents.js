// The user's agents: which there are, a terminal on one, the end of one.

import { call } from "./api.js";
import { $, make, say, show, since, text } from "./dom.js";
import * as terminal from "./terminal.js";

const REFRESH_MS = 15000;

let timer;
let shown = "";
let revoking = null;
const watchers = new Set();

// `watcher` is told of each list that comes; returns what ends that.
export function watch(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

function state(agent) {
  if (agent.connected) return ["connected ", agent.since ? since(agent.since) : null];
  return agent.lastSeen ? ["last seen ", since(agent.lastSeen)] : ["never connected"];
}

function facts(agent) {
  const parts = [[agent.platform, agent.arch].filter(Boolean).join(" ")];
  if (agent.version) parts.push(`berth ${agent.version}`);
  if (agent.allow && agent.platform) parts.push(agent.allow.length ? `allows ${agent.allow.join(", ")}` : "allows nothing");
  return parts.filter(Boolean).join(" · ");
}

function actions(agent) {
  const mayOpen = !agent.allow || agent.allow.includes("terminal");
  const open = make("button", { type: "button", textContent: "Terminal", onclick: () => terminal.open(agent.name),
    disabled: !agent.connected || !mayOpen, "aria-label": `Terminal on ${agent.name}` });
  if (!mayOpen) open.title = "The agent's owner does not allow terminals";
  const revoke = make("button", { type: "button", textContent: "Revoke", className: "quiet",
    onclick: () => ask(agent.name), "aria-label": `Revoke ${agent.name}` });
  return make("div", { className: "actions" }, open, revoke);
}

function row(agent) {
  const host = agent.user && agent.hostname ? `${agent.user}@${agent.hostname}` : agent.hostname;
  return make("li", { className: agent.connected ? "agent on" : "agent" },
    make("div", { className: "name" }, text(agent.name, "strong"), " ", host ? text(host, "muted") : null),
    make("div", { className: "muted facts" }, text(facts(agent))),
    make("div", { className: "when" }, ...state(agent)),
    actions(agent));
}

const none = () => make("li", { className: "empty" },
  "No machine yet. Your commands run on your own machines and nowhere else: add one to begin.");

// The rows are made anew only when they differ, and what has the focus keeps it.
function draw(agents) {
  const now = JSON.stringify(agents);
  if (now === shown) return;
  shown = now;
  const focus = document.activeElement?.getAttribute("aria-label");
  $("agents").replaceChildren(...(agents.length ? agents.map(row) : [none()]));
  if (!focus || document.activeElement !== document.body) return;
  [...$("agents").querySelectorAll("button")].find((button) => button.getAttribute("aria-label") === focus)?.focus();
}

export async function refresh() {
  try {
    const { agents } = await call("GET", "api/agents");
    draw(agents.sort((a, b) => b.connected - a.connected || a.name.localeCompare(b.name)));
    for (const watcher of watchers) watcher(agents);
    dispatchEvent(new Event("berth-well"));
  } catch (error) {
    dispatchEvent(new CustomEvent("berth-failed", { detail: error }));
  }
}

async function ask(name) {
  revoking = name;
  $("revoke-name").textContent = name;
  $("revoke-error").textContent = "";
  $("revoke").showModal();
}

async function revoke() {
  try {
    await call("DELETE", `api/agents/${encodeURIComponent(revoking)}`);
    $("revoke").close();
    say(`${revoking} is revoked`);
    refresh();
  } catch (error) {
    $("revoke-error").textContent = error.message;
  }
}

function refreshIfSeen() {
  if (!document.hidden) refresh();
}

export function start() {
  stop();
  refresh();
  timer = setInterval(refreshIfSeen, REFRESH_MS);
}

export function stop() {
  clearInterval(timer);
  shown = "";
  if ($("revoke").open) $("revoke").close();
}

$("revoke-no").addEventListener("click", () => $("revoke").close());
$("revoke-yes").addEventListener("click", revoke);
document.addEventListener("visibilitychange", () => { if (!$("home").hidden) refreshIfSeen(); });
show($("agents"));
