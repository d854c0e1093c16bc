import { AiotError } from '../../core/index.js';
import type { OpenProcessor } from './types.js';

/** One entry a processor, each loading its own file when it is asked for. */
const processors: Record<string, OpenProcessor> = {
  faces: async (settings, options) => (await import('../faces/processor.js')).openFaces(settings, options),
  number: async (settings, options) => (await import('./number.js')).openNumber(settings, options),
};

/** What `through:` names. @throws AIOT_ROUTE_INVALID */
export function processorNamed(name: string): OpenProcessor {
  const found = Object.hasOwn(processors, name) ? processors[name] : undefined;
  if (found) return found;
  const known = Object.keys(processors).join(', ') || 'none';
  throw new AiotError('AIOT_ROUTE_INVALID', `through: there is no processor ${name}; there are: ${known}`);
}
