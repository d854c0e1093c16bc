import { AiotError } from '../../core/errors.js';
import { parseDuration } from '../../core/time.js';
import { requireScheme } from '../../stream/open.js';
import { parseStreamUrl, type StreamUrl, shownUrl } from '../../stream/url.js';

/** When a prediction is sent: if the smoothed label has changed, always, or if the smoothed label has changed to this one. */
export type When = 'change' | 'always' | { label: string };

/** One output address: the destination, and the loop's own settings from its query. */
export interface OutputSettings {
  /** URL for the stream's adapter, without the loop's own settings. */
  url: string;
  /** Address for display, without credentials. */
  shown: string;
  /** The whole prediction as JSON, or only the label. */
  body: 'json' | 'label';
  when: When;
  /** Maximum age of a prediction at sending, ms; undefined = no limit. */
  maxAgeMs: number | undefined;
}

const own = new Set(['body', 'when', 'maxAge']);

/**
 * Default maximum ages by scheme, ms. Notifications and actions are only relevant now. After an outage, those of a whole day would be
 * useless.
 */
const defaultAgeMs: Record<string, number> = { exec: 60_000, gpio: 10_000, telegram: 3_600_000 };

/**
 * Parses `URL?body=label&when=walking&maxAge=1h` (http: after the `#`). Other settings belong to the scheme's adapter. By default, Telegram
 * gets labels, and all others get JSON.
 * @throws AIOT_STREAM_URL, AIOT_STREAM_SCHEME
 */
export function outputSettings(text: string, send: 'change' | 'always'): OutputSettings {
  const parts = parseStreamUrl(text);
  requireScheme(parts, 'sink');
  const { body, when, maxAge } = parts.query;
  if (body !== undefined && body !== 'json' && body !== 'label')
    throw refused(parts, 'body', 'json or label', body);
  if (when === '') throw refused(parts, 'when', 'change, always or a label', when);
  return {
    url: withoutOwn(text, parts),
    // Arguments of a program may be secret.
    shown: parts.scheme === 'exec' ? `exec:${parts.path.trim().split(/\s/, 1)[0]}` : shownUrl(text),
    body: body ?? (parts.scheme === 'telegram' ? 'label' : 'json'),
    when: when === undefined ? send : when === 'change' || when === 'always' ? when : { label: when },
    maxAgeMs: maxAge === undefined ? defaultAgeMs[parts.scheme] : ageOf(parts, maxAge),
  };
}

function ageOf(parts: StreamUrl, text: string): number {
  try {
    return parseDuration(text);
  } catch {
    throw refused(parts, 'maxAge', 'a time such as 30s or 1h', text);
  }
}

function refused({ endpoint }: StreamUrl, name: string, expected: string, got: string): AiotError {
  return new AiotError('AIOT_STREAM_URL', `${endpoint}: ${name}: expected ${expected}, got "${got}"`);
}

function withoutOwn(text: string, { scheme }: StreamUrl): string {
  const mark = /^https?$/.test(scheme) ? '#' : '?';
  // The first `?` or `#` begins the settings. Names and passwords before the @ must not contain these characters unescaped.
  const at = text.indexOf(mark);
  if (at < 0) return text;
  const kept = text
    .slice(at + 1)
    .split('&')
    .filter((pair) => !own.has(pair.split('=', 1)[0]!));
  return kept.length === 0 ? text.slice(0, at) : `${text.slice(0, at)}${mark}${kept.join('&')}`;
}
