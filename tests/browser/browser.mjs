// A browser, and pages in it that fail the test when they complain of anything.

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const { chromium } = await import(join(root, "build/vendor/src/playwright/index.mjs"));

export const DEADLINE = 30000; // milliseconds until what should come counts as missing

let browser;

export async function open() {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu"] });
}

export const close = () => browser.close();

export const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

// `complaints` is what the page said that it should not have: errors, and breaches of its own policy.
export async function newPage(url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 800 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.setDefaultTimeout(DEADLINE);
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    // What the network refuses is told there too, and is the test's own doing.
    if (message.type() === "error" && !/Failed to load resource|WebSocket connection|ERR_/.test(message.text())) {
      complaints.push(message.text());
    }
  });
  if (url) await page.goto(url);
  return { page, complaints, context };
}

export async function until(true_, what) {
  const end = Date.now() + DEADLINE;
  for (;;) {
    const value = await true_();
    if (value) return value;
    if (Date.now() > end) throw new Error(`no ${what}`);
    await new Promise((next) => setTimeout(next, 20));
  }
}
