import { AiotError, didYouMean } from '../../core/index.js';
import {
  type NewUser,
  type PageQuery,
  pageOfRows,
  type RemovedUser,
  type Role,
  type User,
} from '../../registry/index.js';
import type { Store } from '../store/database.js';
import { isUniqueViolation } from '../store/violations.js';
import type { Events } from './events.js';
import type { Sessions } from './sessions.js';

interface Parts {
  store: Store;
  events: Events;
  sessions: Sessions;
  /** ms since 1970 */
  now: () => number;
}

/** People and programs that may be told apart. What lets them in are their tokens. */
export class Users {
  constructor(private readonly parts: Parts) {}

  /** By name. */
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

  /** @throws AIOT_USER_EXISTS */
  async add({ name, role }: NewUser, who: string): Promise<User> {
    const { store, events, now } = this.parts;
    const adding = store.transaction().execute(async (transaction) => {
      await transaction.insertInto('users').values({ name, role, created: now(), disabled: null }).execute();
      await events.record({ type: 'user.add', subject: name, who, data: { role } }, transaction);
    });
    await adding.catch((error: unknown) => {
      if (!isUniqueViolation(error)) throw error;
      throw new AiotError('AIOT_USER_EXISTS', `the user ${name} is there already`, { cause: error });
    });
    return this.get(name);
  }

  /** None of a disabled user's tokens is good until it is enabled again. @throws AIOT_NOT_FOUND */
  async act(name: string, action: 'disable' | 'enable', who: string): Promise<User> {
    const { store, events, now } = this.parts;
    const user = await this.get(name);
    if ((action === 'disable') === (user.disabled !== null)) return user;
    const disabled = action === 'disable' ? now() : null;
    await store.transaction().execute(async (transaction) => {
      await transaction.updateTable('users').set({ disabled }).where('name', '=', name).execute();
      await events.record({ type: `user.${action}`, subject: name, who }, transaction);
    });
    if (action === 'disable') await this.endSessions(name);
    return this.get(name);
  }

  /** Its tokens are revoked with it, and stay so for whoever has the name next. @throws AIOT_NOT_FOUND */
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
      const data = { tokensRevoked: Number(numUpdatedRows) };
      await events.record({ type: 'user.remove', subject: name, who, data }, transaction);
      return Number(numUpdatedRows);
    });
    await this.endSessions(name);
    return { name, tokensRevoked };
  }

  private async endSessions(owner: string): Promise<void> {
    const rows = await this.parts.store
      .selectFrom('tokens')
      .select('id')
      .where('owner', '=', owner)
      .execute();
    this.parts.sessions.end(rows.map(({ id }) => id));
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

function shown(row: {
  name: string;
  role: string;
  created: number;
  disabled: number | null;
  tokens: number | null;
}): User {
  const { name, created, disabled, tokens } = row;
  return {
    name,
    role: row.role as Role,
    created,
    disabled,
    tokens: disabled === null ? Number(tokens ?? 0) : 0,
  };
}

/** The refusal of a name, with the one that was meant. */
export async function unknownUser(store: Store, name: string): Promise<AiotError> {
  const rows = await store.selectFrom('users').select('name').execute();
  const hint = didYouMean(
    name,
    rows.map((user) => user.name),
  );
  return new AiotError('AIOT_NOT_FOUND', `no user is named ${name}${hint}`, { next: 'aiot user list' });
}
