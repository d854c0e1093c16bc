import { randomBytes, timingSafeEqual } from 'node:crypto';
import {
  atLeast,
  type MadeToken,
  type NewToken,
  type Role,
  scopeCovers,
  type Token,
  usualLifetimeMs,
} from '../../api/contract/access.js';
import { type PageQuery, pageOfRows } from '../../api/page.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { everyOf } from '../../fleet/selector.js';
import type { UserIdentity } from '../broker/identity.js';
import type { Devices } from '../devices/devices.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';
import type { Turns } from '../store/engine.js';
import type { ProviderLogins } from './provider-logins.js';
import { reachOf, reachSelector, withinReach } from './reach.js';
import {
  inTurnOfAdministrators,
  isFromProvider,
  requireOtherAdministratorToken,
  type Sessions,
  unknownUser,
} from './users.js';

/** The use of a token is recorded at most once in this interval, ms, not for every request. */
const noteEvery = 60_000;

interface Parts {
  store: Store;
  turns: Turns;
  events: Events;
  sessions: Sessions;
  /** Checks logins of the provider's users; absent = there are none. */
  providerLogins?: Pick<ProviderLogins, 'isDue' | 'renew'>;
  /** The devices that selectors of tokens match; absent = none. */
  devices?: Pick<Devices, 'find' | 'selectable'>;
  /** ms since 1970 */
  now: () => number;
}

/** If a query takes longer than this, ms, the next one begins beside it. A stalled connection then does not hold up all requests. */
const patienceMs = 100;

/** Maximum number of keys in one query. */
const mostKeys = 500;

interface Waiting<Row> {
  resolve: (row: Row | undefined) => void;
  reject: (error: unknown) => void;
}

/**
 * Reads rows by key, with one query for all keys that are requested while the previous query runs. A query never begins before the requests
 * that it answers. So a change that any replica has committed, such as a revocation, applies to every later request, as without this class.
 */
export class GatheredReads<Row> {
  private waiting = new Map<string, Waiting<Row>[]>();
  private busy = false;

  constructor(private readonly read: (keys: string[]) => Promise<ReadonlyMap<string, Row>>) {}

  find(key: string): Promise<Row | undefined> {
    return new Promise((resolve, reject) => {
      const others = this.waiting.get(key);
      if (others) others.push({ resolve, reject });
      else this.waiting.set(key, [{ resolve, reject }]);
      if (!this.busy) void this.next();
    });
  }

  private async next(): Promise<void> {
    const keys = [...this.waiting.keys()].slice(0, mostKeys);
    if (keys.length === 0) return;
    const served = keys.map((key) => [key, this.waiting.get(key) ?? []] as const);
    for (const key of keys) this.waiting.delete(key);
    this.busy = true;
    let isCurrent = true;
    const proceed = () => {
      if (!isCurrent) return;
      isCurrent = false;
      this.busy = false;
      void this.next();
    };
    const timer = setTimeout(proceed, patienceMs);
    timer.unref();
    try {
      const rows = await this.read(keys);
      for (const [key, all] of served) for (const { resolve } of all) resolve(rows.get(key));
    } catch (error) {
      for (const [, all] of served) for (const { reject } of all) reject(error);
    } finally {
      clearTimeout(timer);
      proceed();
    }
  }
}

/** Tokens of 256 random bits; only their digests are stored. */
export class Tokens {
  private readonly noted = new Map<string, number>();
  private readonly byDigest: GatheredReads<TokenRow>;

  constructor(private readonly parts: Parts) {
    this.byDigest = new GatheredReads(async (digests) => {
      const rows = await selectTokens(parts.store).where('tokens.digest', 'in', digests).execute();
      return new Map(rows.map((row) => [row.digest, row]));
    });
  }

  /** Creates an operator token without an owner, valid for a year. */
  async issue(): Promise<string> {
    const { secret, row } = freshToken(this.parts.now(), { name: 'operator', owner: null, role: 'operator' });
    await this.parts.store.transaction().execute(async (store) => {
      await store.insertInto('tokens').values(row).execute();
      await this.parts.events.record({ type: 'token.create', subject: row.id, who: 'platform' }, store);
    });
    return secret;
  }

