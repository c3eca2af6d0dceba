// A person in headless Chromium: app → sign-in → consent → app → refresh → sign out, and what else only a browser can tell.
import { startApp } from './app.mjs';
import { at, now, picture, run, text, typeSignIn as type, visitor } from './chromium.mjs';
import { check, told } from './person.mjs';

// APP_URL is where the app will listen: http, the server's own host name (so that both are one site), a free port.
// Registered for it: APP_URL/callback, and APP_URL/ after sign-out.
const [URL_, ID, SECRET, USER, PASSWORD, APP] = told('URL', 'CLIENT_ID', 'CLIENT_SECRET', 'USER', 'PASSWORD', 'APP_URL');

/** What every page of the server must have for everybody to use it. */
async function wellMade(tab) {
  if (!await scripted(tab)) return;
  const wrong = await tab.evaluate(() => {
    const found = [];
    if (!document.documentElement.lang) found.push('no lang');
    if (!document.title.trim()) found.push('no title');
    if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
    if (!document.querySelector('main')) found.push('no main');
    for (const input of document.querySelectorAll('input:not([type=hidden])')) {
      if (!input.labels?.length && !input.getAttribute('aria-label')) found.push(`no label for ${input.name}`);
    }
    for (const button of document.querySelectorAll('button')) if (!button.textContent.trim() && !button.ariaLabel) found.push('a button without words');
    if (document.documentElement.scrollWidth > window.innerWidth) found.push(`${document.documentElement.scrollWidth} wide in a window of ${window.innerWidth}`);
    return found;
  });
  check(wrong.length === 0, `${now.step}: ${tab.url()} is well made`, wrong);
}

const scripted = async (tab) => { try { return await tab.evaluate(() => true); } catch { return false; } };

const typeSignIn = (tab, password) => type(tab, USER, password);

/** From the app's page to its page again; says which of our pages came in between. */
async function signIn(tab, from = `${APP}/login`, button = '#consent-allow') {
  const seen = [];
  await tab.goto(from);
  if (await tab.locator('#sign-in-submit').count()) {
    seen.push('sign-in');
    await typeSignIn(tab, PASSWORD);
  }
  await tab.locator(`${button}, #status`).first().waitFor();
  if (await tab.locator(button).count()) {
    seen.push('consent');
    await wellMade(tab);
    await tab.locator(button).click();
  }
  await tab.locator('#status').waitFor();
  return seen.join(' ');
}

async function signedIn(tab) {
  check(await text(tab, '#status') === 'signed in', `${now.step}: signed in`, await tab.locator('body').innerText());
  check(await text(tab, '#who') === USER, `${now.step}: as the right person`, await text(tab, '#who'));
}

