import { AiotError, dictionary } from '../../core/index.js';
import type { Decoder } from '../decode/types.js';
import { variables } from '../expression/variables.js';
import type { Message } from '../message.js';

type Read = (message: Message, decode: Decoder) => unknown;

/**
 * Reads fields by their paths: `a`, `motor.current`, `values.0`, or a variable such as `$topic`.
 * @throws AIOT_USAGE (an empty path, or a variable that there is not)
 */
export function fieldReader(
  paths: readonly string[],
): (message: Message, decode: Decoder) => Record<string, unknown> {
  const readers = paths.map((path): [string, Read] => [path, reader(path)]);
  return (message, decode) => {
    const found = dictionary<unknown>();
    for (const [path, read] of readers) {
      const value = read(message, decode);
      if (value !== undefined) found[path] = value;
    }
    return found;
  };
}

function reader(path: string): Read {
  if (path.startsWith('$')) {
    const name = path.slice(1);
    if (Object.hasOwn(variables, name)) return variables[name]!;
    throw new AiotError(
      'AIOT_USAGE',
      `no variable ${path}: there are $${Object.keys(variables).join(', $')}`,
    );
  }
  const names = path.split('.');
  if (names.includes('')) {
    throw new AiotError(
      'AIOT_USAGE',
      `expected fields such as temperature or motor.current, got ${JSON.stringify(path)}`,
    );
  }
  return (message, decode) => {
    let value = decode(message);
    for (const name of names) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
      value = (value as Record<string, unknown>)[name];
    }
    return value;
  };
}
