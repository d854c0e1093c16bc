import { AiotError } from '../../core/index.js';
import type { StreamOptions } from '../options.js';

/** `beginning`, `latest`, an offset or sequence, or a time (ISO 8601). @throws AIOT_USAGE */
export function placeFrom(text: string): NonNullable<StreamOptions['from']> {
  if (text === 'beginning' || text === 'latest') return text;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time)) return { time };
  throw new AiotError(
    'AIOT_USAGE',
    `expected beginning, latest, an offset such as 1200, or a time such as 2026-11-20T10:00:00Z; got "${text}"`,
  );
}
