import { Flags } from '@oclif/core';
import { AiotError } from '../core/index.js';

/** Values for the `${NAME}` in files of routes. */
export const setFlag = Flags.string({
  summary: 'Value for a variable of the routes; goes before the environment.',
  env: 'AIOT_SET',
  helpValue: 'NAME=VALUE',
  multiple: true,
});

/** `NAME=VALUE` texts by name; the last of a name counts. @throws AIOT_USAGE, which never repeats a value: it may be a secret */
export function variablesOf(texts: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(text) ?? [];
      if (name !== undefined && value !== undefined) return [name, value];
      const got = text.includes('=') ? `"${text.slice(0, text.indexOf('='))}=…"` : `"${text}"`;
      throw new AiotError('AIOT_USAGE', `--set: expected NAME=VALUE, got ${got}`);
    }),
  );
}
