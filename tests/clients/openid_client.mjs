// openid-client (npm), as a confidential app by Basic and by POST, and as a public app: the whole journey.
import * as client from 'openid-client';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { Person, check, told } from './person.mjs';

const [URL_, ID, SECRET, PUBLIC_ID, USER, PASSWORD, REDIRECT, AFTER] = told(
  'URL', 'CLIENT_ID', 'CLIENT_SECRET', 'PUBLIC_CLIENT_ID', 'USER', 'PASSWORD', 'REDIRECT_URI', 'POST_LOGOUT_REDIRECT_URI',
);
const SCOPE = 'openid profile email offline_access';
// Everything that must come back byte for byte: base64, colons, quotes, percent signs, spaces, and more than ASCII.
const STATE = 'a/b+c==:d e%2F"\'<>&?#\\ü✓';

let step = 'start';
const doing = (what) => { step = what; };

async function fails(act, code) {
  let error;
  try { await act(); } catch (e) { error = e; }
  check(error, `${step}: should have been refused with ${code}`);
  // A refusal with a challenge is told by the challenge; its body repeats the code.
  const seen = error.error ?? error.cause?.[0]?.parameters?.error ?? error.code;
  const challenged = error.code === 'OAUTH_WWW_AUTHENTICATE_CHALLENGE' && error.status === 401;
  check(seen === code || (challenged && ['invalid_client', 'invalid_token'].includes(code)), `${step}: wrong refusal, ${code} expected`,
    `${seen} ${error.status ?? ''} ${error.message}`);
  return error;
}

async function discover(id, secret, auth) {
  doing(`discovery as ${id}`);
  const config = await client.discovery(new URL(URL_), id, secret ? { client_secret: secret } : {}, auth, {
    execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks],
  });
  const server = config.serverMetadata();
  check(server.issuer === URL_.replace(/\/$/, ''), 'issuer is byte-identical (C18)', server.issuer);
  check(server.authorization_response_iss_parameter_supported === true, 'iss in answers is announced (C20)');
  check(server.supportsPKCE(), 'S256 is announced (C20)');
  check(server.scopes_supported.includes('offline_access'), 'offline_access is announced (C20)');
  return config;
}

/** authorize → sign in → consent → callback → tokens. */
async function signIn(config, person, extra = {}, checks = {}) {
  const verifier = client.randomPKCECodeVerifier();
  const nonce = client.randomNonce();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: REDIRECT, scope: SCOPE, state: STATE, nonce,
    code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...extra,
  });
  const answer = await person.walk(url.href, REDIRECT);
  const current = answer.body
    ? new Request(answer.url, { method: 'POST', body: answer.body, headers: { 'content-type': 'application/x-www-form-urlencoded' } })
    : new URL(answer);
  const redeem = () => client.authorizationCodeGrant(config, answer.body ? current.clone() : current,
    { pkceCodeVerifier: verifier, expectedState: STATE, expectedNonce: nonce, idTokenExpected: true, ...checks });
  return { tokens: await redeem(), redeem };
}

/** The ID token as the library read it, and the access token as a resource server would (RFC 9068). */
async function readTokens(config, tokens, id) {
  doing(`tokens of ${id}`);
  check(tokens.token_type === 'bearer', 'token_type (C8)', tokens.token_type);
  check(Number.isInteger(tokens.expires_in) && tokens.expires_in > 0, 'expires_in is a number (C8)', tokens.expires_in);
  check(tokens.scope.split(' ').sort().join(' ') === SCOPE.split(' ').sort().join(' '), 'scope is told (C8)', tokens.scope);
  check(tokens.refresh_token.startsWith('cnx_rt_'), 'a refresh token came');
  const claims = tokens.claims();
  check(claims.aud === id, 'aud of the ID token', claims.aud);
  check(Number.isInteger(claims.auth_time) && Number.isInteger(claims.iat) && Number.isInteger(claims.exp), 'whole seconds', claims);
  check(typeof claims.sid === 'string' && Array.isArray(claims.amr) && claims.at_hash, 'sid, amr, at_hash', claims);
  const { issuer, jwks_uri } = config.serverMetadata();
  const keys = createRemoteJWKSet(new URL(jwks_uri));
  const { payload } = await jwtVerify(tokens.access_token, keys, { issuer, typ: 'at+jwt', audience: issuer });
  for (const name of ['sub', 'client_id', 'exp', 'iat', 'jti', 'scope']) check(payload[name] !== undefined, `${name} in the access token (C22)`, payload);
  check(payload.sub === claims.sub && payload.client_id === id, 'whose access token', payload);
  return claims;
}

