import { AiotError } from '../../core/errors.js';
import type { OutgoingMessage } from '../message.js';

/**
 * Template for a name for each message, such as an object's key or a file's path:
 * `faces/{time:YYYY/MM/DD}/face{n:6}.png`.
 */
export interface NameTemplate {
  /** Whether the template contains `{n}`. */
  readonly numbered: boolean;
  /** The common prefix of all names. */
  readonly prefix: string;
  render(message: OutgoingMessage, n: number): string;
  /** The number in a name that `render` made; undefined for any other name. */
  numberIn(name: string): number | undefined;
}

const placeholder = /\{(n|topic|key|time|id)(?::([^{}]*))?\}/g;

export function hasPlaceholder(text: string): boolean {
  return text.search(placeholder) >= 0;
}

/**
 * `{n}`: a count from 0, `{n:6}` with leading zeros. `{topic}`: the topic, including its slashes. `{key}`: the key as text.
 * `{time}`: in UTC, as `20261120T183005123Z`, or `{time:YYYY/MM/DD/HH}` with YYYY MM DD HH mm ss SSS. `{id}`: always unique.
 * Text from a message cannot escape from the folder: the path segments `..` and `.`, and control characters, become `_`.
 * @throws AIOT_STREAM_URL for an unknown placeholder
 */
export function nameTemplate(text: string, where: string): NameTemplate {
  const unknown = /[{}]/.exec(text.replace(placeholder, ''));
  if (unknown || /\{n:(?!\d{1,2}\})/.test(text)) {
    throw new AiotError('AIOT_STREAM_URL', `${where}: "${text}" contains an unknown placeholder`, {
      next: 'Use {n}, {n:6}, {topic}, {key}, {time}, {time:YYYY/MM/DD/HH} or {id}.',
    });
  }
  const pattern = new RegExp(
    `^${text
      .split(new RegExp(placeholder.source, 'g'))
      // split returns text, name, argument, text, …
      .map((part, i, all) =>
        i % 3 === 0 ? escaped(part!) : i % 3 === 1 ? expression(part!, i === all.indexOf('n')) : '',
      )
      .join('')}$`,
    's',
  );
  const first = text.search(placeholder);
  return {
    numbered: /\{n[:}]/.test(text),
    prefix: first < 0 ? text : text.slice(0, first),
    render: (message, n) =>
      text.replace(placeholder, (_, name: string, argument?: string) => textFor(name, argument, message, n)),
    numberIn: (name) => {
      const found = pattern.exec(name)?.groups?.n;
      return found === undefined ? undefined : Number(found);
    },
  };
}

function expression(name: string, first: boolean): string {
  if (name === 'n') return first ? '(?<n>\\d+)' : '\\d+';
  return '.+?';
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

function textFor(name: string, argument: string | undefined, message: OutgoingMessage, n: number): string {
  switch (name) {
    case 'n':
      return String(n).padStart(Number(argument ?? 0), '0');
    case 'topic':
      return harmless(message.topic || 'none');
    case 'key':
      return harmless(message.key ? Buffer.from(message.key).toString('utf8') : 'none');
    case 'id':
      return crypto.randomUUID();
    default:
      return timeText(message.time ?? Date.now(), argument);
  }
}

function harmless(text: string): string {
  const steps = text.split('/').map((step) => (step === '' || step === '.' || step === '..' ? '_' : step));
  return steps.join('/').replace(/[\p{Cc}\\]/gu, '_');
}

function timeText(time: number, format = 'YYYYMMDDTHHmmssSSSZ'): string {
  const iso = new Date(time).toISOString();
  const parts: Record<string, string> = {
    YYYY: iso.slice(0, 4),
    MM: iso.slice(5, 7),
    DD: iso.slice(8, 10),
    HH: iso.slice(11, 13),
    mm: iso.slice(14, 16),
    ss: iso.slice(17, 19),
    SSS: iso.slice(20, 23),
  };
  return format.replace(/YYYY|SSS|MM|DD|HH|mm|ss/g, (part) => parts[part]!);
}
