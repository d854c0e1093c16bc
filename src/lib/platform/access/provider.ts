import type * as oauth from 'oauth4webapi';
import type { Role } from '../../api/contract/access.js';
import { atLeast } from '../../api/contract/access.js';
import { AiotError, type ErrorDetails } from '../../core/errors.js';
import { timeLimit } from '../../core/tasks.js';
import { anyOf } from '../../fleet/selector.js';

/** The login provider of a platform (OpenID Connect), and the roles of its groups. */
export interface ProviderOptions {
  /** URL of the issuer: https, or http on loopback. */
  issuer: string;
  clientId: string;
  /** Absent for a public client. */
  clientSecret?: string | undefined;
  /** Claim that lists a user's groups; a path such as `realm_access.roles` is followed. */
  groupsClaim: string;
  /** Roles by group. A user with several groups has the highest of their roles; a user without one of them cannot log in. */
  roles: Readonly<Record<string, Role>>;
  /** Selectors of the devices that groups' roles are limited to, by group. */
  selectors?: Readonly<Record<string, string>> | undefined;
  /** How old a login's role may be before the provider is asked again, ms. */
  recheckMs: number;
}

/** A user as confirmed by the provider. */
export interface ProviderUser {
  /** Identifier that the provider never reuses. */
  subject: string;
  /** The user's name at the provider; not unique. */
  name: string;
  /** Highest role of the user's groups; null = no group has a role. */
  role: Role | null;
  /** Devices that the role is limited to; null = all devices. */
  selector: string | null;
  /** Groups, as listed by the provider. */
  groups: readonly string[];
  /** Token for asking the provider again; null if the provider does not issue one. */
  refreshToken: string | null;
}

/** Response to a poll for a login with a code. */
export type DevicePoll = { state: 'done'; user: ProviderUser } | { state: 'pending'; slower: boolean };

/** How long the provider may take to respond, ms, and the largest response that is read, bytes. */
export const providerLimits = { timeoutMs: 5000, bytes: 256 * 1024 };

/** How long the provider's metadata is used before it is loaded again, ms. */
const metadataMs = 3_600_000;

/** Scopes that are requested, unless the provider lists its scopes and omits them. */
const wantedScopes = ['openid', 'profile', 'email', 'groups', 'offline_access'];

/** Signature algorithms of ID tokens. `none`, and HMAC with the client's secret or with a public key, are never accepted. */
const algorithms = ['RS256', 'PS256', 'ES256', 'RS384', 'PS384', 'ES384', 'RS512', 'PS512', 'ES512', 'EdDSA'];

type Library = typeof oauth;

/** Everything that a request to the provider needs. */
interface Session {
  library: Library;
  server: oauth.AuthorizationServer;
  client: oauth.Client;
  auth: oauth.ClientAuth;
  http: { [oauth.customFetch]: typeof fetch; [oauth.allowInsecureRequests]: boolean };
}

/**
 * Client of an OpenID Connect provider. The metadata is loaded at the first login, so the platform starts even if the provider
 * is down. Every ID token is verified: signature, issuer, audience, lifetime and nonce.
 * All methods throw AIOT_PROVIDER_UNREACHABLE (no usable response) or AIOT_LOGIN_FAILED (the provider refused, or its response is invalid).
 */
export class Provider {
  private known: { session: Promise<Session>; until: number } | undefined;

  constructor(
    readonly options: ProviderOptions,
    private readonly now: () => number,
  ) {}

  /** Host of the issuer, to be shown to people. */
  get host(): string {
    return new URL(this.options.issuer).host;
  }

  /** URL to which the browser is sent, with the secrets that belong to it. */
  async authorize(
    redirectUri: string,
  ): Promise<{ url: string; state: string; nonce: string; verifier: string }> {
    const { library, server, client } = await this.session();
    const endpoint = this.webPage(required(server, 'authorization_endpoint'));
    const verifier = library.generateRandomCodeVerifier();
    const [state, nonce] = [library.generateRandomState(), library.generateRandomNonce()];
    const scopes = scopesFor(server);
    const url = new URL(endpoint);
    const query = {
      ...{ client_id: client.client_id, redirect_uri: redirectUri, response_type: 'code' },
      ...{ scope: scopes.join(' '), state, nonce },
      ...{
        code_challenge: await library.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      },
      // Providers issue a token for offline access only with the user's consent (OpenID Connect Core, 11).
      ...(scopes.includes('offline_access') ? { prompt: 'consent' } : {}),
    };
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    return { url: url.href, state, nonce, verifier };
  }

