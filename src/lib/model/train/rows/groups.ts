import { AiotError } from '../../../core/index.js';
import type { Material } from '../../material.js';

/**
 * Of rows, which recording or device each belongs to has to be in the file before they can be divided by it.
 * @throws AIOT_USAGE
 */
export function requireGroups({ rows }: Material, next: string): void {
  if (!rows || rows.table.groups !== null) return;
  throw new AiotError(
    'AIOT_USAGE',
    `${rows.file} has no column that says what belongs together (group, recording or device)`,
    { next },
  );
}
