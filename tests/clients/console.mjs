// An owner in headless Chromium: from the set-up link to a key, what it opens, its use, its end, and the record of it all; then an app.
import { setTimeout as sleep } from 'node:timers/promises';
import { startApp } from './app.mjs';
import { at, now, picture, run, text, typeSignIn, visitor } from './chromium.mjs';
import { check, told } from './person.mjs';

// SET_UP is the path of the link that makes the first administrator; API_URL is where the example API is, behind a gateway;
// APP_URL is where an app will listen.
const [URL_, SET_UP, PASSWORD, API, APP] = told('URL', 'SET_UP', 'PASSWORD', 'API_URL', 'APP_URL');
const USER = 'olga';
const INSTANCES = 'instances:read instances:write instances:delete';

/** What the example API answers to that key. */
async function call(key, method = 'GET') {
  const body = method === 'POST' ? JSON.stringify({ name: 'web-1' }) : undefined;
  const headers = { authorization: `Bearer ${key}`, ...(body ? { 'content-type': 'application/json' } : {}) };
  return (await fetch(`${API}/v1/instances`, { method, headers, body })).status;
}

/** Waits until `done` is true; what another node hears within a second may take a moment here too. */
async function until(done, what, patience = 10_000) {
  const began = Date.now();
  while (!await done()) {
    check(Date.now() - began < patience, `${what} within ${patience} ms`);
    await sleep(150);
  }
}

/** A person proves again who they are, where a page asks for it. */
async function proveAgain(tab) {
  if (at(tab).pathname === '/sign-in') await typeSignIn(tab, USER, PASSWORD);
  else if (await tab.locator('main input[name=password]').count() && await tab.locator('#confirm-submit').count()) {
    await tab.locator('main input[name=password]').fill(PASSWORD);
    await tab.locator('#confirm-submit').click();
  }
}

/** Presses a button that leads on; `#id` may be a link or a button. */
async function press(tab, id, wanted) {
  await tab.locator(id).click();
  await tab.waitForLoadState();
  await proveAgain(tab);
  if (wanted) await tab.locator(wanted).first().waitFor();
}

const value = (tab, id) => tab.locator(id).evaluate((element) => ('value' in element ? element.value : element.textContent.trim()));

/** The new key of the page that shows it once, taken as a person takes it: by the button. */
async function takeKey(tab, context) {
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: URL_ });
  await tab.locator('#new-key').waitFor();
  const key = await value(tab, '#new-key');
  check(/^cnx_[a-z]{2,8}_[0-9A-Za-z]{48}$/.test(key), 'a key of the documented form', key);
  await tab.locator('#copy-key').click();
  await until(async () => await tab.evaluate(() => navigator.clipboard.readText()) === key, 'the button copies the key');
  check((await tab.locator('main').innerText()).includes(`export CNX_API_KEY=${key}`), 'a line for a shell stands ready');
  return key;
}

let app;