  /** Exchanges the code in a redirect. @param response the redirect's query */
  async redeem(
    response: string,
    made: { redirectUri: string; state: string; nonce: string; verifier: string },
  ): Promise<ProviderUser> {
    return this.during(async (session) => {
      const { library, server, client, auth, http } = session;
      const query = library.validateAuthResponse(server, client, new URLSearchParams(response), made.state);
      const { redirectUri, verifier, nonce } = made;
      const reply = await library.authorizationCodeGrantRequest(
        ...([server, client, auth, query, redirectUri, verifier, http] as const),
      );
      const expected = { expectedNonce: nonce, requireIdToken: true };
      const tokens = await library.processAuthorizationCodeResponse(server, client, reply, expected);
      return this.userOf(session, reply, tokens, null);
    });
  }

  /** Starts a login that the user can complete in any machine's browser. */
  async startDevice(): Promise<oauth.DeviceAuthorizationResponse> {
    return this.during(async ({ library, server, client, auth, http }) => {
      required(server, 'device_authorization_endpoint');
      const scope = scopesFor(server).join(' ');
      const reply = await library.deviceAuthorizationRequest(server, client, auth, { scope }, http);
      const started = await library.processDeviceAuthorizationResponse(server, client, reply);
      this.webPage(started.verification_uri_complete ?? started.verification_uri);
      return started;
    });
  }

  async pollDevice(deviceCode: string): Promise<DevicePoll> {
    return this.during(async (session) => {
      const { library, server, client, auth, http } = session;
      const reply = await library.deviceCodeGrantRequest(server, client, auth, deviceCode, http);
      try {
        const tokens = await library.processDeviceCodeResponse(server, client, reply);
        return { state: 'done', user: await this.userOf(session, reply, tokens, null) };
      } catch (error) {
        if (!(error instanceof library.ResponseBodyError)) throw error;
        if (error.error === 'authorization_pending') return { state: 'pending', slower: false };
        if (error.error === 'slow_down') return { state: 'pending', slower: true };
        throw error;
      }
    });
  }

  /** Asks the provider about a user again. `refreshToken` of the result replaces the one that was used. */
  async refresh(refreshToken: string, subject: string): Promise<ProviderUser> {
    return this.during(async (session) => {
      const { library, server, client, auth, http } = session;
      const reply = await library.refreshTokenGrantRequest(server, client, auth, refreshToken, http);
      const tokens = await library.processRefreshTokenResponse(server, client, reply);
      const user = await this.userOf(session, reply, tokens, subject);
      return { ...user, refreshToken: user.refreshToken ?? refreshToken };
    });
  }

  /** Ends the session at the provider. Returns false if the provider has no endpoint for that. */
  async revoke(refreshToken: string): Promise<boolean> {
    return this.during(async ({ library, server, client, auth, http }) => {
      if (server.revocation_endpoint === undefined) return false;
      const reply = await library.revocationRequest(server, client, auth, refreshToken, http);
      await library.processRevocationResponse(reply);
      return true;
    });
  }

  /** @param expected the subject that the response must be about; null = any */
  private async userOf(
    session: Session,
    reply: Response,
    tokens: oauth.TokenEndpointResponse,
    expected: string | null,
  ): Promise<ProviderUser> {
    const { library, server, http } = session;
    const claims = library.getValidatedIdTokenClaims(tokens);
    if (claims) await library.validateApplicationLevelSignature(server, reply, http);
    const subject = claims?.sub ?? expected;
    if (subject === null) throw failed('the provider sent no ID token');
    if (expected !== null && subject !== expected) throw aboutAnotherUser();
    let all: Record<string, unknown> = { ...claims };
    if (claimOf(all, this.options.groupsClaim) === undefined && server.userinfo_endpoint !== undefined)
      all = { ...(await this.userInfo(session, subject, tokens.access_token)), ...all };
    const groups = groupsIn(claimOf(all, this.options.groupsClaim));
    return {
      ...{ subject, groups, ...this.rightsOf(groups) },
      name: [all.preferred_username, all.email, all.name].find((name) => typeof name === 'string') ?? subject,
      refreshToken: tokens.refresh_token ?? null,
    };
  }

  /** A URL that a browser will open: https, or http if the issuer uses it. @throws AIOT_LOGIN_FAILED */
  private webPage(url: string): string {
    const protocol = URL.canParse(url) ? new URL(url).protocol : '';
    if (protocol === 'https:' || (protocol === 'http:' && this.options.issuer.startsWith('http:')))
      return url;
    throw failed(`${this.host} sent ${url.slice(0, 60)} as the login page; expected an https URL`);
  }

