// Machines with jose and openid-client (npm): a service account by its own assertions, a client by private_key_jwt.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as client from 'openid-client';
import { SignJWT, createRemoteJWKSet, importJWK, importPKCS8, jwtVerify } from 'jose';
import { check, told } from './person.mjs';

// The account of KEY_FILE_STRICT2 and the client may api:read for AUDIENCE. JWT_CLIENT_JWK is a file: a private JWK with alg and kid.
const [URL_, AUDIENCE, KEY_FILE, CLIENT_ID, CLIENT_JWK] = told('URL', 'AUDIENCE', 'KEY_FILE_STRICT2', 'JWT_CLIENT_ID', 'JWT_CLIENT_JWK');
const SCOPE = 'api:read';
const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const CLIENT_ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

let step = 'start';
const doing = (what) => { step = what; };

const read = (file) => JSON.parse(readFileSync(file, 'utf8'));

async function post(url, form) {
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams(form), redirect: 'error', signal: AbortSignal.timeout(10_000) });
  const text = await response.text();
  return { status: response.status, text, body: text ? JSON.parse(text) : undefined };
}

const refused = ({ status, text, body }, code) => check(status >= 400 && status < 500 && body?.error === code, `${step}: refused with ${code}`, text);

/** As a resource server does it, with nothing but the key set. */
async function offline(server, token, sub) {
  const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(server.jwks_uri)), {
    issuer: server.issuer, audience: AUDIENCE, typ: 'at+jwt', algorithms: ['ES256'], requiredClaims: ['sub', 'client_id', 'iat', 'exp', 'jti', 'scope'],
  });
  check(payload.aud === AUDIENCE, 'aud is the one that was asked for', payload);
  check(payload.sub === sub && payload.client_id === sub, 'sub and client_id (C22)', payload);
  check(payload.scope === SCOPE, 'scope (C8)', payload.scope);
  return payload;
}

function agrees(seen, payload) {
  check(seen.active === true, `${step}: active (C24)`, seen);
  for (const name of ['iss', 'sub', 'aud', 'client_id', 'scope', 'exp', 'iat', 'jti']) check(seen[name] === payload[name], `${name} in introspection (C24)`, seen);
}

async function account(server) {
  const key = read(KEY_FILE);
  check(key.alg === 'ES256' && key.token_uri === server.token_endpoint && key.issuer === server.issuer, 'an ES256 key file of this server', Object.keys(key));
  const private_ = await importPKCS8(key.private_key, key.alg);
  const sign = (audience) => new SignJWT({})
    .setProtectedHeader({ alg: key.alg, kid: key.private_key_id })
    .setIssuer(key.client_email).setSubject(key.client_email).setAudience(audience)
    .setIssuedAt().setExpirationTime('5 minutes').setJti(randomUUID())
    .sign(private_);

  doing('account: jwt-bearer');
  const assertion = await sign(key.issuer);
  const form = { grant_type: GRANT, assertion, scope: SCOPE, resource: AUDIENCE };
  const { status, text, body } = await post(key.token_uri, form);
  check(status === 200 && body.token_type === 'Bearer' && Number.isInteger(body.expires_in), 'a token (C8)', text);
  check(!body.refresh_token && !body.id_token && body.scope === SCOPE, 'an access token alone', Object.keys(body));
  const payload = await offline(server, body.access_token, key.client_email);

  doing('account: the same assertion again');
  refused(await post(key.token_uri, form), 'invalid_grant');
  doing('account: an assertion for somebody else');
  refused(await post(key.token_uri, { ...form, assertion: await sign('https://elsewhere.example') }), 'invalid_grant');
  doing('account: an assertion that another key signed');
  const [head, claims] = (await sign(key.issuer)).split('.');
  refused(await post(key.token_uri, { ...form, assertion: `${head}.${claims}.${assertion.split('.')[2]}` }), 'invalid_grant');

  const asItself = async (aud = server.issuer) => ({ client_assertion_type: CLIENT_ASSERTION, client_assertion: await sign(aud) });
  doing('account: introspection of its own token, authenticated by an assertion');
  const seen = await post(server.introspection_endpoint, { token: body.access_token, ...await asItself() });
  agrees(seen.body, payload);
  doing('account: an assertion that authenticates is for the issuer alone');
  refused(await post(server.introspection_endpoint, { token: body.access_token, ...await asItself([server.issuer, AUDIENCE]) }), 'invalid_client');
  doing('account: an assertion that was a grant does not authenticate as well');
  refused(await post(server.introspection_endpoint, { token: body.access_token, client_assertion_type: CLIENT_ASSERTION, client_assertion: assertion }), 'invalid_client');
  return { token: body.access_token, payload, asItself };
}

async function byPrivateKeyJwt() {
  doing('client: discovery');
  const jwk = read(CLIENT_JWK);
  const key = { key: await importJWK(jwk, jwk.alg), kid: jwk.kid };
  const open = { execute: [client.allowInsecureRequests] };
  const config = await client.discovery(new URL(URL_), CLIENT_ID, {}, client.PrivateKeyJwt(key), open);
  const server = config.serverMetadata();
  check(server.token_endpoint_auth_methods_supported.includes('private_key_jwt'), 'private_key_jwt is announced (C20)');
  check(server.token_endpoint_auth_signing_alg_values_supported.includes(jwk.alg), `${jwk.alg} is announced (C20)`);
  check(server.grant_types_supported.includes(GRANT), 'jwt-bearer is announced (C20)');

  doing('client: client_credentials by private_key_jwt, with a resource');
  const tokens = await client.clientCredentialsGrant(config, { scope: SCOPE, resource: AUDIENCE });
  check(tokens.scope === SCOPE && !tokens.refresh_token && !tokens.id_token, 'a token of the client alone', Object.keys(tokens));
  const payload = await offline(server, tokens.access_token, CLIENT_ID);
  doing('client: introspection by private_key_jwt');
  agrees(await client.tokenIntrospection(config, tokens.access_token), payload);

  doing('client: an assertion twice');
  const jti = randomUUID();
  const same = client.PrivateKeyJwt(key, { [client.modifyAssertion]: (_, claims) => { claims.jti = jti; } });
  const twice = await client.discovery(new URL(URL_), CLIENT_ID, {}, same, open);
  await client.clientCredentialsGrant(twice, { scope: SCOPE });
  const error = await client.clientCredentialsGrant(twice, { scope: SCOPE }).catch((e) => e);
  // A refusal with a challenge is told by the challenge.
  check(error instanceof Error && error.status === 401 && (error.error === 'invalid_client' || error.code === 'OAUTH_WWW_AUTHENTICATE_CHALLENGE'),
    'refused with 401 invalid_client', `${error.status} ${error.error ?? error.code} ${error.message}`);
  return { config, server };
}

try {
  const { config, server } = await byPrivateKeyJwt();
  const { token, payload, asItself } = await account(server);
  doing('the client, whose tokens are for the same resource, asks about the token of the account');
  agrees(await client.tokenIntrospection(config, token), payload);
  doing('the account revokes its own token');
  const gone = await post(server.revocation_endpoint, { token, ...await asItself() });
  check(gone.status === 200, 'revoked', gone.text);
  const dead = await client.tokenIntrospection(config, token);
  check(JSON.stringify(dead) === '{"active":false}', 'exactly {"active":false} (C24)', dead);
  console.log('OK');
} catch (error) {
  console.error(`failed at ${step}: ${error.message}`);
  for (let cause = error.cause; cause; cause = cause.cause) console.error('  because:', cause instanceof Error ? cause.message : cause);
  console.error(error.stack);
  process.exit(1);
}
