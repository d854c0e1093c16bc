import { AiotError } from '../../core/index.js';
import { atLeast, type Role, scopeCovers } from '../../registry/index.js';
import type { UserIdentity } from '../broker/identity.js';

/** Who gives or takes a right. */
export type Grantor = Pick<UserIdentity, 'name' | 'role' | 'scopes' | 'token'>;

interface Right {
  owner: string | null;
  role: Role;
  /** null = all that the role may. */
  scopes: readonly string[] | null;
}

/**
 * Nobody gives, takes or changes what is more than they have: the role is at most theirs, the scopes are within theirs, and
 * what belongs to somebody else is for operators. `own`: whose the grantor's own token is.
 * @throws AIOT_NOT_ALLOWED
 */
export function checkGrant(by: Grantor, right: Right, own: string | null): void {
  if (by.role !== 'operator' && right.owner !== own) {
    throw refused('tokens of others are for operators');
  }
  if (!atLeast(by.role, right.role)) {
    throw refused(`the role ${right.role} is more than the role ${by.role} of this token`);
  }
  if (by.scopes === null) return;
  const { scopes } = by;
  if (right.scopes === null)
    throw refused(`this token is narrowed to ${scopes.join(', ')}; that one would not be`);
  const beyond = right.scopes.filter((wanted) => !scopes.some((scope) => scopeCovers(scope, wanted)));
  if (beyond.length > 0) throw refused(`${beyond.join(', ')} is beyond the scopes of this token`);
}

function refused(message: string): AiotError {
  return new AiotError('AIOT_NOT_ALLOWED', message);
}
