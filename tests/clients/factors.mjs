// Passkeys with Chromium's own authenticator, codes of oathtool, recovery codes: each lets its person in, and what was used or removed does not.
import { execFileSync } from 'node:child_process';
import { at, now, picture, run, typeSignIn, visitor } from './chromium.mjs';
import { check, told } from './person.mjs';

const [URL_, USER, PASSWORD, OATHTOOL] = told('URL', 'USER', 'PASSWORD', 'OATHTOOL');

/** The code of an authenticator app, `steps` steps of thirty seconds from now. */
const code = (secret, steps = 0) => execFileSync(OATHTOOL, ['--totp', '--base32', `--now=@${Math.floor(Date.now() / 1000) + 30 * steps}`, secret], { encoding: 'utf8' }).trim();

/** An authenticator in the device, which knows its person by a finger. */
async function authenticator(context, tab) {
  const session = await context.newCDPSession(tab);
  await session.send('WebAuthn.enable');
  const { authenticatorId } = await session.send('WebAuthn.addVirtualAuthenticator', {
    options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  });
  return { held: async () => (await session.send('WebAuthn.getCredentials', { authenticatorId })).credentials.length };
}

/** What a person does when a page asks them to prove again who they are. */
async function proveAgain(tab) {
  await tab.waitForLoadState();
  if (at(tab).pathname === '/sign-in') await typeSignIn(tab, USER, PASSWORD);
  else if (/confirm/.test(at(tab).pathname)) {
    await tab.locator('main input[name=password]').fill(PASSWORD);
    await tab.locator('main button[type=submit]').first().click();
  }
  await tab.waitForLoadState();
}

async function page(tab, path) {
  await tab.goto(`${URL_}${path}`);
  await proveAgain(tab);
  if (at(tab).pathname !== path) await tab.goto(`${URL_}${path}`);
}

const security = (tab) => page(tab, '/account/security');
const passkeys = (tab) => page(tab, '/account/passkeys');

/** Adds a passkey by that name. */
async function add(tab, name) {
  await passkeys(tab);
  await tab.locator('form:has(#passkey-add) input[name=name]').fill(name);
  await tab.locator('#passkey-add').click();
  await tab.locator('main', { hasText: name }).waitFor();
}

async function signOut(tab) {
  await tab.goto(`${URL_}/account`);
  await tab.locator('#sign-out-confirm').click();
  await tab.waitForLoadState();
}

/** Name and password; gives whether a second factor is asked for. */
async function signIn(tab) {
  await tab.goto(`${URL_}/sign-in`);
  await typeSignIn(tab, USER, PASSWORD);
  await tab.locator('#second-factor-submit, .bar-person').first().waitFor();
  return await tab.locator('#second-factor-submit').count() > 0;
}

const isIn = (tab) => tab.locator('.bar-person').waitFor();

/** Types a code of either kind; gives whether it let its person in. */
async function type(tab, typed) {
  await tab.locator('input[name=code]').first().fill(typed);
  await tab.locator('#second-factor-submit').first().click();
  await tab.locator('[role=alert], .bar-person').first().waitFor();
  return await tab.locator('.bar-person').count() > 0;
}

await run({
  async 'a passkey is registered, lets its person in by itself, and is removed'(browser) {
    const { context, tab, close } = await visitor(browser);
    const device = await authenticator(context, tab);
    check(!await signIn(tab), 'a password is enough at first');
    await add(tab, 'This computer');
    await picture(tab, 'passkeys');
    check(await device.held() === 1, 'the device holds it');

    now.step = 'the device is not asked to hold another for the same person';
    await tab.locator('form:has(#passkey-add) input[name=name]').fill('Once more');
    await tab.locator('#passkey-add').click();
    await tab.locator('[data-passkey-problem]:visible', { hasText: 'already' }).waitFor();
    check(await device.held() === 1, 'the device holds one');

    now.step = 'sign in with the passkey alone';
    await signOut(tab);
    await tab.goto(`${URL_}/sign-in`);
    await tab.locator('#sign-in-passkey').click();
    await isIn(tab);

    now.step = 'remove it';
    await passkeys(tab);
    await tab.locator('form[action*=passkey]:has-text("Remove") button[type=submit]').first().click();
    await proveAgain(tab);
    await passkeys(tab);
    check(!(await tab.locator('main').innerText()).includes('This computer'), 'it is gone', await tab.locator('main').innerText());
    await signOut(tab);
    await tab.goto(`${URL_}/sign-in`);
    await tab.locator('#sign-in-passkey').click();
    await tab.locator('#problem').waitFor();
    await picture(tab, 'sign-in-passkey-refused');
    check(await tab.locator('.bar-person').count() === 0, 'a removed passkey lets nobody in');
    await close();
  },

  async 'codes of an authenticator app, recovery codes and a passkey as the second factor'(browser) {
    const { context, tab, close } = await visitor(browser);
    check(!await signIn(tab), 'a password is enough at first');
    await security(tab);
    await tab.locator('#totp-add').click();
    await proveAgain(tab);
    await tab.locator('#totp-confirm').waitFor();
    await picture(tab, 'totp');
    check(await tab.locator('main svg').count() > 0, 'a picture to scan');
    const secret = (await tab.locator('#totp-secret').textContent()).replace(/\s/g, '');
    check(/^[A-Z2-7]{32,}$/.test(secret), 'a secret in base32', secret);
    const first = code(secret);
    await tab.locator('input[name=code]').fill(first);
    await tab.locator('#totp-confirm').click();
    await tab.waitForLoadState();

    now.step = 'recovery codes are shown once';
    await security(tab);
    if (await tab.locator('#recovery-codes-make').count()) {
      await tab.locator('#recovery-codes-make').click();
      await proveAgain(tab);
    }
    const codes = (await tab.locator('.recovery-codes code, #recovery-codes code').allTextContents()).map((c) => c.trim());
    check(codes.length >= 8 && new Set(codes).size === codes.length, 'there are several', codes);

    now.step = 'a code of oathtool';
    await signOut(tab);
    check(await signIn(tab), 'a second factor is asked for');
    await picture(tab, 'second-factor');
    check(await tab.locator('input[name=code]').first().getAttribute('autocomplete') === 'one-time-code', 'browsers fill it in (C45)');
    check(!await type(tab, '000000'), 'a wrong code is refused');
    const next = code(secret, 1);
    check(await type(tab, next), 'the code of the next step is taken: a clock may be wrong');
    await signOut(tab);
    await signIn(tab);
    check(!await type(tab, next), 'a code works once (RFC 6238 section 5.2)');

    now.step = 'a recovery code works once';
    const recovery = async (typed) => {
      if (await tab.locator('#use-recovery-code').count()) await tab.locator('#use-recovery-code').click();
      return type(tab, typed);
    };
    check(await recovery(codes[0]), 'a recovery code lets its person in');
    await signOut(tab);
    await signIn(tab);
    check(!await recovery(codes[0]), 'once');
    check(await recovery(codes[1]), 'another does');

    now.step = 'a passkey as the second factor';
    const device = await authenticator(context, tab);
    await add(tab, 'Second');
    check(await device.held() === 1, 'the device holds it');
    await signOut(tab);
    check(await signIn(tab), 'a second factor is asked for');
    await picture(tab, 'second-factor-both');
    await tab.locator('#second-factor-passkey').click();
    await isIn(tab);
    await close();
  },
});
