import { AiotError } from '../../core/errors.js';
import type { OpenProcessor } from './types.js';

/**
 * `through: number` counts the messages that come to it, from 1 or from what `through: {number: {from: N}}` says, and gives each its
 * number as the header `number`. The count is the process's own: it begins again with it.
 */
export const openNumber: OpenProcessor = async (settings) => {
  const { from = 1, ...others } = settings;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined || !Number.isSafeInteger(from)) {
    const got = unknown === undefined ? `from: ${JSON.stringify(from)}` : unknown;
    throw new AiotError('AIOT_ROUTE_INVALID', `through: number: expected from, a whole number; got ${got}`);
  }
  let next = from as number;
  return {
    process: (message) => {
      const headers = (message.headers ?? []).filter(([name]) => name !== 'number');
      return [{ ...message, headers: [...headers, ['number', String(next++)]] }];
    },
  };
};

/** One entry a processor, each loading its own file when it is asked for. */
const processors: Record<string, OpenProcessor> = {
  faces: async (settings, options) => (await import('./faces.js')).openFaces(settings, options),
  number: openNumber,
};

/** What `through:` names. @throws AIOT_ROUTE_INVALID */
export function processorNamed(name: string): OpenProcessor {
  const found = Object.hasOwn(processors, name) ? processors[name] : undefined;
  if (found) return found;
  const known = Object.keys(processors).join(', ') || 'none';
  throw new AiotError('AIOT_ROUTE_INVALID', `through: there is no processor ${name}; there are: ${known}`);
}
