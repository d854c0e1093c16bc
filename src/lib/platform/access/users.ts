import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Login, NewUser, RemovedUser, Role, User } from '../../api/contract/access.js';
import { type PageQuery, pageOfRows } from '../../api/page.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { didYouMean } from '../../core/text.js';
import type { UserIdentity } from '../broker/identity.js';
import type { Events } from '../events/events.js';
import { isUniqueViolation, type Store } from '../store/database.js';
import { reachSelector } from './reach.js';
import { rightsOf, type Tokens } from './tokens.js';

interface UserParts {
  store: Store;
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

  /** While a user is disabled, none of its tokens is valid. @throws AIOT_NOT_FOUND */
  async act(name: string, action: 'disable' | 'enable', who: string): Promise<User> {
    const { store, events, now } = this.parts;
    const user = await this.get(name);
    if ((action === 'disable') === (user.disabled !== null)) return user;
    const disabled = action === 'disable' ? now() : null;
    await store.transaction().execute(async (transaction) => {
      await transaction.updateTable('users').set({ disabled }).where('name', '=', name).execute();
      await events.record({ type: `user.${action}`, subject: name, who }, transaction);
    });
    if (action === 'disable') await endSessionsOf(name, this.parts);
    return this.get(name);
  }

  /** The user's tokens are revoked too, and stay revoked if the name is reused. @throws AIOT_NOT_FOUND */
  async remove(name: string, who: string): Promise<RemovedUser> {
    const { store, events, now } = this.parts;
    await this.get(name);
    const tokensRevoked = await store.transaction().execute(async (transaction) => {
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

/** Lifetimes of a login link and of a session, ms. Neither outlives its token. */
const linkMs = 15 * 60_000;

const sessionMs = 7 * 24 * 3600_000;
const secretPattern = /^[A-Za-z0-9_-]{43}$/;

interface LoginParts {
  store: Store;
  events: Events;
  tokens: Tokens;
  /** ms since 1970 */
  now: () => number;
}

/** A dashboard user, with exactly the rights of the token that opened the session. */
export interface WebIdentity {
  user: UserIdentity;
  expires: number;
}

/** Logins to the dashboard, by a single-use link or by a token. Secrets are 256 random bits, stored as digests. */
export class Logins {
  constructor(private readonly parts: LoginParts) {}

  /** Creates a code that logs in one browser as the requester. */
  async link(by: UserIdentity): Promise<{ code: string; expires: number }> {
    const { secret, expires } = await this.make('link', by, linkMs);
    await this.tell('session.link', by);
    return { code: secret, expires };
  }

  /** Begins a session. @throws AIOT_TOKEN_INVALID */
  async begin(login: Exclude<Login, { response: string }>): Promise<WebIdentity & { secret: string }> {
    const user =
      'code' in login ? await this.redeem(login.code) : await this.parts.tokens.identify(login.token);
    if (user === null) {
      const [what, next] =
        'code' in login
          ? ['this link was used already, or is too old', 'aiot dashboard']
          : ['expected a valid token', 'aiot token create'];
      throw new AiotError('AIOT_TOKEN_INVALID', what, { next });
    }
    const { secret, expires } = await this.make('session', user, sessionMs);
    await this.tell('session.begin', user);
    return { secret, user, expires };
  }

  /** Returns the identity of a session; null when it does not exist or has expired. */
  async identify(secret: string): Promise<WebIdentity | null> {
    if (!secretPattern.test(secret)) return null;
    const digest = sha256Hex(secret);
    const row = await this.parts.store
      .selectFrom('logins')
      .selectAll()
      .where('digest', '=', digest)
      .where('kind', '=', 'session')
      .where('expires', '>', this.parts.now())
      .executeTakeFirst();
    if (!row || !timingSafeEqual(Buffer.from(row.digest), Buffer.from(digest))) return null;
    const user = await this.parts.tokens.identityOf(row.token, secret);
    return user && { user, expires: row.expires };
  }

  async end(secret: string, by: UserIdentity): Promise<void> {
    await this.parts.store.deleteFrom('logins').where('digest', '=', sha256Hex(secret)).execute();
    await this.tell('session.end', by);
  }

  /** Redeems a code. Of several concurrent requests, only the request that deletes the row gets the identity. */
  private async redeem(code: string): Promise<UserIdentity | null> {
    if (!secretPattern.test(code)) return null;
    const row = await this.parts.store
      .deleteFrom('logins')
      .where('digest', '=', sha256Hex(code))
      .where('kind', '=', 'link')
      .returningAll()
      .executeTakeFirst();
    return row && row.expires > this.parts.now() ? this.parts.tokens.identityOf(row.token) : null;
  }

  private async make(kind: 'link' | 'session', { token }: UserIdentity, ms: number) {
    const { store, now, tokens } = this.parts;
    const secret = randomBytes(32).toString('base64url');
    const expires = Math.min(now() + ms, (await tokens.get(token)).expires);
    await store.deleteFrom('logins').where('expires', '<=', now()).execute();
    await store
      .insertInto('logins')
      .values({ digest: sha256Hex(secret), kind, token, created: now(), expires })
      .execute();
    return { secret, expires };
  }

  private async tell(
    type: `session.${'link' | 'begin' | 'end'}`,
    { name, token }: UserIdentity,
  ): Promise<void> {
    const { store, events } = this.parts;
    await store
      .transaction()
      .execute((transaction) => events.record({ type, subject: token, who: name }, transaction));
  }
}

/** Login URL for a code. The code is in the fragment, which browsers do not send, so it appears in no server log. */
export function loginUrl(http: string, code: string): string {
  return `${http}/#/login/${code}`;
}

/**
 * The token that the dashboard's pages send with each change. Another site can make the browser send the session
 * cookie, but does not know this token.
 */
export function csrfOf(secret: string): string {
  return createHash('sha256').update(`csrf ${secret}`).digest('base64url');
}

/**
 * How often open sessions are checked against their tokens, ms. The check detects tokens that have expired, and tokens that another process
 * revoked or gave another role.
 */
const sweepEvery = 2000;

/**
 * Connections and requests opened with a token, which end with the token, and when its rights change. A change by this process takes effect
 * immediately. A token's expiry, or a change by another replica, takes effect within two seconds.
 */
export class Sessions {
  /** Functions that end the sessions, with the rights with which each session was opened, by token. */
  private readonly open = new Map<string, Map<() => void, string>>();
  private timer: NodeJS.Timeout | undefined;

  /** Registers a session. Returns a function to call when the session ends on its own. */
  begin(
    { token, role, reach }: Pick<UserIdentity, 'token' | 'role'> & Partial<Pick<UserIdentity, 'reach'>>,
    end: () => void,
  ): () => void {
    const ends = this.open.get(token) ?? new Map();
    this.open.set(token, ends.set(end, rightsOf(role, reach?.selectors)));
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

  /**
   * Periodically checks which tokens are no longer valid or have other rights. `failed` is called when the store cannot be read.
   */
  watch(tokens: Pick<Tokens, 'validRights'>, failed: (error: unknown) => void): () => void {
    const look = async () => {
      const ids = [...this.open.keys()];
      if (ids.length === 0) return;
      const rights = await tokens.validRights(ids);
      for (const id of ids) this.endUnless(id, rights.get(id));
    };
    this.timer = setInterval(() => look().catch(failed), sweepEvery);
    return () => clearInterval(this.timer);
  }

  /** Ends a token's sessions that were opened with other rights. @param rights the token's current rights; undefined = it is not valid */
  private endUnless(token: string, rights: string | undefined): void {
    const ends = this.open.get(token) ?? new Map<() => void, string>();
    for (const [end, opened] of [...ends]) {
      if (opened === rights) continue;
      ends.delete(end);
      end();
    }
    if (ends.size === 0 && this.open.get(token) === ends) this.open.delete(token);
  }
}
