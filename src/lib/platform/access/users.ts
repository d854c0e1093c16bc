import {
  atLeast,
  longestGraceMs,
  type NewUser,
  type RemovedUser,
  type Role,
  type User,
  type UserChange,
} from '../../api/contract/access.js';
import { type PageQuery, pageOfRows } from '../../api/page.js';
import { AiotError } from '../../core/errors.js';
import { didYouMean } from '../../core/text.js';
import type { UserIdentity } from '../broker/identity.js';
import type { Events } from '../events/events.js';
import { isUniqueViolation, type Store } from '../store/database.js';
import type { Turns } from '../store/engine.js';
import type { Logins } from './logins.js';
import { reachSelector } from './reach.js';
import { type Grantor, rightsOf, selectValidTokens, type Tokens } from './tokens.js';

interface UserParts {
  store: Store;
  turns: Turns;
  events: Events;
  sessions: Sessions;
  /** ms since 1970 */
  now: () => number;
}

/** People and programs whose actions are attributed separately. They authenticate with their tokens. */
export class Users {
  constructor(private readonly parts: UserParts) {}

  /** Lists users, sorted by name. */
  async list({ limit, after }: PageQuery): Promise<{ users: User[]; next: string | null }> {
    const rows = await this.select()
      .$if(after !== undefined, (query) => query.where('users.name', '>', after ?? ''))
      .orderBy('users.name')
      .limit(limit + 1)
      .execute();
    const { entries, next } = pageOfRows(rows, limit, ({ name }) => name);
    return { users: entries.map(shown), next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(name: string): Promise<User> {
    const row = await this.select().where('users.name', '=', name).executeTakeFirst();
    if (row) return shown(row);
    throw await unknownUser(this.parts.store, name);
  }

  /** Whether the user logs in through the provider, whose account may have ended there. */
  isFromProvider(name: string): Promise<boolean> {
    return isFromProvider(this.parts.store, name);
  }

  /** @throws AIOT_ALREADY_EXISTS */
  async add({ name, role, selector }: NewUser, who: string): Promise<User> {
    const { store, events, now } = this.parts;
    const rights = { role, selector: reachSelector(selector) };
    const adding = store.transaction().execute(async (transaction) => {
      await transaction
        .insertInto('users')
        .values({ name, ...rights, created: now(), disabled: null })
        .execute();
      await events.record({ type: 'user.add', subject: name, who, data: rights }, transaction);
    });
    await adding.catch((error: unknown) => {
      if (!isUniqueViolation(error)) throw error;
      throw new AiotError('AIOT_ALREADY_EXISTS', `the user ${name} already exists`, {
        subject: 'user',
        cause: error,
      });
    });
    return this.get(name);
  }

  /**
   * Changes a user's role or selector. The rights of existing tokens follow, and everything opened with them ends.
   * @throws AIOT_NOT_FOUND, AIOT_SELECTOR_INVALID; AIOT_NOT_ALLOWED for the last administrator, a user of the login provider, or wider
   * rights for the own user or by a token with scopes
   */
  async change(name: string, { role, selector }: UserChange, by: Grantor): Promise<User> {
    const { store, events } = this.parts;
    const wanted = selector === undefined || selector === null ? selector : reachSelector(selector);
    const isChanged = await this.exclusively(async () => {
      const before = await this.get(name);
      const after = {
        role: role ?? before.role,
        selector: wanted === undefined ? before.selector : wanted,
      };
      if (before.role === after.role && before.selector === after.selector) return false;
      if (await isFromProvider(store, name))
        throw new AiotError(
          'AIOT_NOT_ALLOWED',
          `the login provider's groups determine the rights of ${name}`,
          {
            next: 'Change the groups at the provider, or the roles of groups with `aiot up --oidc-role`.',
          },
        );
      await this.checkChange(before, after, by);
      await store.transaction().execute(async (transaction) => {
        await transaction.updateTable('users').set(after).where('name', '=', name).execute();
        const data = { ...after, before: { role: before.role, selector: before.selector } };
        await events.record({ type: 'user.update', subject: name, who: by.name, data }, transaction);
      });
      return true;
    });
    if (isChanged) await endSessionsOf(name, this.parts);
    return this.get(name);
  }

  private async checkChange(
    { name, ...before }: User,
    after: Pick<User, 'role' | 'selector'>,
    by: Grantor,
  ): Promise<void> {
    // Without parsing both selectors, only these changes are known not to widen the rights.
    const isNarrower =
      atLeast(before.role, after.role) && (before.selector === null || before.selector === after.selector);
    const isLimited = after.role !== 'operator' || after.selector !== null;
    if (isLimited) await this.requireOtherAdministrator(name);
    if (isNarrower) return;
    const own = selectValidTokens(this.parts.store, this.parts.now()).where('tokens.id', '=', by.token);
    if ((await own.executeTakeFirst())?.owner === name)
      throw new AiotError('AIOT_NOT_ALLOWED', 'your own user cannot get wider rights: ask another operator');
    if (by.scopes === null) return;
    throw new AiotError(
      'AIOT_NOT_ALLOWED',
      `this token is limited to the scopes ${by.scopes.join(', ')}, so it cannot give a user wider rights`,
    );
  }

  /** @throws AIOT_NOT_ALLOWED if no one else may do everything */
  private async requireOtherAdministrator(name: string): Promise<void> {
    const { store, now } = this.parts;
    const own = store.selectFrom('users').selectAll().where('name', '=', name);
    const user = await own.executeTakeFirst();
    if (user?.role !== 'operator' || user.selector !== null || user.disabled !== null) return;
    const all = await administratorTokens(store, now());
    // A local user without an administrator token has no access that could be lost.
    if (!all.some(({ owner }) => owner === name) && !(await isFromProvider(store, name))) return;
    const others = all.filter(({ owner }) => owner !== name);
    if (others.some(({ isLocal, isLasting }) => isLocal && isLasting)) return;
    // Users of the provider can log in again, so their access is not lost while another one of them has it.
    if (others.some(({ isLocal }) => !isLocal) && (await isFromProvider(store, name))) return;
    throw lastAdministrator(`${name} is the last administrator`);
  }

  private exclusively<T>(change: () => Promise<T>): Promise<T> {
    return inTurnOfAdministrators(this.parts.turns, change);
  }

  /** While a user is disabled, none of its tokens is valid. @throws AIOT_NOT_FOUND, AIOT_NOT_ALLOWED (the last administrator) */
  async act(name: string, action: 'disable' | 'enable', who: string): Promise<User> {
    const { store, events, now } = this.parts;
    const isChanged = await this.exclusively(async () => {
      const user = await this.get(name);
      if ((action === 'disable') === (user.disabled !== null)) return false;
      if (action === 'disable') await this.requireOtherAdministrator(name);
      const disabled = action === 'disable' ? now() : null;
      await store.transaction().execute(async (transaction) => {
        await transaction.updateTable('users').set({ disabled }).where('name', '=', name).execute();
        await events.record({ type: `user.${action}`, subject: name, who }, transaction);
      });
      return true;
    });
    if (isChanged && action === 'disable') await endSessionsOf(name, this.parts);
    return this.get(name);
  }

  /**
   * The user's tokens are revoked too, and stay revoked if the name is reused.
   * @throws AIOT_NOT_FOUND, AIOT_NOT_ALLOWED (the last administrator)
   */
  async remove(name: string, who: string): Promise<RemovedUser> {
    const { store, events, now } = this.parts;
    const tokensRevoked = await this.exclusively(async () => {
      await this.get(name);
      await this.requireOtherAdministrator(name);
      return store.transaction().execute(async (transaction) => {
        const { numUpdatedRows } = await transaction
          .updateTable('tokens')
          .set({ revoked: now() })
          .where('owner', '=', name)
          .where('revoked', 'is', null)
          .executeTakeFirst();
        await transaction.deleteFrom('users').where('name', '=', name).execute();
        await transaction.deleteFrom('oidcUsers').where('name', '=', name).execute();
        const data = { tokensRevoked: Number(numUpdatedRows) };
        await events.record({ type: 'user.remove', subject: name, who, data }, transaction);
        return Number(numUpdatedRows);
      });
    });
    await endSessionsOf(name, this.parts);
    return { name, tokensRevoked };
  }

  private select() {
    const now = this.parts.now();
    return this.parts.store
      .selectFrom('users')
      .selectAll()
      .select((is) =>
        is
          .selectFrom('tokens')
          .whereRef('tokens.owner', '=', 'users.name')
          .where('tokens.revoked', 'is', null)
          .where('tokens.expires', '>', now)
          .select(is.fn.countAll<number>().as('count'))
          .as('tokens'),
      );
  }
}

/**
 * Runs one change at a time, in all replicas, that may take away the access of an administrator. Together with the check that another one
 * remains, two administrators cannot remove each other.
 */
export function inTurnOfAdministrators<T>(turns: Turns, change: () => Promise<T>): Promise<T> {
  return turns.of('users')(change);
}

/**
 * Requires that an administrator's token can be revoked without ending the last access: another local token remains that may do everything.
 * @throws AIOT_NOT_ALLOWED
 */
export async function requireOtherAdministratorToken(store: Store, now: number, id: string): Promise<void> {
  const all = await administratorTokens(store, now);
  if (!all.some((token) => token.id === id && token.isLocal)) return;
  if (!all.some((token) => token.id !== id && token.isLocal && token.isLasting))
    throw lastAdministrator(`${id} is the last token of an administrator`);
}

/**
 * Valid tokens that may do everything: those of enabled operators for all devices, or without an owner, if they have no limits.
 * @returns `isLocal`: whether the token is independent of the login provider; `isLasting`: whether it stays valid for more than a week
 */
async function administratorTokens(store: Store, now: number) {
  const valid = await selectValidTokens(store, now)
    .where('tokens.role', '=', 'operator')
    .where('tokens.scopes', 'is', null)
    .where('tokens.selectors', 'is', null)
    .execute();
  return valid
    .filter(
      ({ owner, ownerRole, ownerSelector }) =>
        owner === null || (ownerRole === 'operator' && ownerSelector === null),
    )
    .map(({ id, owner, expires, checked }) => ({
      ...{ id, owner, isLocal: checked === null, isLasting: expires > now + longestGraceMs },
    }));
}

function lastAdministrator(message: string): AiotError {
  return new AiotError(
    'AIOT_NOT_ALLOWED',
    `${message}: no other token without limits is valid for more than a week`,
    {
      next: 'First create another one, for example with `aiot user add NAME --role operator`, then `aiot token create NAME --user NAME --role operator`. To replace the secret of a token, use `aiot token rotate ID`.',
    },
  );
}

/** Whether a user logs in through the provider. */
export async function isFromProvider(store: Store, name: string): Promise<boolean> {
  const found = store.selectFrom('oidcUsers').select('name').where('name', '=', name);
  return (await found.executeTakeFirst()) !== undefined;
}

/** Ends everything opened with a user's tokens. */
export async function endSessionsOf(
  owner: string,
  { store, sessions }: Pick<UserParts, 'store' | 'sessions'>,
): Promise<void> {
  const rows = await store.selectFrom('tokens').select('id').where('owner', '=', owner).execute();
  sessions.end(rows.map(({ id }) => id));
}

function shown(row: {
  name: string;
  role: string;
  selector: string | null;
  created: number;
  disabled: number | null;
  tokens: number | null;
}): User {
  const { name, selector, created, disabled, tokens } = row;
  return {
    name,
    role: row.role as Role,
    selector,
    created,
    disabled,
    tokens: disabled === null ? Number(tokens ?? 0) : 0,
  };
}

/** Error for an unknown name, with the closest match as a suggestion. */
export async function unknownUser(store: Store, name: string): Promise<AiotError> {
  const rows = await store.selectFrom('users').select('name').execute();
  const hint = didYouMean(
    name,
    rows.map((user) => user.name),
  );
  return new AiotError('AIOT_NOT_FOUND', `no user is named ${name}${hint}`, {
    next: 'To see the users, run `aiot user list`.',
  });
}

/**
 * How often open connections are checked against their tokens and sessions, ms. The check detects tokens that have expired, and tokens and
 * sessions that another process revoked, or tokens to which it gave another role.
 */
const sweepEvery = 1000;

/** Rights and dashboard session of a connection when it was opened. */
interface OpenedWith {
  /** Rights of the token at that time; see `rightsOf`. */
  rights: string;
  /** Digest of the dashboard session; absent = the token itself was presented. */
  session: string | undefined;
}

/**
 * Connections and requests opened with a token or a dashboard session, which end with it, and when the token's rights change. A change by
 * this process takes effect immediately. A token's expiry, or a change by another replica, takes effect within two seconds.
 */
export class Sessions {
  /** Functions that end the connections, by token. */
  private readonly open = new Map<string, Map<() => void, OpenedWith>>();
  private timer: NodeJS.Timeout | undefined;

  /** Registers a connection. Returns a function to call when the connection ends on its own. */
  begin(
    {
      token,
      role,
      reach,
      session,
    }: Pick<UserIdentity, 'token' | 'role'> & Partial<Pick<UserIdentity, 'reach' | 'session'>>,
    end: () => void,
  ): () => void {
    const ends = this.open.get(token) ?? new Map();
    this.open.set(token, ends.set(end, { rights: rightsOf(role, reach?.selectors), session }));
    return () => {
      ends.delete(end);
      if (ends.size === 0 && this.open.get(token) === ends) this.open.delete(token);
    };
  }

  /** Ends everything opened with these tokens. */
  end(tokens: Iterable<string>): void {
    for (const token of tokens) {
      const ends = this.open.get(token);
      this.open.delete(token);
      for (const end of ends?.keys() ?? []) end();
    }
  }

  /** Ends everything opened with this dashboard session. @param session digest of its secret */
  endSession(token: string, session: string): void {
    this.endIf(token, (opened) => opened.session === session);
  }

  /**
   * Periodically checks which tokens and dashboard sessions are no longer valid, and which tokens have other rights. `failed` is called when
   * the store cannot be read.
   */
  watch(
    tokens: Pick<Tokens, 'validRights'>,
    logins: Pick<Logins, 'validSessions'>,
    failed: (error: unknown) => void,
  ): () => void {
    const look = async () => {
      const ids = [...this.open.keys()];
      if (ids.length === 0) return;
      const opened = ids.flatMap((id) => [...(this.open.get(id)?.values() ?? [])]);
      const used = new Set(opened.flatMap(({ session }) => session ?? []));
      const rights = await tokens.validRights(ids);
      const valid = used.size === 0 ? used : await logins.validSessions([...used]);
      for (const id of ids)
        this.endIf(
          id,
          (one) =>
            one.rights !== rights.get(id) ||
            (one.session !== undefined && used.has(one.session) && !valid.has(one.session)),
        );
    };
    this.timer = setInterval(() => look().catch(failed), sweepEvery);
    return () => clearInterval(this.timer);
  }

  private endIf(token: string, isOver: (opened: OpenedWith) => boolean): void {
    const ends = this.open.get(token) ?? new Map<() => void, OpenedWith>();
    for (const [end, opened] of [...ends]) {
      if (!isOver(opened)) continue;
      ends.delete(end);
      end();
    }
    if (ends.size === 0 && this.open.get(token) === ends) this.open.delete(token);
  }
}
