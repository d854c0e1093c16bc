import { randomBytes } from 'node:crypto';
import { sha256Hex } from '../../core/index.js';
import { atLeast, type Role, type Token, usualLifetimeMs } from '../../registry/index.js';
import type { Store } from '../store/database.js';

/** What a token looks like: scanners for leaked secrets know it by its prefix. */
export const tokenPattern = /^aiot_[A-Za-z0-9_-]{43}$/;

/** A token and its row. `validMs`: a year when absent. */
export function freshToken(
  now: number,
  {
    scopes = null,
    validMs = usualLifetimeMs,
    ...rest
  }: { name: string; owner: string | null; role: Role; scopes?: readonly string[] | null; validMs?: number },
) {
  const secret = `aiot_${randomBytes(32).toString('base64url')}`;
  const digest = sha256Hex(secret);
  const row = {
    ...{ ...rest, id: `tok_${digest.slice(0, 12)}`, digest },
    ...{ scopes: scopes && JSON.stringify(scopes), created: now, expires: now + validMs },
    ...{ lastUsed: null, revoked: null },
  };
  return { secret, row };
}

/** All that says whether a token is good. */
export function selectTokens(store: Store) {
  return store
    .selectFrom('tokens')
    .leftJoin('users', 'users.name', 'tokens.owner')
    .selectAll('tokens')
    .select(['users.role as ownerRole', 'users.disabled as ownerDisabled']);
}
export type TokenRow = Awaited<ReturnType<ReturnType<typeof selectTokens>['executeTakeFirstOrThrow']>>;

/** A token as it may be shown, with the role that it has now: never more than its owner's. */
export function tokenShown(row: TokenRow, now: number): Token {
  const { id, name, owner, created, expires, lastUsed, ownerRole } = row;
  const role = row.role as Role;
  const least = ownerRole === null || atLeast(ownerRole as Role, role) ? role : (ownerRole as Role);
  return {
    ...{ id, name, owner, role: least, created, expires, lastUsed, state: stateOf(row, now) },
    scopes: row.scopes === null ? null : (JSON.parse(row.scopes) as string[]),
  };
}

function stateOf(row: TokenRow, now: number): Token['state'] {
  if (row.revoked !== null) return 'revoked';
  if (row.expires <= now) return 'expired';
  const gone = row.owner !== null && (row.ownerRole === null || row.ownerDisabled !== null);
  return gone ? 'disabled' : 'valid';
}

/** What a token is called where somebody is told who did what: it does not give the token away. */
export function nameOf(owner: string | null, id: string): string {
  return owner === null ? `operator ${id.slice('tok_'.length)}` : `user ${owner} ${id}`;
}
