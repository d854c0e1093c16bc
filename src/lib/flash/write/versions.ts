import { AiotError } from '../../core/index.js';
import { readEspImage } from '../../formats/index.js';
import type { Region } from '../loader/types.js';
import { looksLike } from '../plan/looks.js';

/** What the programs among these regions say of themselves, for a record: `motor-watch 1.2.0`. */
export function versionsOf(regions: readonly Region[]): string[] {
  return regions.flatMap(({ data, name }) => {
    if (looksLike(data)?.kind !== 'app') return [];
    const app = described(data, name);
    return app ? [`${app.project} ${app.version}`.trim()] : [];
  });
}

/** null also of a damaged image: whether that may be written is not decided here. */
function described(data: Uint8Array, name: string) {
  try {
    return readEspImage(data, name).app;
  } catch (error) {
    if (error instanceof AiotError) return null;
    throw error;
  }
}
