import { AiotError } from '../../../core/index.js';
import type { Imported } from '../types.js';

export async function readSavedModel(folder: string): Promise<Imported> {
  throw new AiotError('AIOT_BACKEND_MISSING', folder);
}
