import * as z from 'zod';
import { namePattern } from '../../core/names.js';
import { name, time } from '../fields.js';
import { pageQuerySchema, pageSchema } from '../page.js';
import { endpoint } from './endpoint.js';

/**
 * Roles of users and tokens, in ascending order of rights. `viewer` only reads; `ci` also uploads, pushes, and starts
 * rollouts and jobs; `operator` may do everything.
 */
export const roles = ['viewer', 'ci', 'operator'] as const;
export type Role = (typeof roles)[number];

export function atLeast(role: Role, wanted: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(wanted);
}

/** Nouns of scopes and the actions on each. An action includes the actions listed before it. */
export const scopeNouns = {
  devices: ['read', 'write'],
  models: ['read', 'push', 'write'],
  firmware: ['read', 'push', 'write'],
  configs: ['read', 'push', 'write'],
  rollouts: ['read', 'write'],
  jobs: ['read', 'write'],
  /** `write` is for runners and CI jobs. `run` starts and cancels runs on runners; no other scope includes it. */
  pipelines: ['read', 'write', 'run'],
  data: ['read', 'write'],
  events: ['read'],
  webhooks: ['read', 'write'],
  users: ['read', 'write'],
  platform: ['read', 'write'],
  /** Allows shells, port forwarding and copying on devices, for operators. No other scope includes it. */
  remote: ['open'],
  /** Allows a gateway to act for every device in the Direct Device Integration API, and nothing else. */
  ddi: ['gateway'],
  /** Allows an external broker to ask who may connect, publish and subscribe, and nothing else. */
  broker: ['authorize'],
} as const satisfies Record<string, readonly string[]>;
export type ScopeNoun = keyof typeof scopeNouns;

/** Scopes that include only `read` of their noun, and that no other scope includes. */
const separateScopes: ReadonlySet<string> = new Set(['pipelines:run']);

/** `models:push`, `devices:read`, …, or `stream:FILTER` for MQTT topics. */
export const scopeSchema = z
  .string()
  .max(256)
  .refine(
    isScope,
    'expected RESOURCE:ACTION such as models:push or devices:read, or stream:FILTER such as stream:lab/#',
  );

export function isScope(text: string): boolean {
  const [noun = '', ...rest] = text.split(':');
  const action = rest.join(':');
  if (noun === 'stream') return isFilter(action);
  const actions: readonly string[] = Object.hasOwn(scopeNouns, noun) ? scopeNouns[noun as ScopeNoun] : [];
  return actions.includes(action);
}

/** Whether one scope includes everything that another allows. */
export function scopeCovers(scope: string, wanted: string): boolean {
  if (scope === wanted) return true;
  const [noun = '', action = ''] = scope.split(':');
  const [wantedNoun, wantedAction = ''] = wanted.split(':');
  if (noun !== wantedNoun || !Object.hasOwn(scopeNouns, noun)) return false;
  if (separateScopes.has(wanted)) return false;
  if (separateScopes.has(scope)) return wantedAction === 'read';
  const actions: readonly string[] = scopeNouns[noun as ScopeNoun];
  return actions.includes(wantedAction) && actions.indexOf(action) >= actions.indexOf(wantedAction);
}