  private async userInfo({ library, server, client, http }: Session, subject: string, accessToken: string) {
    const reply = await library.userInfoRequest(server, client, accessToken, http);
    if (reply.status === 401 || reply.status === 403)
      throw failed(`${this.host} rejected a request for the user's claims (${reply.status})`);
    try {
      return await library.processUserInfoResponse(server, client, subject, reply);
    } catch (error) {
      if ((error as { code?: unknown }).code === library.JSON_ATTRIBUTE_COMPARISON)
        throw aboutAnotherUser(error);
      throw error;
    }
  }

  /** The highest role of the groups, for the devices of all groups with that role. */
  private rightsOf(groups: readonly string[]): Pick<ProviderUser, 'role' | 'selector'> {
    const { roles, selectors = {} } = this.options;
    const own = groups.filter((group) => Object.hasOwn(roles, group));
    const role = own
      .map((group) => roles[group] as Role)
      .reduce<Role | null>((best, each) => (best === null || atLeast(each, best) ? each : best), null);
    const limits = own
      .filter((group) => roles[group] === role)
      .map((group) => (Object.hasOwn(selectors, group) ? (selectors[group] ?? 'all') : 'all'));
    const selector = anyOf(limits.sort());
    return { role, selector: selector === 'all' ? null : selector };
  }

  private async during<T>(call: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.session();
    try {
      return await call(session);
    } catch (error) {
      throw this.explained(error, session.library);
    }
  }

  /** The provider's metadata, which is loaded once for concurrent requests. A failure is not remembered. */
  private session(): Promise<Session> {
    if (this.known && this.known.until > this.now()) return this.known.session;
    const session = this.discover();
    this.known = { session, until: this.now() + metadataMs };
    session.catch(() => {
      if (this.known?.session === session) this.known = undefined;
    });
    return session;
  }

  private async discover(): Promise<Session> {
    const library: Library = await import('oauth4webapi');
    const { issuer, clientId, clientSecret } = this.options;
    const url = new URL(issuer);
    const http = {
      [library.customFetch]: boundedFetch as typeof fetch,
      [library.allowInsecureRequests]: url.protocol === 'http:',
    };
    try {
      const reply = await library.discoveryRequest(url, http);
      const server = await library.processDiscoveryResponse(url, reply);
      const signed = server.id_token_signing_alg_values_supported?.filter((one) => algorithms.includes(one));
      const client: oauth.Client = {
        client_id: clientId,
        [library.clockTolerance]: 30,
      };
      return {
        ...{ library, client, http, auth: authOf(library, server, clientSecret) },
        server: { ...server, id_token_signing_alg_values_supported: signed?.length ? signed : ['RS256'] },
      };
    } catch (error) {
      const { code, message, next, retryable } = this.explained(error, library);
      throw new ProviderError(code, message, { cause: error, next, retryable, scope: 'provider' });
    }
  }

  private explained(error: unknown, library: Library): AiotError {
    if (error instanceof AiotError) return error;
    const { issuer } = this.options;
    if (error instanceof library.AuthorizationResponseError || error instanceof library.ResponseBodyError) {
      const why = error.error_description ?? '';
      // The description is shown to people, so it is limited to one short line.
      const told = why.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 120);
      const { next, scope } = refusals[error.error] ?? {};
      const message = `${this.host} refused: ${error.error.slice(0, 60)}${told && ` (${told})`}`;
      return failed(message, error, next, scope);
    }
    const code = (error as { code?: unknown }).code;
    const wrong = typeof code === 'string' ? wrongBy[code] : undefined;
    if (wrong !== undefined) return failed(`${this.host}: ${wrong}`, error, nextForWrong);
    const cause = (error as { cause?: { code?: unknown } }).cause?.code;
    return unreachable(`${issuer}: ${typeof cause === 'string' ? cause : 'no usable response'}`, error);
  }
}

/** Sends a request to the provider, with a limit for the time and the size of the response. */
async function boundedFetch(url: string, init: RequestInit): Promise<Response> {
  const { timeoutMs, bytes: most } = providerLimits;
  const signal = timeLimit(timeoutMs);
  try {
    const reply = await fetch(url, { ...init, redirect: 'manual', signal });
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of reply.body ?? []) {
      size += chunk.byteLength;
      if (size > most)
        throw unreachable(`${new URL(url).origin} sent more than ${most / 1024} KiB`, undefined, 'login');
      chunks.push(chunk);
    }
    const body = size === 0 ? null : Buffer.concat(chunks);
    return new Response(body, { status: reply.status, headers: reply.headers });
  } catch (error) {
    if (signal.aborted)
      throw unreachable(`${new URL(url).origin} did not respond within ${timeoutMs / 1000} s`, error);
    throw error;
  }
}

