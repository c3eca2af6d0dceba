// Headless Chromium with a person in front of it: what the scripts that drive it share.
import path from 'node:path';
import { mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { check } from './person.mjs';

const BROWSER = process.env.CNX_TEST_CHROMIUM ?? '/usr/bin/chromium';
const PICTURES = process.env.CNX_TEST_SCREENSHOTS;
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--no-proxy-server'];

/** The widths and colours that people have. */
export const SIZES = [[360, 740], [1280, 800]];
export const SCHEMES = ['light', 'dark'];

/** What goes on now, for messages, and what the browser complained about. */
export const now = { step: 'start', complaints: [] };

export const launch = () => chromium.launch({ executablePath: BROWSER, args: ARGS, headless: true, env: { ...process.env, HOME: process.env.HOME ?? '/tmp' } });

/** A browser without cookies, whose complaints are kept. */
export async function visitor(browser, options = {}) {
  const context = await browser.newContext({ locale: 'en-GB', ...options });
  context.setDefaultTimeout(15_000);
  const tab = await context.newPage();
  tab.on('console', (message) => {
    // A refused inline style, a blocked form, a missing file: the browser says so here.
    if (message.type() === 'error' && !/status of 4\d\d/.test(message.text())) now.complaints.push(`${now.step}: ${message.text()}`);
  });
  tab.on('pageerror', (error) => now.complaints.push(`${now.step}: ${error.message}`));
  return { context, tab, close: () => context.close() };
}

export const text = async (tab, selector) => (await tab.locator(selector).first().textContent()).trim();
export const at = (tab) => new URL(tab.url());

/** A page at each size in each colour, where pictures are wanted. */
export async function picture(tab, name, sizes = SIZES, schemes = SCHEMES) {
  if (!PICTURES) return;
  mkdirSync(PICTURES, { recursive: true });
  for (const [width, height] of sizes) {
    for (const colorScheme of schemes) {
      await tab.setViewportSize({ width, height });
      await tab.emulateMedia({ colorScheme });
      await tab.screenshot({ path: path.join(PICTURES, `${name}-${width}-${colorScheme}.png`), fullPage: true, animations: 'disabled' });
    }
  }
  await tab.emulateMedia({ colorScheme: null });
}

/** Types a name and a password into the sign-in page and sends them. */
export async function typeSignIn(tab, user, password) {
  await tab.locator('input[name=username]').fill(user);
  await tab.locator('input[name=password]').fill(password);
  await tab.locator('#sign-in-submit').click();
}

/** Runs scenarios one after the other; says OK, or at which step the first failed. */
export async function run(scenarios, end = async () => {}) {
  let browser;
  try {
    browser = await launch();
    for (const [name, scenario] of Object.entries(scenarios)) {
      now.step = name;
      await scenario(browser);
      check(now.complaints.length === 0, 'the browser has nothing to complain about', now.complaints.slice(0, 10));
      console.log(`ok: ${name}`);
    }
    console.log('OK');
  } catch (error) {
    console.error(`failed at ${now.step}: ${error.message}`);
    for (const complaint of now.complaints.slice(0, 10)) console.error(`  the browser says: ${complaint}`);
    for (const context of browser?.contexts() ?? []) {
      for (const tab of context.pages()) {
        console.error(`  open: ${tab.url()}\n${(await tab.locator('body').innerText().catch(() => '')).slice(0, 2000)}`);
        if (PICTURES) await tab.screenshot({ path: path.join(PICTURES, 'failed.png') }).catch(() => {});
      }
    }
    console.error(error.stack);
    process.exitCode = 1;
  } finally {
    await browser?.close();
    await end();
  }
}
