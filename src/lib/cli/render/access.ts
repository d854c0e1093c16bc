import type { Token, User } from '../../registry/index.js';
import { oneLine } from './style.js';
import { table } from './text.js';
import { day, minute } from './time.js';

export function usersTable(users: readonly User[]): string {
  const rows = users.map(({ name, role, created, disabled, tokens }) => [
    name,
    role,
    disabled === null ? 'enabled' : `disabled since ${day(disabled)}`,
    String(tokens),
    day(created),
  ]);
  return table(
    ['name', 'role', 'state', 'tokens', 'added'],
    rows,
    'No users yet: only the operator’s own token.',
  );
}

export function tokensTable(tokens: readonly Token[]): string {
  const rows = tokens.map(({ id, name, owner, role, scopes, state, expires, lastUsed }) => [
    id,
    owner === null ? name : `${owner}: ${name}`,
    role,
    scopes === null ? 'all' : scopes.join(' '),
    state === 'valid' ? day(expires) : state,
    lastUsed === null ? 'never' : day(lastUsed),
  ]);
  return table(['id', 'for', 'role', 'scopes', 'until', 'last used'], rows, 'No tokens.');
}

/** What was made, for the one time that it can be read. */
export function madeTokenText({ token, role, scopes, expires }: Token & { token: string }): string {
  const may = scopes === null ? `all that a ${role} may` : `${role}, narrowed to ${scopes.join(', ')}`;
  return `${oneLine(token)}\n\nIt is shown this once: keep it now. Rights: ${oneLine(may)}. Good until ${minute(expires)} UTC.`;
}
