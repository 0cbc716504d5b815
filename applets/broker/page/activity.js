// What has been done with the user's agents, as it happens.

import { address, call } from "./api.js";
import { $, duration, make, moment, show, text } from "./dom.js";
import * as agents from "./agents.js";

const PAGE = 50;
const RETRY_MS = 5000;
const ABOUT_AGENTS = ["join", "leave", "enroll", "revoke"];
const KINDS = { "exec": "ran", "file-read": "read", "file-write": "wrote", "terminal": "terminal", "join": "joined",
  "leave": "left", "enroll": "enrolled", "revoke": "revoked" };
const OUTCOMES = { ok: "", failed: "failed", timeout: "timed out", lost: "agent lost", refused: "refused",
  interrupted: "interrupted" };

let source, retry;
const rows = new Map(); // by the activity's id

function outcome(a) {
  if (a.outcome === null) return ["running", "going"];
  if (a.outcome === "ok") return ["", ""];
  const exit = a.outcome === "failed" && a.exitCode !== null ? `exit ${a.exitCode}` : OUTCOMES[a.outcome] ?? a.outcome;
  return [exit, "bad"];
}

function row(a) {
  const [words, classes] = outcome(a);
  const lasted = a.durationMs !== null && a.durationMs !== undefined ? duration(a.durationMs) : "";
  return make("li", { className: "deed" },
    moment(a.at),
    make("span", { className: "kind", textContent: KINDS[a.kind] ?? a.kind }),
    text(a.what, "what"),
    text(a.agent, "muted on"),
    make("span", { className: `outcome ${classes}`, textContent: words }),
    make("span", { className: "muted lasted", textContent: lasted }));
}

// Newest first, whatever order they come in; one that is there already is as it is told last.
function put(a) {
  const made = row(a);
  const old = rows.get(a.id);
  rows.set(a.id, made);
  if (old) {
    old.replaceWith(made);
    return;
  }
  const at = Date.parse(a.at);
  const next = [...$("activity").children].find((other) => Date.parse(other.querySelector("time")?.dateTime) <= at);
  $("activity").querySelector(".empty")?.remove();
  $("activity").insertBefore(made, next ?? null);
}

async function load(before) {
  const query = before ? `&before=${encodeURIComponent(before)}` : "";
  try {
    const { activity } = await call("GET", `api/activity?limit=${PAGE}${query}`);
    for (const a of activity.reverse()) put(a);
    if (before || rows.size <= PAGE) show($("older"), activity.length === PAGE);
    if (!rows.size) {
      $("activity").replaceChildren(make("li", { className: "empty", textContent: "Nothing has been done yet." }));
    }
  } catch (error) {
    dispatchEvent(new CustomEvent("berth-failed", { detail: error }));
  }
}

const oldest = () => [...rows].find(([, element]) => element === $("activity").lastElementChild)?.[0];

function happened(event) {
  const a = JSON.parse(event.data);
  put(a);
  if (ABOUT_AGENTS.includes(a.kind)) agents.refresh();
}

function live(words, on) {
  $("activity-state").textContent = words;
  $("activity-state").className = on ? "state on" : "state";
}

// What was missed while the line was down is read again. An answer that is none ends an EventSource for good.
function listen() {
  source = new EventSource(address("api/activity"));
  source.addEventListener("activity", happened);
  source.addEventListener("open", () => {
    live("live", true);
    load();
  });
  source.addEventListener("error", () => {
    live("reconnecting…", false);
    if (source.readyState !== EventSource.CLOSED) return;
    agents.refresh();
    clearTimeout(retry);
    retry = setTimeout(listen, RETRY_MS);
  });
}

export function start() {
  stop();
  load();
  listen();
}

export function stop() {
  clearTimeout(retry);
  source?.close();
  rows.clear();
  $("activity").replaceChildren();
}

$("older").addEventListener("click", () => load(oldest()));
