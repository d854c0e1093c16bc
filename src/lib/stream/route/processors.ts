import { AiotError } from '../../core/errors.js';
import type { OpenProcessor } from './types.js';

/**
 * `through: number` numbers messages in the header `number`, starting at 1 or at the N of `through: {number: {from: N}}`. The count is
 * not stored, so it starts over whenever the route starts.
 */
export const openNumber: OpenProcessor = async (settings) => {
  const { from = 1, ...others } = settings;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined || !Number.isSafeInteger(from)) {
    const got = unknown === undefined ? `from: ${JSON.stringify(from)}` : unknown;
    throw new AiotError(
      'AIOT_ROUTE_INVALID',
      `through: number: expected a whole number in \`from\` and no other settings, got ${got}`,
    );
  }
  let next = from as number;
  return {
    process: (message) => {
      const headers = (message.headers ?? []).filter(([name]) => name !== 'number');
      return [{ ...message, headers: [...headers, ['number', String(next++)]] }];
    },
  };
};

/** Processors by name; each file is loaded on demand. */
const processors: Record<string, OpenProcessor> = {
  faces: async (settings, options) => (await import('./faces.js')).openFaces(settings, options),
  number: openNumber,
};

/** The processor named by `through:`. @throws AIOT_ROUTE_INVALID */
export function processorNamed(name: string): OpenProcessor {
  const found = Object.hasOwn(processors, name) ? processors[name] : undefined;
  if (found) return found;
  const known = Object.keys(processors).join(', ') || 'none';
  throw new AiotError('AIOT_ROUTE_INVALID', `through: unknown processor ${name}; expected one of: ${known}`);
}
