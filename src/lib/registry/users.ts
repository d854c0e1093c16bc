import { AiotError, hasCode } from '../core/errors.js';
import { nearest } from '../core/text.js';
import {
  type MadeToken,
  madeTokenSchema,
  type NewToken,
  type NewUser,
  type RemovedUser,
  removedUserSchema,
  type Token,
  tokenSchema,
  type User,
  userSchema,
} from './access.js';
import { everyPage, pageSchema } from './page.js';
import type { Transport } from './transport.js';

const part = encodeURIComponent;
const usersSchema = pageSchema('users', userSchema);
const tokensSchema = pageSchema('tokens', tokenSchema);

export function userCalls(transport: Transport) {
  return {
    list: (): Promise<User[]> =>
      everyPage(async (query) => {
        const { users: entries, next } = await transport.json('GET', `/users?${query}`, usersSchema);
        return { entries, next };
      }),
    /** @throws AIOT_USER_EXISTS */
    add: (user: NewUser): Promise<User> => transport.json('POST', '/users', userSchema, user),
    act: (name: string, action: 'disable' | 'enable'): Promise<User> =>
      transport.json('POST', `/users/${part(name)}/state`, userSchema, { action }),
    remove: (name: string): Promise<RemovedUser> =>
      transport.json('DELETE', `/users/${part(name)}`, removedUserSchema),
  };
}

export function tokenCalls(transport: Transport) {
  const list = (): Promise<Token[]> =>
    everyPage(async (query) => {
      const { tokens: entries, next } = await transport.json('GET', `/tokens?${query}`, tokensSchema);
      return { entries, next };
    });
  /** Adds the token that was meant to the refusal of an id. Only tokens are suggested that the caller may list. */
  async function suggesting<T>(id: string, answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      if (!hasCode(error, 'AIOT_NOT_FOUND')) throw error;
      const all = await list().catch((): Token[] => []);
      const near = nearest(id, [...all.map((token) => token.id), ...all.map(({ name }) => name)]);
      const meant = all.find((token) => near !== undefined && (token.id === near || token.name === near));
      if (!meant) throw error;
      const message = `${error.message}; did you mean ${meant.id} (${meant.name})?`;
      throw new AiotError(error.code, message, { cause: error, next: error.next });
    }
  }
  return {
    list,
    /** The answer has the secret; it is told once. @throws AIOT_NOT_ALLOWED for more than the one who asks may */
    create: (request: NewToken): Promise<MadeToken> =>
      transport.json('POST', '/tokens', madeTokenSchema, request),
    revoke: (id: string): Promise<Token> =>
      suggesting(id, transport.json('DELETE', `/tokens/${part(id)}`, tokenSchema)),
    /** Another secret; the one before ends, or stays good for `graceMs`. */
    rotate: (id: string, graceMs: number): Promise<MadeToken> =>
      suggesting(id, transport.json('POST', `/tokens/${part(id)}/rotate`, madeTokenSchema, { graceMs })),
  };
}
