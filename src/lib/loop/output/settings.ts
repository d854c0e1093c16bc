import { AiotError } from '../../core/errors.js';
import { parseDuration } from '../../core/time.js';
import { requireScheme } from '../../stream/open.js';
import { parseStreamUrl, type StreamUrl, shownUrl } from '../../stream/url.js';

/** When an answer is sent: the vote has changed, always, or the vote has become this label. */
export type When = 'change' | 'always' | { label: string };

/** One address of answers: where they go, and what is the loop's own in its query. */
export interface OutputSettings {
  /** For the stream's adapter: without the loop's own settings. */
  url: string;
  /** For people: no credentials. */
  shown: string;
  /** The whole answer as JSON, or the label alone. */
  body: 'json' | 'label';
  when: When;
  /** An answer that has waited longer is not worth sending any more; undefined = it always is. */
  maxAgeMs: number | undefined;
}

const own = new Set(['body', 'when', 'maxAge']);

/** What is said to people, or done, is about now; after a day without a network nobody wants a day's worth of it. */
const defaultAgeMs: Record<string, number> = { exec: 60_000, gpio: 10_000, telegram: 3_600_000 };

/**
 * `URL?body=label&when=walking&maxAge=1h` (http: after the `#`), beside what the adapter of its scheme has. Telegram gets labels
 * where nothing else is said, all others JSON.
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
    // What a program is told may be a secret.
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
  // A name or a password before the @ may not have a bare `?` or `#`: the first one begins the settings.
  const at = text.indexOf(mark);
  if (at < 0) return text;
  const kept = text
    .slice(at + 1)
    .split('&')
    .filter((pair) => !own.has(pair.split('=', 1)[0]!));
  return kept.length === 0 ? text.slice(0, at) : `${text.slice(0, at)}${mark}${kept.join('&')}`;
}