/** A valid MQTT topic filter (3.1.1, 4.7.1): `+` and `#` occupy whole levels, `#` is the last. */
function isFilter(text: string): boolean {
  if (text === '' || text.includes('\0')) return false;
  return text
    .split('/')
    .every((level, i, all) => (level === '#' ? i === all.length - 1 : level === '+' || !/[+#]/.test(level)));
}

/** Selector of the devices that the rights are limited to; null = all devices. */
const reachSelector = z.string().nullable();

/** Selector in a request; the platform checks it. */
const newReachSelector = z.string().trim().min(1).max(1000);

/** A user, without its tokens. GET /users → {users, next} */
export const userSchema = z.object({
  name,
  role: z.enum(roles),
  selector: reachSelector,
  created: time,
  /** Time at which the user was disabled, which invalidated all of the user's tokens; null = enabled. */
  disabled: time.nullable(),
  /** Number of valid tokens. */
  tokens: z.int(),
});
export type User = z.output<typeof userSchema>;

/** Names that could be confused with other actors in events. */
const reserved = new Set(['device', 'nobody', 'operator', 'platform', 'user']);

/** Whether a user may have this name. */
export function isUserName(text: string): boolean {
  return namePattern.test(text) && !reserved.has(text);
}

/** POST /users */
export const newUserSchema = z.strictObject({
  name: name.refine(
    (text) => !reserved.has(text),
    'expected another name: this one is reserved for the platform',
  ),
  role: z.enum(roles),
  /** Devices that the user's rights are limited to; all when absent. */
  selector: newReachSelector.optional(),
});
export type NewUser = z.output<typeof newUserSchema>;

/** PATCH /users/{name}: an absent member is unchanged; a selector of null removes the limit. */
export const userChangeSchema = z
  .strictObject({ role: z.enum(roles).optional(), selector: newReachSelector.nullable().optional() })
  .refine(({ role, selector }) => role !== undefined || selector !== undefined, 'expected role or selector');
export type UserChange = z.output<typeof userChangeSchema>;

/** POST /users/{name}/state */
export const userActionSchema = z.strictObject({ action: z.enum(['disable', 'enable']) });

/** DELETE /users/{name}: also revokes the user's tokens. */
export const removedUserSchema = z.object({ name, tokensRevoked: z.int() });
export type RemovedUser = z.output<typeof removedUserSchema>;

export const tokenStates = ['valid', 'expired', 'revoked', 'disabled'] as const;

/** A token without its secret: GET /tokens → {tokens, next}. */
export const tokenSchema = z.object({
  id: z.string(),
  /** Purpose, as described by the creator. */
  name: z.string(),
  /** Owner of the token; null = an operator token without an owner. */
  owner: name.nullable(),
  role: z.enum(roles),
  /** Scopes that restrict the token; null = everything the role allows. */
  scopes: z.array(z.string()).nullable(),
  /** Includes the owner's selector. */
  selector: reachSelector,
  created: time,
  expires: time,
  /** Accurate to a minute; null = never used. */
  lastUsed: time.nullable(),
  state: z.enum(tokenStates),
});
export type Token = z.output<typeof tokenSchema>;

const day = 86_400_000;

/** Limits for the lifetime of a token: a minute to ten years, ms. */
export const tokenLifetimeMs = { min: 60_000, max: 3650 * day };
export const lifetimeSchema = z.int().min(tokenLifetimeMs.min).max(tokenLifetimeMs.max);
export const usualLifetimeMs = 365 * day;

/** POST /tokens */
export const newTokenSchema = z.strictObject({
  name: z.string().trim().min(1).max(100),
  /** Owner of the token; the requester when absent. */
  owner: name.optional(),
  /** Role of the token; the owner's role when absent. */
  role: z.enum(roles).optional(),
  scopes: z.array(scopeSchema).min(1).max(50).optional(),
  /** Devices that the token is limited to, in addition to the limits of its creator and its owner. */
  selector: newReachSelector.optional(),
  validMs: lifetimeSchema.optional(),
});
export type NewToken = z.input<typeof newTokenSchema>;

/** Response to the creation of a token. It contains the secret, which cannot be retrieved later. */
export const madeTokenSchema = tokenSchema.extend({ token: z.string() });
export type MadeToken = z.output<typeof madeTokenSchema>;

export const longestGraceMs = 7 * day;

/** POST /tokens/{id}/rotate. `graceMs`: how long the previous secret remains valid, ms. */
export const rotateTokenSchema = z.strictObject({ graceMs: z.int().min(0).max(longestGraceMs).default(0) });

/** POST /session/links: a dashboard link that logs in the first person who opens it. */
export const loginLinkSchema = z.object({
  /** URL with a single-use code. */
  url: z.string(),
  expires: time,
});
export type LoginLink = z.output<typeof loginLinkSchema>;

/** The query of the provider's redirect, with which a login in a browser is completed. */
const redirectQuery = z.string().max(8192);

/** POST /session: the code of a link, a token, or a login through the provider. */
export const loginSchema = z.union([
  z.strictObject({ code: z.string().max(100) }),
  z.strictObject({ token: z.string().max(100) }),
  z.strictObject({ login: z.string().max(100), response: redirectQuery }),
]);
export type Login = z.output<typeof loginSchema>;

/** POST /session/logins: starts a login through the provider, with a code for any browser, or with a redirect in this client's browser. */
export const newProviderLoginSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('device') }),
  z.strictObject({
    kind: z.literal('browser'),
    /** The dashboard's page, or a listener of the client on loopback. */
    redirectUri: z.url().max(500),
  }),
]);
export type NewProviderLogin = z.output<typeof newProviderLoginSchema>;