  async any(): Promise<boolean> {
    return (await this.parts.store.selectFrom('tokens').select('digest').executeTakeFirst()) !== undefined;
  }

  /** Returns the identity behind a token; null when it is unknown or no longer valid. */
  async identify(token: string): Promise<UserIdentity | null> {
    if (!tokenPattern.test(token)) return null;
    const digest = sha256Hex(token);
    const found = await this.byDigest.find(digest);
    // The database looks up tokens by digest; the additional comparison in constant time avoids leaking the match through timing.
    if (!found || !timingSafeEqual(Buffer.from(found.digest), Buffer.from(digest))) return null;
    return this.goodNow(found, token);
  }

  /** Returns the identity behind a token id; null when the token is no longer valid. @param secret of a session with this token's rights */
  async identityOf(id: string, secret?: string): Promise<UserIdentity | null> {
    const found = await selectTokens(this.parts.store).where('tokens.id', '=', id).executeTakeFirst();
    if (!found) return null;
    return secret === undefined ? this.good(found) : this.goodNow(found, secret);
  }

  /** As `good`, for a secret that was just presented: if the token is a login whose check is due, the provider is asked first. */
  private async goodNow(row: TokenRow, secret: string): Promise<UserIdentity | null> {
    const { store, providerLogins } = this.parts;
    if (!providerLogins?.isDue(row)) return this.good(row);
    await providerLogins.renew(row.id, secret);
    const renewed = await selectTokens(store).where('tokens.id', '=', row.id).executeTakeFirst();
    return renewed ? this.good(renewed) : null;
  }

  private good(row: TokenRow): UserIdentity | null {
    const { id, owner, role, scopes, state } = tokenShown(row, this.parts.now());
    if (state !== 'valid') return null;
    this.note(id);
    const reach = reachOf(selectorsOf(row), this.parts.devices);
    return { kind: 'user', role, scopes, reach, token: id, name: nameOf(owner, id) };
  }

  /** Returns the current rights of those of the ids whose tokens are valid, as in `rightsOf`. */
  async validRights(ids: string[]): Promise<ReadonlyMap<string, string>> {
    const rows = await selectTokens(this.parts.store).where('tokens.id', 'in', ids).execute();
    const valid = rows.filter((row) => stateOf(row, this.parts.now()) === 'valid');
    return new Map(valid.map((row) => [row.id, rightsOf(roleOf(row), selectorsOf(row))]));
  }

