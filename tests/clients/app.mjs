// A tiny app that signs people in with openid-client: what a newcomer would write. Used by browser.mjs.
import http from 'node:http';
import { randomUUID } from 'node:crypto';
import * as client from 'openid-client';

const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const page = (body) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>Third-party app</title><body>${body}</body></html>`;

/** Starts the app at `address` (`http://host:port`); gives a function that stops it. */
export async function startApp({ address, issuer, clientId, clientSecret, scope }) {
  const config = await client.discovery(new URL(issuer), clientId, clientSecret ? { client_secret: clientSecret } : {},
    clientSecret ? client.ClientSecretBasic(clientSecret) : client.None(),
    { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] });
  const visits = new Map();

  const visit = (request, response) => {
    const known = /(?:^|;\s*)app=([^;]+)/.exec(request.headers.cookie ?? '')?.[1];
    const id = visits.has(known) ? known : randomUUID();
    if (id !== known) {
      visits.set(id, {});
      response.setHeader('set-cookie', `app=${id}; Path=/; HttpOnly; SameSite=Lax`);
    }
    return visits.get(id);
  };

  const acts = {
    '/': (url, me) => {
      if (!me.tokens) {
        return page(`<h1>App</h1><p id="status">signed out</p>${me.error ? `<p id="error">${escape(me.error)}</p>` : ''}<a id="login" href="/login">Sign in</a>`);
      }
      return page(`<h1>App</h1><p id="status">signed in</p><p id="who">${escape(me.info.preferred_username)}</p><p id="refreshes">${me.refreshes}</p>
        <a id="refresh" href="/refresh">Refresh</a> <a id="logout" href="/logout">Sign out</a> <a id="silent" href="/silent">Silent</a>`);
    },

    '/login': async (url, me) => {
      const silent = url.searchParams.get('prompt') === 'none';
      const pending = { verifier: client.randomPKCECodeVerifier(), state: client.randomState(), nonce: client.randomNonce(), silent };
      me.pending = pending;
      const extra = Object.fromEntries(url.searchParams);
      return { to: client.buildAuthorizationUrl(config, {
        redirect_uri: `${address}/callback`, scope, state: pending.state, nonce: pending.nonce,
        code_challenge: await client.calculatePKCECodeChallenge(pending.verifier), code_challenge_method: 'S256', ...extra,
      }).href };
    },

    '/callback': async (url, me, body) => {
      const { verifier, state, nonce, silent } = me.pending ?? {};
      const current = body === undefined ? url
        : new Request(url, { method: 'POST', body, headers: { 'content-type': 'application/x-www-form-urlencoded' } });
      me.mode = body === undefined ? 'query' : 'form_post';
      me.error = undefined;
      try {
        me.tokens = await client.authorizationCodeGrant(config, current,
          { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true });
        me.idToken = me.tokens.id_token;
        me.info = await client.fetchUserInfo(config, me.tokens.access_token, me.tokens.claims().sub);
        me.refreshes = 0;
      } catch (error) {
        me.error = error.error ?? `${error.code ?? ''} ${error.message}`;
        if (!silent) me.tokens = undefined;
      }
      if (silent) return page(`<script>parent.postMessage(${JSON.stringify(me.error ?? 'renewed').replace(/</g, '\\u003c')}, '*')</script>`);
      return { to: '/' };
    },

    '/refresh': async (url, me) => {
      const old = me.tokens;
      me.tokens = await client.refreshTokenGrant(config, old.refresh_token);
      if (me.tokens.refresh_token === old.refresh_token) throw new Error('the refresh token did not rotate');
      me.idToken = me.tokens.id_token ?? me.idToken;
      me.refreshes += 1;
      return { to: '/' };
    },

    '/logout': (url, me) => {
      const to = client.buildEndSessionUrl(config, { id_token_hint: me.idToken, post_logout_redirect_uri: `${address}/` }).href;
      me.tokens = undefined;
      return { to };
    },

    '/silent': () => page(`<p id="result">waiting</p><iframe src="/login?prompt=none"></iframe>
      <script>addEventListener('message', (e) => { document.getElementById('result').textContent = e.data; });</script>`),
  };

  const server = http.createServer(async (request, response) => {
    try {
      const url = new URL(request.url, address);
      const act = acts[url.pathname];
      if (!act) { response.writeHead(404).end(); return; }
      let body;
      if (request.method === 'POST') {
        body = '';
        for await (const chunk of request) body += chunk;
      }
      const answer = await act(url, visit(request, response), body);
      if (typeof answer === 'string') response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' }).end(answer);
      else response.writeHead(303, { location: answer.to, 'cache-control': 'no-store' }).end();
    } catch (error) {
      response.writeHead(500, { 'content-type': 'text/html; charset=utf-8' }).end(page(`<p id="status">broken</p><p id="error">${escape(error.stack)}</p>`));
    }
  });
  const { hostname, port } = new URL(address);
  await new Promise((resolve, reject) => server.once('error', reject).listen(Number(port), hostname, resolve));
  return {
    lastMode: () => [...visits.values()].at(-1)?.mode,
    stop: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }),
  };
}