await run({
  async 'from the set-up link to a key that was used, rotated and revoked, and the record of it'(browser) {
    const { context, tab, close } = await visitor(browser);
    await tab.goto(`${URL_}${SET_UP}`);
    await tab.locator('input[name=email]').fill('olga@example.com');
    await tab.locator('input[name=username]').fill(USER);
    await tab.locator('input[name=name]').fill('Olga Owner');
    await tab.locator('input[name=password]').fill(PASSWORD);
    await press(tab, '#set-up-submit');
    if (at(tab).pathname === '/sign-in') await typeSignIn(tab, USER, PASSWORD);
    await tab.waitForURL((url) => url.pathname !== '/sign-in' && url.pathname !== '/set-up');

    now.step = 'mint';
    await tab.goto(`${URL_}/console/keys`);
    await press(tab, '#key-mint', '#key-mint-submit');
    await tab.locator('input[name=name]').fill('nightly deploy');
    await tab.locator('input[name=environment]').fill('prod');
    await tab.locator('[name=scopes]').fill(INSTANCES);
    await press(tab, '#key-mint-submit', '#new-key');
    await picture(tab, 'key-made');
    const first = await takeKey(tab, context);
    const id = first.split('_')[2].slice(0, 10);
    await tab.reload();
    check(!(await tab.content()).includes(first), 'it is shown once: a reload does not show it again');

    now.step = 'call the example API';
    check(await call(first) === 200, 'the key opens the API');
    check(await call(first, 'POST') === 201, 'and may write');
    check(await call(`${first}x`) === 401, 'another does not');

    now.step = 'its use in the console';
    await tab.goto(`${URL_}/console/keys`);
    const row = tab.locator('tr', { hasText: 'nightly deploy' });
    check(await row.count() === 1, 'the key is in the list');
    check(!(await tab.content()).includes(first), 'masked');
    await row.locator('a').first().click();
    await tab.waitForURL((url) => url.pathname === `/console/keys/${id}`);
    await until(async () => {
      await tab.reload();
      const main = await tab.locator('main').innerText();
      return /Last used:\s*\d{4}-\d\d-\d\d/.test(main);
    }, 'the last use is shown', 100_000);
    await tab.goto(`${URL_}/console/usage`);
    await tab.locator('svg').first().waitFor();

    now.step = 'rotate';
    await tab.goto(`${URL_}/console/keys/${id}`);
    await press(tab, '#key-rotate', '#key-rotate-submit');
    await press(tab, '#key-rotate-submit', '#new-key');
    const second = await takeKey(tab, context);
    check(second !== first && second.includes(id), 'another secret of the same key');
    check(await call(second) === 200, 'the new secret works');
    check(await call(first) === 200, 'the one before works for its overlap');

    now.step = 'revoke';
    await tab.goto(`${URL_}/console/keys/${id}`);
    await press(tab, '#key-revoke', '#key-revoke-submit');
    await tab.locator('input[name=reason]').fill('left the project');
    await press(tab, '#key-revoke-submit');
    await tab.waitForURL((url) => !url.pathname.endsWith('/revoke'));
    await until(async () => await call(second) === 401 && await call(first) === 401, 'both secrets stop', 2_000);

    now.step = 'all of it in the audit log';
    await tab.goto(`${URL_}/console/audit?subject=key:${id}`);
    const record = await tab.locator('main').innerText();
    for (const act of ['key.minted', 'key.rotated', 'key.revoked']) check(record.includes(act), `${act} is written down`, record);
    await tab.goto(`${URL_}/console/audit`);
    const whole = await tab.locator('main').innerText();
    for (const act of ['link.used', 'user.signed_in', 'key.revoked']) check(whole.includes(act), `${act} is written down`, whole);
    check(!whole.includes(first.slice(19, 51)), 'no secret is');
    await close();
  },

  async 'an app is added, signs a person in, and is revoked by them'(browser) {
    const { tab, close } = await visitor(browser);
    await tab.goto(`${URL_}/console/apps`);
    check(at(tab).searchParams.get('next') === '/console/apps', 'who is not signed in signs in first', tab.url());
    await typeSignIn(tab, USER, PASSWORD);
    await tab.waitForURL((url) => url.pathname !== '/sign-in');
    await tab.goto(`${URL_}/console/apps`);
    // A link of the page's head.
    await press(tab, 'main a[href="/console/apps/add"]', '#app-add-submit');
    await tab.locator('[name=client_name]').fill('Field Notes');
    await tab.locator('[name=redirect_uris]').fill(`${APP}/callback`);
    for (const [name, text_] of [['post_logout_redirect_uris', `${APP}/`], ['scope', 'openid profile email offline_access']]) {
      if (await tab.locator(`[name=${name}]`).count()) await tab.locator(`[name=${name}]`).fill(text_);
    }
    await press(tab, '#app-add-submit', '#client-id');
    const [clientId, clientSecret] = [await value(tab, '#client-id'), await value(tab, '#client-secret')];
    check(clientId && clientSecret, 'an id and a secret are shown', `${clientId} ${clientSecret}`);
    await tab.reload();
    check(!(await tab.content()).includes(clientSecret), 'the secret is shown once');

    now.step = 'sign in to the app';
    app = await startApp({ address: APP, issuer: URL_, clientId, clientSecret, scope: 'openid profile offline_access' });
    await tab.goto(`${APP}/login`);
    await tab.locator('#consent-allow, #sign-in-submit').first().waitFor();
    if (await tab.locator('#sign-in-submit').count()) await typeSignIn(tab, USER, PASSWORD);
    await tab.locator('#consent-allow').click();
    await tab.locator('#status').waitFor();
    check(await text(tab, '#status') === 'signed in' && await text(tab, '#who') === USER, 'signed in to the app', await tab.locator('body').innerText());
    await tab.locator('#refresh').click();
    await tab.locator('#refreshes').filter({ hasText: '1' }).waitFor();

    now.step = 'revoke it under connected apps';
    await tab.goto(`${URL_}/account/apps`);
    check((await tab.locator('main').innerText()).includes('Field Notes'), 'the app is listed', await tab.locator('main').innerText());
    await tab.locator('main form[method=post] button[type=submit]').first().click();
    await tab.waitForLoadState();
    await proveAgain(tab);
    await tab.goto(`${URL_}/account/apps`);
    check(!(await tab.locator('main').innerText()).includes('Field Notes'), 'it is no more', await tab.locator('main').innerText());
    await tab.goto(`${APP}/refresh`);
    check(await text(tab, '#status') === 'broken', 'its refresh token ended', await tab.locator('body').innerText());
    // The app says so with a 500 of its own.
    now.complaints = now.complaints.filter((complaint) => !complaint.includes('status of 500'));
    await tab.goto(`${APP}/login`);
    await tab.locator('#consent-allow').waitFor();
    await close();
  },
}, async () => app?.stop());
