// A client of the library oauth4webapi: discovery, a DPoP-bound token, a protected request, introspection, revocation.
// Reads its configuration as JSON from standard input, writes what it got as JSON; a fault ends it with a stack trace.

import { readFileSync } from "node:fs";
import * as oauth from "oauth4webapi";

const PARAMETERS = {
  ES256: { name: "ECDSA", namedCurve: "P-256" },
  PS256: { name: "RSA-PSS", hash: "SHA-256" },
  Ed25519: { name: "Ed25519" },
};
const { issuer, resource, clientId, algorithm, jwk, scope } = JSON.parse(readFileSync(0, "utf8"));

const url = new URL(issuer);
const server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { algorithm: "oauth2" }));
const client = { client_id: clientId };
const key = await crypto.subtle.importKey("jwk", jwk, PARAMETERS[algorithm], false, ["sign"]);
const authentication = oauth.PrivateKeyJwt({ key, kid: jwk.kid });
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair("ES256"));

let asked = 0;
async function again(ask) {
  try {
    return await ask();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    asked += 1;
    return await ask();
  }
}

const token = await again(async () => {
  const parameters = new URLSearchParams({ scope });
  const answer = await oauth.clientCredentialsGrantRequest(server, client, authentication, parameters, { DPoP });
  return oauth.processClientCredentialsResponse(server, client, answer);
});
const call = () =>
  oauth.protectedResourceRequest(token.access_token, "GET", new URL(resource), undefined, undefined, { DPoP });
const answer = await again(call);
const introspect = async (options) => {
  const told = await oauth.introspectionRequest(server, client, authentication, token.access_token, options);
  return oauth.processIntrospectionResponse(server, client, told);
};
const before = await introspect({ requestJwtResponse: false });
const signed = await introspect({ requestJwtResponse: true });
const gone = await oauth.revocationRequest(server, client, authentication, token.access_token);
await oauth.processRevocationResponse(gone);
const after = await introspect({ requestJwtResponse: false });
const refused = await call().then((late) => late.status, (error) => error.status);

console.log(JSON.stringify({ tokenType: token.token_type, status: answer.status, asked, before, signed, after, refused }));
