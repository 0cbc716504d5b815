// Runs the tests, two at a time.

import * as browser from "./browser.mjs";
import { tests as api } from "./test_api.mjs";
import { tests as clients } from "./test_clients.mjs";
import { tests as page } from "./test_page.mjs";
import { tests as terminal } from "./test_terminal.mjs";

const HANG = 120000;
const JOBS = 2;
const wanted = process.argv.slice(2);
const waiting = Object.entries({ ...page, ...terminal, ...api, ...clients })
  .filter(([name]) => !wanted.length || wanted.some((text) => name.includes(text)));
let passed = 0, failed = 0;

async function run([name, test]) {
  const cleanup = [];
  const hang = new Promise((_, fail) => setTimeout(() => fail(new Error("no end")), HANG).unref());
  try {
    await Promise.race([test((end) => cleanup.push(end)), hang]);
    passed++;
    console.log(`${name} ... ok`);
  } catch (error) {
    failed++;
    console.log(`${name} ... FAIL\n${error.stack ?? error}`);
  }
  for (const end of cleanup.reverse()) await Promise.resolve().then(end).catch(() => {});
}

async function work() {
  for (let next; (next = waiting.shift());) await run(next);
}

await browser.open();
await Promise.all(Array.from({ length: JOBS }, work));
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || !passed ? 1 : 0);
