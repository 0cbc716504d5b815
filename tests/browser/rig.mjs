// What a test of the page has at hand: a stand-in for the broker, and a browser that looks at it.

import assert from "node:assert/strict";
import { newPage, until } from "./browser.mjs";
import { Mock, agent } from "./mock.mjs";

export { agent, assert, until };

// A page that is signed in, with one agent, unless `prepare` says otherwise. `after` takes what is to be
// done at the test's end; there the page must have had nothing to complain of.
export async function look(after, prepare = () => {}, options = {}) {
  const mock = await new Mock().start();
  mock.agents = [agent("box")];
  after(() => mock.down());
  prepare(mock);
  const { page, complaints, context } = await newPage(null, options);
  after(() => context.close());
  const strangers = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(mock.url)) strangers.push(request.url());
  });
  await page.goto(mock.url);
  const well = () => assert.deepEqual([...complaints, ...strangers], []);
  return { mock, page, context, well };
}

export const text = async (page, selector) => (await page.locator(selector).innerText()).trim();

// Waits for an element to say something.
export async function says(page, selector, what) {
  const matches = typeof what === "string" ? (said) => said.includes(what) : (said) => what.test(said);
  let said = "";
  await until(async () => {
    said = await page.locator(selector).innerText().catch(() => "");
    return matches(said);
  }, `"${what}" in ${selector}`).catch((error) => { throw new Error(`${error.message}, but "${said}"`); });
}

export const shown = (page, selector) => page.locator(selector).waitFor({ state: "visible" });
export const gone = (page, selector) => page.locator(selector).waitFor({ state: "hidden" });
export const state = (page, name) => page.locator(`#terminal[data-state=${name}]`).waitFor();
export const screen = (page) => page.locator(".xterm-rows").innerText().catch(() => "");

export async function screenHas(page, what) {
  let said = "";
  await until(async () => (said = await screen(page)).includes(what), `"${what}" on the screen`)
    .catch((error) => { throw new Error(`${error.message}, but ${JSON.stringify(said)}`); });
}

export async function openTerminal(page, name = "box") {
  await page.click(`button[aria-label='Terminal on ${name}']`);
  await state(page, "connected");
  await screenHas(page, "$");
}
