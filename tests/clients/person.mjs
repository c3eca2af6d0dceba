// A person with a browser that has no JavaScript: follows redirects, keeps cookies, fills in forms, presses buttons.
// Node's own http, so that every header is ours to choose and to see.
import http from 'node:http';

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' };

export function unescapeHtml(text) {
  return text.replace(/&(#x[0-9a-f]+|#\d+|[a-z]+);/gi, (whole, name) => {
    if (/^#x/i.test(name)) return String.fromCodePoint(parseInt(name.slice(2), 16));
    if (name.startsWith('#')) return String.fromCodePoint(parseInt(name.slice(1), 10));
    return ENTITIES[name.toLowerCase()] ?? whole;
  });
}

function attributes(tag) {
  const found = {};
  const inside = tag.replace(/^<\s*[a-z0-9]+/i, '').replace(/\/?>$/, '');
  for (const [, name, quoted, single, bare] of inside.matchAll(/([^\s=/>]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g)) {
    found[name.toLowerCase()] = unescapeHtml(quoted ?? single ?? bare ?? '');
  }
  return found;
}

/** The forms of a page: where they go, their fields, and their buttons by id. */
export function forms(html) {
  const plain = html.replace(/<!--[\s\S]*?-->/g, '');
  return [...plain.matchAll(/(<form\b[^>]*>)([\s\S]*?)<\/form>/gi)].map(([, open, body]) => {
    const form = attributes(open);
    const fields = [];
    const buttons = {};
    for (const [tag] of body.matchAll(/<(?:input|button)\b[^>]*>/gi)) {
      const input = attributes(tag);
      const isButton = /^<button/i.test(tag) ? (input.type ?? 'submit') === 'submit' : input.type === 'submit';
      if (isButton) buttons[input.id ?? ''] = input;
      else if (input.name && !(['checkbox', 'radio'].includes(input.type) && !('checked' in input))) {
        fields.push({ name: input.name, value: input.value ?? '', type: input.type ?? 'text' });
      }
    }
    return { action: form.action ?? '', method: (form.method ?? 'get').toLowerCase(), fields, buttons };
  });
}

export class Person {
  constructor({ username, password }) {
    this.username = username;
    this.password = password;
    this.cookies = new Map();
    this.pages = [];
  }

  /** One request, redirects not followed. */
  request(method, url, { body, referer } = {}) {
    const target = new URL(url);
    const headers = {
      accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8',
      'accept-language': 'en-GB,en;q=0.9',
      'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) third-party-test',
      'sec-fetch-dest': 'document',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-site': referer && new URL(referer).origin === target.origin ? 'same-origin' : 'none',
      'sec-fetch-user': '?1',
    };
    if (this.cookies.size) headers.cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    if (referer) headers.referer = referer;
    if (body !== undefined) {
      headers['content-type'] = 'application/x-www-form-urlencoded';
      headers['content-length'] = Buffer.byteLength(body);
      headers.origin = new URL(referer ?? url).origin;
    }
    return new Promise((resolve, reject) => {
      const req = http.request(target, { method, headers, agent: false, timeout: 30_000 }, (res) => {
        const chunks = [];
        res.on('data', (chunk) => chunks.push(chunk));
        res.on('error', reject);
        res.on('end', () => {
          for (const line of res.headers['set-cookie'] ?? []) this.keep(line);
          resolve({ status: res.statusCode, headers: res.headers, text: Buffer.concat(chunks).toString('utf8'), url: target.href });
        });
      });
      req.on('timeout', () => req.destroy(new Error(`no answer from ${method} ${target.pathname} within 30 s`)));
      req.on('error', reject);
      req.end(body);
    });
  }

  keep(line) {
    const [pair, ...rest] = line.split(';');
    const name = pair.slice(0, pair.indexOf('=')).trim();
    const value = pair.slice(pair.indexOf('=') + 1).trim();
    const ended = rest.some((part) => {
      const [key, ...of] = part.trim().split('=');
      const text = of.join('=');
      return (/^max-age$/i.test(key) && Number(text) <= 0) || (/^expires$/i.test(key) && new Date(text) < new Date());
    });
    if (ended) this.cookies.delete(name);
    else this.cookies.set(name, value);
  }

  /**
   * Goes from `start` to `until` (a redirect URI): signs in, presses `button` on the consent page, confirms signing out.
   * Gives the URL of the answer, or for a form post `{ url, body }`. `answers` overrides what is typed.
   */
  async walk(start, until, { button = 'consent-allow', answers = {} } = {}) {
    let step = await this.request('GET', start);
    const seen = [`GET ${new URL(start).pathname}`];
    for (let steps = 0; steps < 15; steps += 1) {
      seen.push(String(step.status));
      if ([301, 302, 303, 307, 308].includes(step.status)) {
        const next = new URL(step.headers.location, step.url).href;
        if (same(next, until)) return next;
        seen.push(`GET ${new URL(next).pathname}`);
        step = await this.request('GET', next, { referer: step.url });
        continue;
      }
      const page = forms(step.text);
      this.pages.push({ url: step.url, status: step.status, text: step.text });
      const posted = page.find((form) => same(new URL(form.action, step.url).href, until));
      if (posted) {
        return { url: new URL(posted.action, step.url).href, body: new URLSearchParams(posted.fields.map((f) => [f.name, f.value])) };
      }
      const found = page
        .flatMap((form) => Object.entries(form.buttons).map(([id, attrs]) => ({ form, id, attrs })))
        .find(({ id }) => ['sign-in-submit', button, 'sign-out-confirm'].includes(id));
      if (!found) throw new Error(`no form to go on with after ${seen.join(' → ')}\n${step.url}\n${words(step.text)}`);
      const values = { username: this.username, password: this.password, ...answers };
      const fields = new URLSearchParams(found.form.fields.map((f) => [f.name, values[f.name] ?? f.value]));
      if (found.attrs.name) fields.append(found.attrs.name, found.attrs.value ?? '');
      const action = new URL(found.attrs.formaction || found.form.action || step.url, step.url).href;
      seen.push(`${found.id}`);
      if (found.id === 'sign-in-submit' && seen.filter((s) => s === 'sign-in-submit').length > 1) {
        throw new Error(`the sign-in page came back: ${words(step.text)}`);
      }
      step = await this.request('POST', action, { body: fields.toString(), referer: step.url });
    }
    throw new Error(`did not reach ${until}: ${seen.join(' → ')}`);
  }
}

/** Same address, whatever the query and the fragment. */
function same(url, until) {
  const [a, b] = [new URL(url), new URL(until)];
  return a.protocol === b.protocol && a.host === b.host && a.pathname === b.pathname;
}

/** A page as words, for messages. */
export function words(html) {
  return unescapeHtml(html.replace(/<(style|script)[\s\S]*?<\/\1>/gi, '').replace(/<[^>]+>/g, ' ')).replace(/\s+/g, ' ').trim().slice(0, 600);
}

/** What the tests are told, or a clear message about what is missing. */
export function told(...names) {
  return names.map((name) => {
    const value = process.env[`CNX_TEST_${name}`];
    if (!value) {
      console.error(`CNX_TEST_${name} is not set`);
      process.exit(2);
    }
    return value;
  });
}

/** Throws unless `condition`; `what` says what should have been. */
export function check(condition, what, seen) {
  if (!condition) throw new Error(seen === undefined ? what : `${what}; seen: ${typeof seen === 'string' ? seen : JSON.stringify(seen)}`);
}
