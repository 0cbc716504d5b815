// The terminal: what is typed and seen, its size, and what becomes of it when a connection is lost, the page
// is loaded again, or it ends.

import { phone } from "./browser.mjs";
import { agent, assert, look, openTerminal, says, screen, screenHas, shown, state, until } from "./rig.mjs";

const only = (all) => {
  assert.equal(all.size, 1);
  return [...all.values()][0];
};

export const tests = {
  async "terminal: what is typed arrives, what is said is seen"(after) {
    const { mock, page, well } = await look(after);
    await openTerminal(page);
    await page.keyboard.type("uname\r");
    await screenHas(page, "Linux box 6.1.0");
    assert.ok(only(mock.sessions).said.toString().includes("$ uname"));
    await says(page, "#terminal-where", "box");
    well();
  },

  async "terminal: colours, without a style in the page"(after) {
    const { page, well } = await look(after);
    await openTerminal(page);
    await page.keyboard.type("colours\r");
    await screenHas(page, "reverse");
    const colour = await page.evaluate(() => {
      const span = [...document.querySelectorAll(".xterm-rows span")].find((e) => e.textContent === "true");
      return getComputedStyle(span).color;
    });
    assert.equal(colour, "rgb(200, 30, 60)");
    assert.equal(await page.locator("style").count(), 0);
    well();
  },

  async "terminal: has the size of what is seen of it"(after) {
    const { mock, page, well } = await look(after);
    await openTerminal(page);
    const session = only(mock.sessions);
    const fits = () => page.evaluate(([rows, cols]) => {
      const box = document.querySelector("#screen").getBoundingClientRect();
      const grid = document.querySelector(".xterm-screen").getBoundingClientRect();
      const [w, h] = [grid.width / cols, grid.height / rows];
      return rows > 5 && cols > 20 && grid.right <= box.right && grid.bottom <= box.bottom &&
        box.right - grid.right < 20 + 2 * w && box.bottom - grid.bottom < 20 + 2 * h;
    }, [session.size.rows, session.size.cols]);
    await until(fits, "fitting size");
    const before = { ...session.size };
    await page.setViewportSize({ width: 700, height: 800 });
    await until(() => session.size.cols < before.cols, "narrower terminal");
    await until(fits, "fitting size");
    await page.setViewportSize({ width: 1100, height: 800 });
    await page.click("#terminal-size");
    await until(() => session.size.rows > before.rows, "higher terminal");
    await until(fits, "fitting size");
    await page.click("#terminal-size");
    await until(() => session.size.rows === before.rows && session.size.cols === before.cols, "size as before");
    well();
  },

  async "terminal: goes on after a loss"(after) {
    const { mock, page } = await look(after);
    await openTerminal(page);
    await page.keyboard.type("uname\r");
    await screenHas(page, "GNU/Linux");
    const session = only(mock.sessions);
    for (let i = 0; i < 3; i++) {
      session.ws.drop();
      await until(() => session.closed !== null, "loss");
      await until(() => session.ws && session.closed === null, "new connection");
      await state(page, "connected");
    }
    await page.keyboard.type("size\r");
    await screenHas(page, `${session.size.rows}x${session.size.cols}`);
    assert.equal(mock.sessions.size, 1);
    assert.equal((await screen(page)).split("GNU/Linux").length, 2); // replayed, not repeated
  },

  async "terminal: says that it is lost while it is"(after) {
    const { mock, page } = await look(after);
    await openTerminal(page);
    await mock.down();
    await says(page, "#terminal-state", "connection lost, reconnecting");
    await page.keyboard.type("unheard");
    await mock.up();
    await state(page, "connected");
    assert.ok(!only(mock.sessions).said.includes("unheard"));
  },

  async "terminal: goes on when the page is loaded again"(after) {
    const { mock, page, well } = await look(after);
    await openTerminal(page);
    await page.keyboard.type("uname\r");
    await screenHas(page, "GNU/Linux");
    const session = only(mock.sessions);
    await page.reload();
    await state(page, "connected");
    await screenHas(page, "GNU/Linux");
    assert.equal(only(mock.sessions), session);
    await page.keyboard.type("size\r");
    await screenHas(page, `${session.size.rows}x`);
    well();
  },

  async "terminal: waits for who signs in again when the token is at its end"(after) {
    const { mock, page } = await look(after);
    await openTerminal(page);
    await page.keyboard.type("uname\r");
    await screenHas(page, "GNU/Linux");
    const { ws } = only(mock.sessions);
    mock.signedIn = false;
    ws.send(JSON.stringify({ error: "unauthorized", message: "The token has expired." }));
    ws.close(1008);
    await shown(page, "#sign-in");
    assert.equal(await page.isVisible("#terminal"), false);
    await page.fill("#token", mock.token);
    await page.press("#token", "Enter");
    await state(page, "connected");
    await screenHas(page, "GNU/Linux");
    assert.equal(mock.sessions.size, 1);
  },

  async "terminal: one that is over is not gone on with"(after) {
    const { mock, page } = await look(after);
    await openTerminal(page);
    const ws = only(mock.sessions).ws;
    mock.sessions.clear();
    ws.drop();
    await says(page, "#terminal-state", "That terminal is over.");
    await page.click("#terminal-again");
    await state(page, "connected");
    assert.equal(mock.sessions.size, 1);
  },

  async "terminal: its end has an exit code"(after) {
    const { mock, page, well } = await look(after);
    await openTerminal(page);
    await page.keyboard.type("exit 3\r");
    await says(page, "#terminal-state", "ended with exit code 3");
    await page.reload();
    await says(page, "#agents", "box");
    assert.equal(await page.isVisible("#terminal"), false);
    assert.equal(mock.sockets.length, 0);
    well();
  },

  async "terminal: another window takes it, and gives it back"(after) {
    const { mock, page, context } = await look(after);
    await openTerminal(page);
    const kept = await page.evaluate(() => sessionStorage.getItem("berth.terminal"));
    const other = await context.newPage();
    await other.goto(mock.url);
    await other.evaluate((kept) => sessionStorage.setItem("berth.terminal", kept), kept);
    await other.reload();
    await state(other, "connected");
    await says(page, "#terminal-state", "open in another window");
    await page.click("#terminal-again");
    await state(page, "connected");
    await says(other, "#terminal-state", "open in another window");
    assert.equal(mock.sessions.size, 1);
  },

  async "terminal: none where the agent has gone"(after) {
    const { mock, page } = await look(after);
    await says(page, "#agents", "box");
    mock.agents = [agent("box", { connected: false })];
    await page.click("button[aria-label='Terminal on box']");
    await says(page, "#terminal-state", "box is not connected.");
    mock.agents = [agent("box")];
    await page.click("#terminal-again");
    await state(page, "connected");
  },

  async "terminal: closed for good"(after) {
    const { mock, page, well } = await look(after);
    await openTerminal(page);
    await page.click("#terminal-close");
    await until(() => mock.sessions.size === 0, "end");
    assert.equal(await page.isVisible("#terminal"), false);
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    await openTerminal(page);
    assert.equal(mock.sessions.size, 1);
    well();
  },

  async "terminal: another agent's in its place"(after) {
    const { mock, page, well } = await look(after, (mock) => mock.agents.push(agent("nas")));
    await openTerminal(page);
    await page.keyboard.type("uname\r");
    await screenHas(page, "GNU/Linux");
    await openTerminal(page, "nas");
    await says(page, "#terminal-where", "nas");
    await until(async () => !(await screen(page)).includes("GNU/Linux"), "clean screen");
    await until(() => mock.sessions.size === 1 && mock.sockets.length === 1, "end of the other one");
    well();
  },

  async "terminal: has the keyboard, and lets it go"(after) {
    const { mock, page, well } = await look(after);
    await openTerminal(page);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Control+c");
    await page.keyboard.press("Escape");
    await until(() => only(mock.sessions).said.includes("^I^C^["), "keys");
    await page.keyboard.press("Control+.");
    assert.equal(await page.evaluate(() => document.activeElement.id), "terminal-close");
    await page.keyboard.press("Shift+Tab");
    assert.equal(await page.evaluate(() => document.activeElement.id), "terminal-size");
    const help = await page.getAttribute("#screen", "aria-describedby");
    assert.match(await page.locator(`#${help}`).innerText(), /Ctrl \. leaves the terminal/);
    well();
  },

  async "terminal: the keys that a phone lacks"(after) {
    const { mock, page, well } = await look(after, () => {}, phone);
    await openTerminal(page);
    await shown(page, "#keys");
    for (const key of ["Esc", "Tab", "↑"]) await page.tap(`#keys button:text-is("${key}")`);
    await page.tap("#keys button:text-is('Ctrl')");
    await page.keyboard.type("c");
    await page.keyboard.type("c");
    await until(() => only(mock.sessions).said.includes("^[^I^[[A^Cc"), "keys");
    well();
  },

  async "terminal: follows light and dark"(after) {
    const { page } = await look(after, () => {}, { colorScheme: "light" });
    await openTerminal(page);
    const paper = () => page.evaluate(() => getComputedStyle(document.querySelector(".xterm-viewport")).backgroundColor);
    assert.equal(await paper(), "rgb(255, 255, 255)");
    await page.emulateMedia({ colorScheme: "dark" });
    await until(async () => await paper() === "rgb(16, 20, 23)", "dark terminal");
  },
};
