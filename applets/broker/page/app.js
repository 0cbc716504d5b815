// The page: signed out, or signed in with agents, a terminal and what happens.

import { call } from "./api.js";
import { $, say, show } from "./dom.js";
import * as activity from "./activity.js";
import * as agents from "./agents.js";
import * as join from "./join.js";
import * as terminal from "./terminal.js";

const RETRY_MS = 3000;
let retry;

function trouble(words) {
  $("trouble").textContent = words;
  show($("trouble"), words !== "");
}

function signedOut() {
  activity.stop();
  agents.stop();
  join.close();
  terminal.leave();
  show($("home"), false);
  show($("who"), false);
  show($("sign-in"));
  $("token").focus();
}

function signedIn(me) {
  $("user").textContent = me.user;
  $("token").value = "";
  show($("sign-in"), false);
  show($("who"));
  show($("home"));
  agents.start();
  activity.start();
  terminal.resume();
}

// An error that no part of the page has a place for: who is signed out signs in, the rest is said.
function failed(error) {
  if (error.status === 401) signedOut();
  else trouble(error.message);
}

async function begin() {
  clearTimeout(retry);
  try {
    const me = await call("GET", "api/me");
    trouble("");
    signedIn(me);
  } catch (error) {
    failed(error);
    if (error.status !== 401) retry = setTimeout(begin, RETRY_MS);
    if (error.status === 0) trouble("The broker does not answer. Trying again…");
  }
}

async function signIn(event) {
  event.preventDefault();
  const button = event.target.querySelector("button");
  $("sign-in-error").textContent = "";
  button.disabled = true;
  try {
    await call("POST", "api/session", { token: $("token").value.trim() });
    await begin();
    $("main").focus();
  } catch (error) {
    $("sign-in-error").textContent = error.status === 401 ? "No user has this token, or it has expired." : error.message;
    $("token").select();
  } finally {
    button.disabled = false;
  }
}

async function signOut() {
  try {
    terminal.close();
    await call("DELETE", "api/session");
    signedOut();
    say("Signed out");
  } catch (error) {
    failed(error);
  }
}

$("sign-in").addEventListener("submit", signIn);
$("sign-out").addEventListener("click", signOut);
$("add").addEventListener("click", join.open);
addEventListener("berth-failed", (event) => failed(event.detail));
addEventListener("berth-well", () => trouble(""));
begin();
