import * as z from 'zod';
import { name, time } from './fields.js';

/**
 * What people and programs with a token may, each more than the one before: a viewer reads; a ci uploads, pushes, and
 * starts rollouts and jobs; an operator does everything.
 */
export const roles = ['viewer', 'ci', 'operator'] as const;
export type Role = (typeof roles)[number];

export function atLeast(role: Role, wanted: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(wanted);
}

/** What scopes are about, and what each allows to do with it: the first is part of all that come after it. */
export const scopeNouns = {
  devices: ['read', 'write'],
  models: ['read', 'push', 'write'],
  firmware: ['read', 'push', 'write'],
  configs: ['read', 'push', 'write'],
  rollouts: ['read', 'write'],
  jobs: ['read', 'write'],
  pipelines: ['read', 'write'],
  data: ['read', 'write'],
  events: ['read'],
  webhooks: ['read', 'write'],
  users: ['read', 'write'],
  platform: ['read', 'write'],
  /** To speak for every device in the Direct Device Integration API, and nothing else. */
  ddi: ['gateway'],
} as const satisfies Record<string, readonly string[]>;
export type ScopeNoun = keyof typeof scopeNouns;

/** `models:push`, `devices:read`, …, or `stream:FILTER` for topics of MQTT. */
export const scopeSchema = z
  .string()
  .max(256)
  .refine(
    isScope,
    'expected NOUN:ACTION such as models:push or devices:read, or stream:FILTER such as stream:lab/#',
  );

export function isScope(text: string): boolean {
  const [noun = '', ...rest] = text.split(':');
  const action = rest.join(':');
  if (noun === 'stream') return isFilter(action);
  const actions: readonly string[] = Object.hasOwn(scopeNouns, noun) ? scopeNouns[noun as ScopeNoun] : [];
  return actions.includes(action);
}

/** Whether one scope allows all that another does: the actions of a noun are in rising order. */
export function scopeCovers(scope: string, wanted: string): boolean {
  if (scope === wanted) return true;
  const [noun = '', action = ''] = scope.split(':');
  const [wantedNoun, wantedAction = ''] = wanted.split(':');
  if (noun !== wantedNoun || !Object.hasOwn(scopeNouns, noun)) return false;
  const actions: readonly string[] = scopeNouns[noun as ScopeNoun];
  return actions.includes(wantedAction) && actions.indexOf(action) >= actions.indexOf(wantedAction);
}

/** A filter of MQTT topics (3.1.1, 4.7.1): `+` and `#` stand for whole levels, `#` is the last. */
function isFilter(text: string): boolean {
  if (text === '' || text.includes('\0')) return false;
  return text
    .split('/')
    .every((level, i, all) => (level === '#' ? i === all.length - 1 : level === '+' || !/[+#]/.test(level)));
}

/** Users, without what lets them in: GET /users → {users, next}. */
export const userSchema = z.object({
  name,
  role: z.enum(roles),
  created: time,
  /** Since when none of its tokens is good; null = it may come in. */
  disabled: time.nullable(),
  /** Tokens that are good now. */
  tokens: z.int(),
});
export type User = z.output<typeof userSchema>;

/** Names that an event might take for somebody else. */
const reserved = new Set(['device', 'nobody', 'operator', 'platform', 'user']);

/** POST /users */
export const newUserSchema = z.strictObject({
  name: name.refine((text) => !reserved.has(text), 'expected another name: this one is the platform’s own'),
  role: z.enum(roles),
});
export type NewUser = z.output<typeof newUserSchema>;

/** POST /users/{name}/state */
export const userActionSchema = z.strictObject({ action: z.enum(['disable', 'enable']) });

/** DELETE /users/{name}: its tokens are revoked with it. */
export const removedUserSchema = z.object({ name, tokensRevoked: z.int() });
export type RemovedUser = z.output<typeof removedUserSchema>;

export const tokenStates = ['valid', 'expired', 'revoked', 'disabled'] as const;

/** A token without its secret: GET /tokens → {tokens, next}. */
export const tokenSchema = z.object({
  id: z.string(),
  /** What it is for, in its maker's words. */
  name: z.string(),
  /** Whose it is; null = of the platform's first operator. */
  owner: name.nullable(),
  role: z.enum(roles),
  /** What it is narrowed to; null = all that the role may. */
  scopes: z.array(z.string()).nullable(),
  created: time,
  expires: time,
  /** To the minute; null = never. */
  lastUsed: time.nullable(),
  state: z.enum(tokenStates),
});
export type Token = z.output<typeof tokenSchema>;

const day = 86_400_000;

/** Lifetime of a token: a minute to ten years. */
export const tokenLifetimeMs = { min: 60_000, max: 3650 * day };
export const lifetimeSchema = z.int().min(tokenLifetimeMs.min).max(tokenLifetimeMs.max);
export const usualLifetimeMs = 365 * day;

/** POST /tokens */
export const newTokenSchema = z.strictObject({
  name: z.string().trim().min(1).max(100),
  /** Whose it is to be; the one who asks when absent. */
  owner: name.optional(),
  /** The owner's when absent. */
  role: z.enum(roles).optional(),
  scopes: z.array(scopeSchema).min(1).max(50).optional(),
  validMs: lifetimeSchema.optional(),
});
export type NewToken = z.input<typeof newTokenSchema>;

/** The only answer with the secret in it; nothing can tell it a second time. */
export const madeTokenSchema = tokenSchema.extend({ token: z.string() });
export type MadeToken = z.output<typeof madeTokenSchema>;

export const longestGraceMs = 7 * day;

/** POST /tokens/{id}/rotate: `graceMs` = how long the one before stays good, ms. */
export const rotateTokenSchema = z.strictObject({ graceMs: z.int().min(0).max(longestGraceMs).default(0) });