export const providerLoginSchema = z.object({
  /** Secret with which the login is completed. */
  login: z.string(),
  expires: time,
  /** The provider's page, which the user must open. */
  url: z.string(),
  /** Code that the user enters or confirms there; null for a redirect. */
  code: z.string().nullable(),
  /** Interval between polls, ms; null for a redirect. */
  intervalMs: z.int().nullable(),
});
export type ProviderLogin = z.output<typeof providerLoginSchema>;

/** POST /session/logins/finish: completes a login of a client that is not a browser. */
export const finishLoginSchema = z.strictObject({
  login: z.string().max(100),
  /** Absent for a login with a code. */
  response: redirectQuery.optional(),
});

/** The login's token; `done` is null while the user has not entered the code. */
export const finishedLoginSchema = z.object({
  /** Interval between polls, ms; null when the login is complete. */
  intervalMs: z.int().nullable(),
  done: z
    .object({
      token: z.string(),
      user: name,
      role: z.enum(roles),
      /** When the login ends at the latest. */
      ends: time,
    })
    .nullable(),
});
export type FinishedLogin = z.output<typeof finishedLoginSchema>;

/** GET /session: the user logged in to this browser. The session itself is in a cookie that pages cannot read. */
export const sessionSchema = z.object({
  /** The logged-in user; null = no user is logged in. */
  user: z
    .object({
      /** Name of the user, as it appears in events. */
      name: z.string(),
      role: z.enum(roles),
      scopes: z.array(scopeSchema).nullable(),
      selector: reachSelector,
      expires: time,
      /** Token that must be sent as x-aiot-csrf with every change. */
      csrf: z.string(),
    })
    .nullable(),
  /** Host of the login provider; null if the platform has none. */
  provider: z.string().nullable(),
  version: z.string(),
});
export type Session = z.output<typeof sessionSchema>;

export const loginSessionKinds = ['dashboard', 'cli'] as const;
export const loginMethods = ['link', 'token', 'provider'] as const;

/** A login that has not ended: to the dashboard, or with `aiot login`. GET /sessions → {sessions, next}. */
export const loginSessionSchema = z.object({
  /** `ses_…` for the dashboard; for the command line, the id of the login's token. */
  id: z.string(),
  kind: z.enum(loginSessionKinds),
  /** Null = unknown, because an earlier version opened the session. */
  method: z.enum(loginMethods).nullable(),
  /** Id of the token whose rights the session has. */
  token: z.string(),
  /** Owner of that token; null = an operator token without an owner. */
  owner: name.nullable(),
  role: z.enum(roles),
  selector: reachSelector,
  /** Address from which the user logged in, and the client's description of itself; null = unknown. */
  address: z.string().nullable(),
  agent: z.string().nullable(),
  created: time,
  expires: time,
  /** Accurate to a minute; null = not used since the login. */
  lastUsed: time.nullable(),
  /** Whether the request itself was made in this session. */
  current: z.boolean(),
});
export type LoginSession = z.output<typeof loginSessionSchema>;

/** Viewers may call all of these endpoints, but only for their own tokens and sessions; the service enforces that. */
const access = 'viewer';

export const sessions = {
  list: endpoint('GET /sessions', {
    reach: 'shared',
    summary: "Logins that have not ended; only operators get other users' logins",
    access,
    query: pageQuerySchema,
    result: pageSchema('sessions', loginSessionSchema),
    list: 'sessions',
  }),
  revoke: endpoint('DELETE /sessions/:id', {
    reach: 'shared',
    summary: 'End a login and close its connections',
    access,
    result: loginSessionSchema,
  }),
};

