import { AiotError } from '../../core/index.js';

/**
 * A subject is tokens between dots; `*` stands for one, and `>`, at the end, for one or more (NATS docs, Subject-Based Messaging).
 * @returns it, or `>` for an empty one @throws AIOT_STREAM_URL
 */
export function checkFilter(subject: string, endpoint: string): string {
  if (subject === '') return '>';
  const tokens = subject.split('.');
  const last = tokens.length - 1;
  const good = tokens.every(
    (token, index) => token !== '' && !/\s/.test(token) && (token !== '>' || index === last),
  );
  // NATS would take MQTT's wildcards for letters, and nothing would ever come.
  const foreign = /(^|\/)[#+](\/|$)/.test(subject);
  if (good && !foreign) return subject;
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${endpoint}: expected a subject such as sensors.*.temperature or sensors.>, got "${subject}"`,
    foreign ? { next: 'NATS writes a.*.c and a.> where MQTT has a/+/c and a/#.' } : {},
  );
}

/** A subject to publish to: the same without wildcards. @throws AIOT_STREAM_URL */
export function checkSubject(subject: string, endpoint: string): string {
  if (/^[^\s.]+(\.[^\s.]+)*$/.test(subject) && !/(^|\.)[*>](\.|$)/.test(subject)) return subject;
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${endpoint}: expected a subject without wildcards, spaces and empty parts, got "${subject}"`,
  );
}

/** Whether a subject is one of those that a filter stands for. */
export function matches(filter: string, subject: string): boolean {
  const wanted = filter.split('.');
  const tokens = subject.split('.');
  for (const [index, token] of wanted.entries()) {
    if (token === '>') return tokens.length > index;
    if (tokens[index] === undefined || (token !== '*' && token !== tokens[index])) return false;
  }
  return tokens.length === wanted.length;
}
