// Every page in Chromium: nothing for axe-core to find in either theme, nothing wider than a small window, and pictures of it all.
import { readFileSync } from 'node:fs';
import { SCHEMES, SIZES, now, picture, run, typeSignIn, visitor } from './chromium.mjs';
import { check, told } from './person.mjs';

const AXE = readFileSync(new URL('./node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

// PAGES is JSON: names of pages, each with its address. USER is who looks at them, when anybody has to be signed in.
const [PAGES] = told('PAGES');
const { CNX_TEST_URL: URL_, CNX_TEST_USER: USER, CNX_TEST_PASSWORD: PASSWORD } = process.env;

/** What axe-core finds on the page as it is now. */
async function violations(tab) {
  await tab.evaluate(AXE);
  const found = await tab.evaluate((tags) => globalThis.axe.run(document, { runOnly: { type: 'tag', values: tags }, resultTypes: ['violations'], preload: false }), TAGS);
  return found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.target.join(' ')}: ${node.failureSummary.replace(/\s+/g, ' ')}`));
}

/** What sticks out of a window of this width, the widest first. */
const overflow = (tab) => tab.evaluate(() => {
  if (document.documentElement.scrollWidth <= window.innerWidth) return [];
  const scrolls = (element) => element && (['auto', 'scroll'].includes(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
  const wide = [...document.querySelectorAll('body *')]
    .filter((element) => element.getBoundingClientRect().right > window.innerWidth + 1 && !scrolls(element.parentElement));
  return [`${document.documentElement.scrollWidth} in ${window.innerWidth}`, ...wide.slice(0, 5).map((e) => `${e.tagName.toLowerCase()}.${e.className} to ${Math.round(e.getBoundingClientRect().right)}`)];
});

/** Whether everything that can be used is reached by Tab, and says where it is. */
async function byKeyboard(tab) {
  return tab.evaluate(() => {
    const wrong = [];
    for (const element of document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary')) {
      if (element.tabIndex < 0 && !element.closest('[aria-hidden=true]') && !element.hidden && element.getClientRects().length) wrong.push(element.outerHTML.slice(0, 100));
      if (element.tabIndex > 0) wrong.push(`tabindex ${element.tabIndex}: ${element.outerHTML.slice(0, 100)}`);
    }
    return wrong;
  });
}

async function lookAt(tab, name, address, wrong) {
  now.step = name;
  const answer = await tab.goto(address);
  if (USER && new URL(tab.url()).pathname === '/sign-in' && !address.includes('/sign-in')) {
    wrong.push(`${name}: asks to sign in`);
    return;
  }
  if (answer && answer.status() >= 400 && !name.startsWith('refused')) wrong.push(`${name}: ${answer.status()}`);
  for (const [width, height] of SIZES) {
    await tab.setViewportSize({ width, height });
    for (const line of await overflow(tab)) wrong.push(`${name} at ${width} px: ${line}`);
    // Of the many samples each theme at one size: what differs by size and by theme at once is looked at on the server's own pages.
    for (const colorScheme of USER ? SCHEMES : [width === 360 ? 'light' : 'dark']) {
      await tab.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      for (const line of await violations(tab)) wrong.push(`${name}, ${colorScheme}, ${width} px: ${line}`);
    }
  }
  for (const line of await byKeyboard(tab)) wrong.push(`${name}: not reached by keyboard: ${line}`);
  await picture(tab, name);
}

await run({
  async 'every page is good for everybody, at every size and in both themes'(browser) {
    // axe-core is put into the page, which the page's own policy rightly refuses.
    const { tab, close } = await visitor(browser, { bypassCSP: true });
    const wrong = [];
    // A sample of the page that posts itself is to stay.
    await tab.route(/form_post[^/]*\.js$/, (route) => route.fulfill({ contentType: 'text/javascript', body: '' }));
    if (USER) {
      await tab.goto(`${URL_}/sign-in`);
      await typeSignIn(tab, USER, PASSWORD);
      await tab.waitForURL((url) => url.pathname !== '/sign-in');
    }
    const pages = JSON.parse(PAGES);
    for (const [name, address] of pages) await lookAt(tab, name, address, wrong);
    check(pages.length > 0, 'there are pages');
    check(wrong.length === 0, `${wrong.length} findings on ${pages.length} pages:\n${[...new Set(wrong)].join('\n')}\n`);
    await close();
  },
});