async function journey(name, config, id, confidential) {
  const person = new Person({ username: USER, password: PASSWORD });
  doing(`${name}: sign-in`);
  const { tokens } = await signIn(config, person);
  const claims = await readTokens(config, tokens, id);

  doing(`${name}: userinfo`);
  const info = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
  check(info.preferred_username === USER, 'preferred_username (C26)', info);

  doing(`${name}: refresh`);
  const second = await client.refreshTokenGrant(config, tokens.refresh_token);
  check(second.refresh_token && second.refresh_token !== tokens.refresh_token, 'the refresh token rotated');
  check(second.claims().sub === claims.sub && second.claims().auth_time === claims.auth_time, 'the refreshed ID token is about the same sign-in');
  doing(`${name}: the answer was lost, the same refresh again`);
  const again = await client.refreshTokenGrant(config, tokens.refresh_token);
  check(again.refresh_token === second.refresh_token, 'the same successor again');
  doing(`${name}: refresh with the scope repeated (C9)`);
  const third = await client.refreshTokenGrant(config, second.refresh_token, { scope: SCOPE });
  doing(`${name}: refresh with a narrower scope (C9)`);
  const narrow = await client.refreshTokenGrant(config, third.refresh_token, { scope: 'openid profile' });
  check(narrow.scope.split(' ').sort().join(' ') === 'openid profile', 'the scope is narrower', narrow.scope);
  doing(`${name}: refresh with a wider scope (C9)`);
  await fails(() => client.refreshTokenGrant(config, narrow.refresh_token, { scope: `${SCOPE} phone` }), 'invalid_scope');

  if (confidential) {
    doing(`${name}: introspection`);
    const seen = await client.tokenIntrospection(config, narrow.access_token);
    check(seen.active === true && seen.sub === claims.sub && seen.client_id === id, 'an active token', seen);
  }

  doing(`${name}: silent sign-in`);
  const silent = await signIn(config, person, { prompt: 'none', max_age: '600' }, { maxAge: 600 });
  check(silent.tokens.claims().sub === claims.sub, 'the same person');
  doing(`${name}: form_post (C31)`);
  await signIn(config, person, { response_mode: 'form_post' });

  doing(`${name}: revocation`);
  await client.tokenRevocation(config, narrow.refresh_token);
  await fails(() => client.refreshTokenGrant(config, narrow.refresh_token), 'invalid_grant');
  await fails(() => client.fetchUserInfo(config, narrow.access_token, claims.sub), 'invalid_token');
  if (confidential) {
    const dead = await client.tokenIntrospection(config, narrow.access_token);
    check(JSON.stringify(dead) === '{"active":false}', 'exactly {"active":false} (C24)', dead);
  }
  doing(`${name}: revocation of a token that never was (C25)`);
  await client.tokenRevocation(config, 'cnx_rt_never');

  doing(`${name}: a refresh token is replayed`);
  const live = await signIn(config, person);
  const next = await client.refreshTokenGrant(config, live.tokens.refresh_token);
  const after = await client.refreshTokenGrant(config, next.refresh_token);
  await fails(() => client.refreshTokenGrant(config, live.tokens.refresh_token), 'invalid_grant');
  doing(`${name}: the replay killed the family`);
  await fails(() => client.refreshTokenGrant(config, after.refresh_token), 'invalid_grant');

  doing(`${name}: a code is presented twice (C10)`);
  const once = await signIn(config, person);
  await fails(() => once.redeem(), 'invalid_grant');
  doing(`${name}: the second use revoked what the first one got (C10)`);
  await fails(() => client.fetchUserInfo(config, once.tokens.access_token, claims.sub), 'invalid_token');

  doing(`${name}: sign-out`);
  const end = client.buildEndSessionUrl(config, { id_token_hint: silent.tokens.id_token, post_logout_redirect_uri: AFTER, state: STATE });
  const out = new URL(await person.walk(end.href, AFTER));
  check(out.searchParams.get('state') === STATE, 'state comes back after sign-out', out.href);
  doing(`${name}: nobody is signed in any more`);
  await fails(() => signIn(config, person, { prompt: 'none' }), 'login_required');
}

async function machine(config) {
  doing('client_credentials');
  const tokens = await client.clientCredentialsGrant(config, { scope: 'api:read' });
  check(tokens.scope === 'api:read' && !tokens.refresh_token && !tokens.id_token, 'a token of the client alone', Object.keys(tokens));
  const { issuer, jwks_uri } = config.serverMetadata();
  const { payload } = await jwtVerify(tokens.access_token, createRemoteJWKSet(new URL(jwks_uri)), { issuer, typ: 'at+jwt' });
  check(payload.sub === ID && payload.client_id === ID, 'sub is the client (C22)', payload);
  const seen = await client.tokenIntrospection(config, tokens.access_token);
  check(seen.active && seen.sub === ID, 'sub in introspection (C24)', seen);
}

try {
  const basic = await discover(ID, SECRET, client.ClientSecretBasic(SECRET));
  await journey('basic', basic, ID, true);
  await machine(basic);
  await journey('post', await discover(ID, SECRET, client.ClientSecretPost(SECRET)), ID, true);
  await journey('public', await discover(PUBLIC_ID, undefined, client.None()), PUBLIC_ID, false);
  for (const auth of [client.ClientSecretBasic, client.ClientSecretPost]) {
    const wrong = await discover(ID, 'wrong', auth('wrong'));
    doing('a wrong secret (C7)');
    await fails(() => client.clientCredentialsGrant(wrong), 'invalid_client');
  }
  console.log('OK');
} catch (error) {
  console.error(`failed at ${step}: ${error.message}`);
  for (let cause = error.cause; cause; cause = cause.cause) console.error('  because:', cause instanceof Error ? cause.message : cause);
  console.error(error.stack);
  process.exit(1);
}