function authOf(library: Library, server: oauth.AuthorizationServer, secret: string | undefined) {
  if (secret === undefined) return library.None();
  const methods = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
  return methods.includes('client_secret_basic')
    ? library.ClientSecretBasic(secret)
    : library.ClientSecretPost(secret);
}

function scopesFor({ scopes_supported: offered }: oauth.AuthorizationServer): string[] {
  return wantedScopes.filter((scope) => scope === 'openid' || !offered || offered.includes(scope));
}

function required(
  server: oauth.AuthorizationServer,
  endpoint: 'authorization_endpoint' | 'device_authorization_endpoint',
): string {
  const url = server[endpoint];
  if (url !== undefined) return url;
  const [what, other] =
    endpoint === 'authorization_endpoint' ? ['a browser', '--no-browser'] : ['a device code', '--browser'];
  throw failed(
    `the provider does not support logins with ${what}`,
    undefined,
    `Run \`aiot login ${other}\`.`,
  );
}

/** The value of a claim: the claim with this name, or else the member at this dotted path. */
function claimOf(claims: Record<string, unknown>, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path];
  let value: unknown = claims;
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

function groupsIn(value: unknown): string[] {
  const all = Array.isArray(value) ? value : [value];
  return all.filter((group): group is string => typeof group === 'string');
}

/** Reasons why a response was rejected, by the library's error codes. */
const wrongBy: Record<string, string> = {
  OAUTH_JWT_TIMESTAMP_CHECK_FAILED: 'the ID token has expired, or is not valid yet',
  OAUTH_JWT_CLAIM_COMPARISON_FAILED: 'the ID token has another issuer, audience or nonce',
  OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED: 'the response has another issuer or user',
  OAUTH_KEY_SELECTION_FAILED: "the ID token's key is not one of the provider's keys",
  OAUTH_UNSUPPORTED_OPERATION: 'the ID token has an unsupported signature algorithm',
  OAUTH_INVALID_RESPONSE: 'the response is invalid',
};

const nextForWrong =
  'Log in again. If it fails again, compare --oidc-issuer and --oidc-client with the provider, and its clock with the platform’s.';

/** The provider's error codes (RFC 6749, RFC 8628, OpenID Connect Core 3.1.2.6): next steps, and scopes if not a single login. */
const refusals: Record<string, { next?: string; scope?: FailureScope } | undefined> = {
  access_denied: {
    next: 'Log in again and allow access, or ask an administrator of the provider.',
    scope: 'account',
  },
  account_selection_required: { scope: 'account' },
  consent_required: { scope: 'account' },
  expired_token: {
    next: 'The code has expired: run `aiot login` again, and enter the new code in time.',
  },
  interaction_required: { scope: 'account' },
  invalid_client: {
    next: 'Check --oidc-client and the client’s secret, then restart the platform.',
    scope: 'provider',
  },
  invalid_grant: { scope: 'account' },
  invalid_scope: { next: 'Allow the scopes openid, profile and email for the client at the provider.' },
  login_required: { scope: 'account' },
  server_error: { scope: 'provider' },
  temporarily_unavailable: { scope: 'provider' },
  unauthorized_client: { next: 'Allow this grant for the client at the provider.', scope: 'provider' },
  unsupported_grant_type: { scope: 'provider' },
};

/**
 * Extent of a failure: the provider does not work for any login, only this login failed, or the provider no longer grants this account
 * access.
 */
type FailureScope = 'provider' | 'login' | 'account';

class ProviderError extends AiotError {
  readonly scope: FailureScope;

  constructor(code: AiotError['code'], message: string, details: ErrorDetails & { scope: FailureScope }) {
    super(code, message, details);
    this.scope = details.scope;
  }
}

/** Extent of a failed check. A failure of the platform itself, such as of its database, affects only the login. */
export function scopeOf(error: unknown): FailureScope {
  return error instanceof ProviderError ? error.scope : 'login';
}

export function failed(
  message: string,
  cause?: unknown,
  next?: string,
  scope: FailureScope = 'login',
): AiotError {
  return new ProviderError('AIOT_LOGIN_FAILED', message, { cause, next, scope });
}

function aboutAnotherUser(cause?: unknown): AiotError {
  return failed("the provider's response is about another user", cause, nextForWrong, 'account');
}

function unreachable(message: string, cause?: unknown, scope: FailureScope = 'provider'): AiotError {
  return new ProviderError('AIOT_PROVIDER_UNREACHABLE', message, { cause, retryable: true, scope });
}
