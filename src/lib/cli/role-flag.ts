import { Flags } from '@oclif/core';
import { AiotError } from '../core/index.js';
import { isScope, roles } from '../registry/index.js';

/** What a user or a token may. */
export const roleFlag = Flags.option({
  options: roles,
  summary: 'What it may: viewer reads, ci uploads and rolls out, operator does everything.',
  env: 'AIOT_ROLE',
});

/** What a token is narrowed to. @throws AIOT_USAGE */
export const scopeFlag = Flags.custom<string>({
  summary: 'Narrow it to this, such as models:push; may be repeated.',
  env: 'AIOT_SCOPE',
  helpValue: 'SCOPE',
  parse: async (text) => {
    if (isScope(text)) return text;
    throw new AiotError(
      'AIOT_USAGE',
      `--scope: expected NOUN:ACTION such as models:push or devices:read, or stream:FILTER such as stream:lab/#; got ${JSON.stringify(text)}`,
    );
  },
});