  /**
   * Lists tokens, sorted by id: with `owner`, only that owner's tokens (null = tokens without an owner); otherwise
   * everyone's.
   */
  async list({ limit, after }: PageQuery, owner?: string | null) {
    const rows = await selectTokens(this.parts.store)
      .$if(after !== undefined, (query) => query.where('tokens.id', '>', after ?? ''))
      .$if(owner !== undefined, (query) =>
        query.where('tokens.owner', owner === null ? 'is' : '=', owner ?? null),
      )
      .orderBy('tokens.id')
      .limit(limit + 1)
      .execute();
    const { entries, next } = pageOfRows(rows, limit, ({ id }) => id);
    return { tokens: entries.map((row) => tokenShown(row, this.parts.now())), next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(id: string): Promise<Token> {
    const row = await selectTokens(this.parts.store).where('tokens.id', '=', id).executeTakeFirst();
    if (row) return tokenShown(row, this.parts.now());
    throw new AiotError('AIOT_NOT_FOUND', `no token has the id ${id}`, {
      next: 'To see the tokens and their ids, run `aiot token list`.',
    });
  }

  /** Returns one of the caller's own tokens; operators may read any token. @throws AIOT_NOT_FOUND, AIOT_NOT_ALLOWED */
  async show(id: string, by: Grantor): Promise<Token> {
    const token = await this.get(id);
    if ((by.role === 'operator' && by.reach === null) || token.owner === (await this.get(by.token)).owner)
      return token;
    throw new AiotError(
      'AIOT_NOT_ALLOWED',
      `the token ${id} belongs to another user: only an operator can read it`,
    );
  }

  /** Creates a token with no more rights than the requester. @throws AIOT_NOT_ALLOWED, AIOT_NOT_FOUND (the owner) */
  async create(request: NewToken, by: Grantor): Promise<MadeToken> {
    const { store, events, now } = this.parts;
    const own = (await this.get(by.token)).owner;
    const owner = request.owner === undefined ? own : request.owner;
    // Checked first, so that errors do not reveal other users' names and roles.
    requireOwn(by, owner, own);
    const user = owner === null ? null : await this.user(owner);
    const role = request.role ?? (user ? (user.role as Role) : by.role);
    if (user && !atLeast(user.role as Role, role)) {
      throw new AiotError(
        'AIOT_NOT_ALLOWED',
        `${owner} has the role ${user.role}, which is lower than ${role}`,
        { next: `Use --role ${user.role}, or name a user with a higher role.` },
      );
    }
    await this.refuseLogin(owner);
    const { name, scopes = null, validMs } = request;
    const selector = reachSelector(request.selector);
    const selectors = [...new Set([...(by.reach?.selectors ?? []), ...(selector ? [selector] : [])])];
    checkGrant(by, { owner, role, scopes, selectors }, own);
    const { secret, row } = freshToken(now(), {
      ...{ name, owner, role, scopes, selectors },
      ...(validMs ? { validMs } : {}),
    });
    await store.transaction().execute(async (transaction) => {
      await transaction.insertInto('tokens').values(row).execute();
      const data = { name, owner, role, scopes, selector: selectorText(selectors), expires: row.expires };
      await events.record({ type: 'token.create', subject: row.id, who: by.name, data }, transaction);
    });
    return { ...(await this.get(row.id)), token: secret };
  }

  /**
   * Revokes a token and closes everything opened with it. Idempotent.
   * @throws AIOT_NOT_FOUND, AIOT_NOT_ALLOWED, also for the last token of an administrator
   */
  async revoke(id: string, by: Grantor): Promise<Token> {
    const { store, turns, events, now, sessions } = this.parts;
    const isRevoked = await inTurnOfAdministrators(turns, async () => {
      const { token } = await this.theirs(id, by);
      if (token.state === 'revoked') return false;
      await requireOtherAdministratorToken(store, now(), id);
      await store.transaction().execute(async (transaction) => {
        await transaction.updateTable('tokens').set({ revoked: now() }).where('id', '=', id).execute();
        await events.record({ type: 'token.revoke', subject: id, who: by.name }, transaction);
      });
      return true;
    });
    if (isRevoked) sessions.end([id]);
    return this.get(id);
  }

  /**
   * Issues a new secret with the same rights and lifetime; the previous one becomes invalid immediately, or after `graceMs`.
   * @throws AIOT_NOT_FOUND, AIOT_NOT_ALLOWED, AIOT_REQUEST_INVALID for a token that is no longer valid
   */
  async rotate(id: string, graceMs: number, by: Grantor): Promise<MadeToken> {
    const { store, events, now, sessions } = this.parts;
    const { token: before, selectors } = await this.theirs(id, by);
    if (before.state !== 'valid') {
      throw new AiotError('AIOT_REQUEST_INVALID', `the token ${id} is ${before.state}: create a new one`, {
        next: 'Create one with `aiot token create NAME --role ROLE`.',
      });
    }
    const { name, owner, role, scopes } = before;
    await this.refuseLogin(owner);
    const validMs = before.expires - before.created;
    const { secret, row } = freshToken(now(), { name, owner, role, scopes, selectors, validMs });
    const ends = Math.min(before.expires, now() + graceMs);
    await store.transaction().execute(async (transaction) => {
      await transaction.insertInto('tokens').values(row).execute();
      const end = graceMs > 0 ? { expires: ends } : { revoked: now() };
      await transaction.updateTable('tokens').set(end).where('id', '=', id).execute();
      const data = { next: row.id, ends };
      await events.record({ type: 'token.rotate', subject: id, who: by.name, data }, transaction);
    });
    if (graceMs === 0) sessions.end([id]);
    return { ...(await this.get(row.id)), token: secret };
  }

  /** Returns a token that the requester may change: any token for operators, only their own for others. @throws AIOT_NOT_FOUND, AIOT_NOT_ALLOWED */
  async theirs(id: string, by: Grantor): Promise<{ token: Token; selectors: readonly string[] }> {
    const token = await this.get(id);
    const row = await selectTokens(this.parts.store).where('tokens.id', '=', id).executeTakeFirstOrThrow();
    const mine = (await this.get(by.token)).owner;
    checkGrant(by, { ...token, selectors: selectorsOf(row) }, mine);
    return { token, selectors: selectorsIn(row.selectors) };
  }

  /**
   * Users of the login provider have no tokens besides their logins, because a token would outlive the account.
   * @throws AIOT_NOT_ALLOWED
   */
  private async refuseLogin(owner: string | null): Promise<void> {
    if (owner === null || !(await isFromProvider(this.parts.store, owner))) return;
    throw new AiotError(
      'AIOT_NOT_ALLOWED',
      `${owner} logs in through the provider, so a token would outlive the account there`,
      {
        next: 'Add a user for the program: `aiot user add NAME --role ROLE`, then `aiot token create --user NAME`.',
      },
    );
  }

  private async user(name: string) {
    const found = await this.parts.store
      .selectFrom('users')
      .selectAll()
      .where('name', '=', name)
      .executeTakeFirst();
    if (found) return found;
    throw await unknownUser(this.parts.store, name);
  }

  private note(id: string): void {
    const at = this.parts.now();
    if (at - (this.noted.get(id) ?? 0) < noteEvery) return;
    this.noted.set(id, at);
    const noting = this.parts.store
      .updateTable('tokens')
      .set({ lastUsed: at })
      .where('id', '=', id)
      .execute();
    // If this use of the token cannot be recorded, its next use is recorded instead.
    noting.catch(() => this.noted.delete(id));
  }
}

/** The user who grants or revokes a right. */
export type Grantor = Pick<UserIdentity, 'name' | 'role' | 'scopes' | 'reach' | 'token'>;

interface Right {
  owner: string | null;
  role: Role;
  /** Scopes of the token; null = everything the role allows. */
  scopes: readonly string[] | null;
  /** Selectors that limit the devices. */
  selectors: readonly string[];
}

/**
 * A user cannot grant, revoke or change more rights than they have: neither a higher role nor wider scopes. Other users' tokens are
 * reserved for operators. `own` is the owner of the grantor's token.
 * @throws AIOT_NOT_ALLOWED
 */
function checkGrant(by: Grantor, right: Right, own: string | null): void {
  requireOwn(by, right.owner, own);
  if (!withinReach(by.reach, right.selectors))
    throw refused(
      `this token is limited to devices (${by.reach?.text}), but the other one is not limited to them`,
    );
  if (!atLeast(by.role, right.role)) {
    throw refused(`the role ${right.role} is higher than the role ${by.role} of this token`);
  }
  if (by.scopes === null) return;
  const { scopes } = by;
  if (right.scopes === null)
    throw refused(
      `this token is limited to the scopes ${scopes.join(', ')}, but the new one would not be limited`,
    );
  const beyond = right.scopes.filter((wanted) => !scopes.some((scope) => scopeCovers(scope, wanted)));
  if (beyond.length > 0) throw refused(`${beyond.join(', ')} exceeds the scopes of this token`);
}

/** Requires a token of the grantor's own user, except for operators for all devices. @throws AIOT_NOT_ALLOWED */
function requireOwn(by: Grantor, owner: string | null, own: string | null): void {
  if (owner === own || (by.role === 'operator' && by.reach === null)) return;
  throw refused("only operators without a device limit can manage other users' tokens");
}

function refused(message: string): AiotError {
  return new AiotError('AIOT_NOT_ALLOWED', message);
}

/** Format of a token. Scanners for leaked secrets recognize the prefix. */
const tokenPattern = /^aiot_[A-Za-z0-9_-]{43}$/;

/** Returns a token and its row. `validMs`: a year when absent. */
export function freshToken(
  now: number,
  {
    scopes = null,
    selectors = [],
    validMs = usualLifetimeMs,
    ...rest
  }: {
    name: string;
    owner: string | null;
    role: Role;
    scopes?: readonly string[] | null;
    selectors?: readonly string[];
    validMs?: number;
  },
) {
  const secret = `aiot_${randomBytes(32).toString('base64url')}`;
  const digest = sha256Hex(secret);
  const row = {
    ...{ ...rest, id: `tok_${digest.slice(0, 12)}`, digest },
    ...{ scopes: scopes && JSON.stringify(scopes), created: now, expires: now + validMs },
    ...{ lastUsed: null, revoked: null },
    selectors: selectors.length === 0 ? null : JSON.stringify(selectors),
  };
  return { secret, row };
}

/** Selects everything needed to decide whether a token is valid. */
function selectTokens(store: Store) {
  return store
    .selectFrom('tokens')
    .leftJoin('users', 'users.name', 'tokens.owner')
    .leftJoin('oidcTokens', 'oidcTokens.token', 'tokens.id')
    .selectAll('tokens')
    .select(['oidcTokens.checked', 'oidcTokens.ends'])
    .select([
      'users.role as ownerRole',
      'users.disabled as ownerDisabled',
      'users.selector as ownerSelector',
    ]);
}

export type TokenRow = Awaited<ReturnType<ReturnType<typeof selectTokens>['executeTakeFirstOrThrow']>>;

/** Selects the tokens that `stateOf` considers valid at this time. */
export function selectValidTokens(store: Store, now: number) {
  return selectTokens(store)
    .where('tokens.revoked', 'is', null)
    .where('tokens.expires', '>', now)
    .where((is) =>
      is.or([
        is('tokens.owner', 'is', null),
        is.and([is('users.name', 'is not', null), is('users.disabled', 'is', null)]),
      ]),
    );
}

/** A token without its secret, with its current role, which never exceeds the owner's. */
export function tokenShown(row: TokenRow, now: number): Token {
  const { id, name, owner, created, expires, lastUsed } = row;
  return {
    ...{ id, name, owner, role: roleOf(row), created, expires, lastUsed, state: stateOf(row, now) },
    scopes: row.scopes === null ? null : (JSON.parse(row.scopes) as string[]),
    selector: selectorText(selectorsOf(row)),
  };
}

/** A token's role, which never exceeds its owner's. */
function roleOf({ role, ownerRole }: TokenRow): Role {
  return ownerRole === null || atLeast(ownerRole as Role, role as Role)
    ? (role as Role)
    : (ownerRole as Role);
}

/** The selectors that limit a token: its owner's and its own. */
function selectorsOf({ selectors, ownerSelector }: TokenRow): readonly string[] {
  const all = [...(ownerSelector === null ? [] : [ownerSelector]), ...selectorsIn(selectors)];
  return [...new Set(all)];
}

function selectorsIn(text: string | null): readonly string[] {
  return text === null ? [] : (JSON.parse(text) as string[]);
}

function selectorText(selectors: readonly string[]): string | null {
  return selectors.length === 0 ? null : everyOf(selectors);
}

/** A role with its devices, as text that changes with them. */
export function rightsOf(role: Role, selectors: readonly string[] = []): string {
  return JSON.stringify([role, ...selectors]);
}

/** The role and the selectors in a text of `rightsOf`. */
export function rightsIn(text: string): { role: Role; selectors: readonly string[] } {
  const [role, ...selectors] = JSON.parse(text) as [Role, ...string[]];
  return { role, selectors };
}

function stateOf(row: TokenRow, now: number): Token['state'] {
  if (row.revoked !== null) return 'revoked';
  if (row.expires <= now) return 'expired';
  const gone = row.owner !== null && (row.ownerRole === null || row.ownerDisabled !== null);
  return gone ? 'disabled' : 'valid';
}

/** Name under which a token's changes are recorded; does not reveal the token. */
export function nameOf(owner: string | null, id: string): string {
  return owner === null ? `operator ${id.slice('tok_'.length)}` : `user ${owner} ${id}`;
}
