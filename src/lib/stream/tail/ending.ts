import { AiotError, formatDuration, plural, printablePayload } from '../../core/index.js';
import type { Shown, TailEnd, TailOptions } from './types.js';
import type { Watch } from './watch.js';

export type Why = 'count' | 'for' | 'source' | 'timeout' | 'within' | 'interrupted' | 'never';

export interface Ending {
  why: Why | undefined;
  closing: Promise<void> | undefined;
  end(why: Why): void;
  clear(): void;
}

/** Longest piece of a payload in an error, characters. */
const longestQuote = 200;

/**
 * What it means that it ended so: how it went, or an error. Where an expected message did not come, the last one that did is shown.
 * @throws AIOT_TIMEOUT, AIOT_INTERRUPTED, AIOT_STREAM_EXPECTED, AIOT_STREAM_NEVER
 */
export async function endOf(
  why: Why,
  end: Omit<TailEnd, 'ended'>,
  options: TailOptions,
  watch: Watch | undefined,
  show: (batch: readonly Shown[]) => void | Promise<void>,
): Promise<TailEnd> {
  const came = plural(end.seen, 'message');
  if (why === 'interrupted') throw new AiotError('AIOT_INTERRUPTED', `stopped after ${came}`);
  if (why === 'never')
    throw new AiotError('AIOT_STREAM_NEVER', `a message came with ${watch?.text}, after ${came}`);
  if (watch && !watch.never && why !== 'count') throw await unmet(why, end, options, watch, show);
  if (why === 'timeout' && options.count !== undefined) {
    const wanted = plural(options.count, 'message');
    throw new AiotError(
      'AIOT_TIMEOUT',
      `expected ${wanted} within ${formatDuration(options.timeoutMs ?? 0)}, got ${end.messages}`,
    );
  }
  if (why === 'timeout') throw new AiotError('AIOT_TIMEOUT', `the time was over after ${came}`);
  return { ...end, ended: why as TailEnd['ended'] };
}

async function unmet(
  why: Why,
  end: Omit<TailEnd, 'ended'>,
  options: TailOptions,
  { text, count, lastOther }: Watch,
  show: (batch: readonly Shown[]) => void | Promise<void>,
): Promise<AiotError> {
  if (lastOther) await show([lastOther]);
  const of = plural(end.seen, 'message');
  const got = `${end.messages === 0 ? 'none' : end.messages} of ${of}`;
  const wanted = count === 1 ? `a message with ${text}` : `${count} messages with ${text}`;
  const last = lastOther ? `; the last other one: ${quoted(lastOther)}` : '';
  const failed = end.failed > 0 ? `; ${end.failed} could not be asked: ${end.first}` : '';
  if (why === 'source') {
    return new AiotError(
      'AIOT_STREAM_EXPECTED',
      `expected ${wanted}, got ${got} before the stream's end${last}${failed}`,
    );
  }
  const time = why === 'for' ? options.forMs : why === 'within' ? options.withinMs : options.timeoutMs;
  return new AiotError(
    'AIOT_TIMEOUT',
    `expected ${wanted} within ${formatDuration(time ?? 0)}, got ${got}${last}${failed}`,
    { next: 'Look at what comes without --expect, or give more time with --within.' },
  );
}

function quoted({ message }: Shown): string {
  const text = printablePayload(message.payload);
  return text.length > longestQuote ? `${text.slice(0, longestQuote)}…` : text;
}