const scenarios = {
  async 'a person refuses'(browser) {
    const { tab, close } = await visitor(browser);
    check(await signIn(tab, `${APP}/login`, '#consent-deny') === 'sign-in consent', 'both pages came');
    check(await text(tab, '#error') === 'access_denied', 'the app is told access_denied', await text(tab, '#error'));
    await close();
  },

  async 'a wrong password is said on the same page'(browser) {
    const { tab, close } = await visitor(browser, { viewport: { width: 360, height: 740 } });
    const answered = tab.waitForResponse((r) => r.url().startsWith(URL_) && r.request().isNavigationRequest() && r.status() === 200);
    await tab.goto(`${APP}/login`);
    const headers = (await answered).headers();
    check(/frame-ancestors 'none'/.test(headers['content-security-policy'] ?? ''), 'no frames around the sign-in page', headers);
    check(!/unsafe-inline|unsafe-eval/.test(headers['content-security-policy']), 'a strict policy', headers['content-security-policy']);
    check(/no-store/.test(headers['cache-control'] ?? ''), 'the page is not stored', headers['cache-control']);
    await wellMade(tab);
    check(await tab.locator('input[name=username]').getAttribute('autocomplete') === 'username', 'autocomplete of the user name (C46)');
    check(await tab.locator('input[name=password]').getAttribute('autocomplete') === 'current-password', 'autocomplete of the password (C46)');
    check(await tab.locator('input[name=password]').getAttribute('type') === 'password', 'the password is hidden');
    await picture(tab, 'sign-in');
    await typeSignIn(tab, 'not the password at all');
    const alert = tab.locator('[role=alert], [aria-live]').filter({ hasText: /\S/ }).first();
    await alert.waitFor();
    check(await tab.locator('#sign-in-submit').count() === 1, 'the form is there again');
    check(await tab.locator('input[name=username]').inputValue() === USER, 'the user name was kept');
    check(await tab.locator('input[name=password]').inputValue() === '', 'the password was not');
    check(!(await tab.content()).includes('not the password at all'), 'nor is it anywhere in the page');
    await wellMade(tab);
    await picture(tab, 'sign-in-wrong');
    await close();
  },

  async 'app, sign-in, consent, app, refresh, sign out'(browser) {
    const { tab, close } = await visitor(browser);
    await tab.goto(`${APP}/`);
    await tab.locator('#login').click();
    await tab.locator('#sign-in-submit').waitFor();
    check(at(tab).origin === new URL(URL_).origin, 'on the server now', tab.url());
    // By keyboard alone: type, Tab, type, Enter.
    await tab.locator('input[name=username]').focus();
    await tab.keyboard.type(USER);
    await tab.keyboard.press('Tab');
    await tab.locator('input[name=password]').focus();
    await tab.keyboard.type(PASSWORD);
    await tab.keyboard.press('Enter');
    await tab.locator('#consent-allow').waitFor();
    await wellMade(tab);
    await picture(tab, 'consent');
    await tab.locator('#consent-allow').click();
    await tab.locator('#status').waitFor();
    await signedIn(tab);
    for (const count of ['1', '2']) {
      await tab.locator('#refresh').click();
      await tab.locator('#refreshes').filter({ hasText: count }).waitFor();
    }
    now.step = 'a second sign-in asks nothing';
    check(await signIn(tab) === '', 'neither sign-in nor consent', tab.url());
    now.step = 'silent renewal in an iframe (C30)';
    await tab.goto(`${APP}/silent`);
    await tab.locator('#result').filter({ hasNotText: 'waiting' }).waitFor();
    check(await text(tab, '#result') === 'renewed', 'renewed', await text(tab, '#result'));
    now.step = 'form_post through the content security policy (C31)';
    await tab.goto(`${APP}/login?response_mode=form_post`);
    await tab.locator('#status').waitFor();
    await signedIn(tab);
    now.step = 'sign out';
    await tab.locator('#logout').click();
    await tab.locator('#sign-out-confirm, #status').first().waitFor();
    if (await tab.locator('#sign-out-confirm').count()) await tab.locator('#sign-out-confirm').click();
    await tab.locator('#status').waitFor();
    check(at(tab).href === `${APP}/`, 'back at the app', tab.url());
    check(await text(tab, '#status') === 'signed out', 'signed out');
    now.step = 'silent renewal after sign-out (C30)';
    await tab.goto(`${APP}/silent`);
    await tab.locator('#result').filter({ hasNotText: 'waiting' }).waitFor();
    check(await text(tab, '#result') === 'login_required', 'login_required by redirect, not a page', await text(tab, '#result'));
    now.step = 'sign in again: consent is remembered';
    check(await signIn(tab) === 'sign-in', 'only the sign-in page');
    await signedIn(tab);
    now.step = 'a new sign-in when the app asks for it';
    check((await signIn(tab, `${APP}/login?prompt=login`)).includes('sign-in'), 'prompt=login asks again');
    check((await signIn(tab, `${APP}/login?prompt=consent`)).includes('consent'), 'prompt=consent asks again');
    await signedIn(tab);
    await close();
  },

  async 'without JavaScript'(browser) {
    const { tab, close } = await visitor(browser, { javaScriptEnabled: false });
    check((await signIn(tab)).startsWith('sign-in'), 'the sign-in page came');
    await signedIn(tab);
    now.step = 'without JavaScript: form_post has a button';
    await tab.goto(`${APP}/login?response_mode=form_post`);
    await tab.locator('button, input[type=submit]').first().click();
    await tab.locator('#status').waitFor();
    await signedIn(tab);
    now.step = 'without JavaScript: sign out';
    await tab.locator('#logout').click();
    await tab.locator('#sign-out-confirm, #status').first().waitFor();
    if (await tab.locator('#sign-out-confirm').count()) await tab.locator('#sign-out-confirm').click();
    await tab.locator('#status').waitFor();
    check(await text(tab, '#status') === 'signed out', 'signed out');
    await close();
  },

  async 'an unknown client gets a page, not a redirect'(browser) {
    const { tab, close } = await visitor(browser, { viewport: { width: 360, height: 740 } });
    const answer = await tab.goto(`${URL_}/oauth2/authorize?response_type=code&client_id=nobody&redirect_uri=${encodeURIComponent(APP)}`);
    check(answer.status() === 400 && at(tab).origin === new URL(URL_).origin, 'a page of the server', `${answer.status()} ${tab.url()}`);
    await wellMade(tab);
    await picture(tab, 'refused');
    now.step = 'a bare sign-out ends nothing by itself';
    const out = await tab.goto(`${URL_}/oauth2/logout`);
    check(out.status() === 200 && at(tab).origin === new URL(URL_).origin, 'a page', `${out.status()} ${tab.url()}`);
    await wellMade(tab);
    await picture(tab, 'sign-out');
    await close();
  },
};

const app = await startApp({ address: APP, issuer: URL_, clientId: ID, clientSecret: SECRET, scope: 'openid profile email offline_access' });
await run(scenarios, () => app.stop());
