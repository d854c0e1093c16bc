import { AiotError } from '../core/errors.js';
import type { ModelVersion } from './api.js';

/** What nobody has signed is neither promoted, rolled out nor run. @throws AIOT_MODEL_UNTRUSTED */
export function requireTrusted({ name, version, trusted, origin }: ModelVersion): void {
  if (trusted) return;
  throw new AiotError(
    'AIOT_MODEL_UNTRUSTED',
    `${name}@${version} came in by ${origin?.source ?? 'a door'} and nobody has signed it`,
    { next: `aiot model sign ${name}@${version}` },
  );
}