export const tokens = {
  list: endpoint('GET /tokens', {
    reach: 'shared',
    summary: "Tokens without their secrets; only operators get other users' tokens",
    access,
    query: pageQuerySchema,
    result: pageSchema('tokens', tokenSchema),
    list: 'tokens',
  }),
  get: endpoint('GET /tokens/:id', {
    reach: 'shared',
    summary: "One token without its secret; only operators get another user's token",
    access,
    result: tokenSchema,
  }),
  /** Only this response contains the secret. Users cannot grant more than their own rights. */
  create: endpoint('POST /tokens', {
    reach: 'shared',
    summary: 'Create a token; only this response contains its secret',
    access,
    body: newTokenSchema,
    result: madeTokenSchema,
    location: ({ id }) => ['tokens', id],
  }),
  revoke: endpoint('DELETE /tokens/:id', {
    reach: 'shared',
    summary: 'Revoke a token and close its connections',
    access,
    result: tokenSchema,
  }),
  /** Issues a new secret. The previous one becomes invalid, immediately or after `graceMs`. */
  rotate: endpoint('POST /tokens/:id/rotate', {
    reach: 'shared',
    summary: "Replace a token's secret; the old one becomes invalid",
    access,
    body: rotateTokenSchema,
    takes: ['graceMs'],
    result: madeTokenSchema,
    location: ({ id }) => ['tokens', id],
  }),
};

export const users = {
  list: endpoint('GET /users', {
    summary: 'Users, by name',
    access: 'operator',
    query: pageQuerySchema,
    result: pageSchema('users', userSchema),
    list: 'users',
  }),
  get: endpoint('GET /users/:name', { summary: 'One user', access: 'operator', result: userSchema }),
  add: endpoint('POST /users', {
    summary: 'Add a user',
    body: newUserSchema,
    result: userSchema,
    location: ({ name }) => ['users', name],
    errors: ['AIOT_ALREADY_EXISTS'],
  }),
  change: endpoint('PATCH /users/:name', {
    summary: 'Change the role or the selector of a user, with immediate effect on their tokens',
    body: userChangeSchema,
    result: userSchema,
  }),
  act: endpoint('POST /users/:name/state', {
    summary: 'Disable a user and their tokens, or enable them again',
    body: userActionSchema,
    takes: ['action'],
    result: userSchema,
  }),
  remove: endpoint('DELETE /users/:name', {
    summary: 'Remove a user and revoke their tokens',
    result: removedUserSchema,
  }),
};

/** Browsers' login sessions in the dashboard. */
export const session = {
  get: endpoint('GET /session', {
    summary: 'The logged-in user of this browser; null if no user is logged in',
    access: 'everybody',
    result: sessionSchema,
  }),
  begin: endpoint('POST /session', {
    summary: "Log in with a link's code, with a token or through the provider; the session is a cookie",
    access: 'everybody',
    body: loginSchema,
    result: sessionSchema,
    errors: ['AIOT_LOGIN_FAILED', 'AIOT_PROVIDER_UNREACHABLE'],
  }),
  start: endpoint('POST /session/logins', {
    summary: 'Start a login through the provider',
    access: 'everybody',
    body: newProviderLoginSchema,
    result: providerLoginSchema,
    errors: ['AIOT_LOGIN_FAILED', 'AIOT_PROVIDER_UNREACHABLE'],
  }),
  finish: endpoint('POST /session/logins/finish', {
    summary: "Complete a login through the provider; only this response contains the login's token",
    access: 'everybody',
    body: finishLoginSchema,
    result: finishedLoginSchema,
    errors: ['AIOT_LOGIN_FAILED', 'AIOT_PROVIDER_UNREACHABLE'],
  }),
  end: endpoint('DELETE /session', {
    reach: 'shared',
    summary: 'Log out, also at the provider; other tokens stay valid',
    access,
    scope: 'session',
    result: sessionSchema,
  }),
  /** Logs one browser into the dashboard with this token's rights. */
  link: endpoint('POST /session/links', {
    reach: 'shared',
    summary: 'Create a one-time login link to the dashboard',
    access,
    scope: 'session',
    result: loginLinkSchema,
  }),
};
