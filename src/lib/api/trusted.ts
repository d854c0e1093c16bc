import { AiotError } from '../core/errors.js';
import type { ModelVersion } from './api.js';

/** Rejects an untrusted version, which must not be promoted, rolled out or run. @throws AIOT_MODEL_UNTRUSTED */
export function requireTrusted({ name, version, trusted, origin }: ModelVersion): void {
  if (trusted) return;
  const source = origin ? ` through ${origin.source}` : '';
  throw new AiotError(
    'AIOT_MODEL_UNTRUSTED',
    `${name}@${version} was uploaded${source} and has not been signed`,
    { next: `Inspect the version, then sign it with \`aiot model sign ${name}@${version}\`.` },
  );
}
