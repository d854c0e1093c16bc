import { plural, printable, printablePayload, size } from '../../core/index.js';
import type { Shown, StreamStatistics } from '../../stream/index.js';
import { shownBytes } from '../../stream/index.js';
import { cyan, dim } from './style.js';
import { table } from './text.js';
import { timeOfDay } from './time.js';

/** One line: when, from where (of several sources), topic, key, payload. */
export function messageText(shown: Shown, several: boolean): string {
  const { message } = shown;
  const parts = [
    dim(timeOfDay(message.time)),
    ...(several ? [dim(message.source)] : []),
    cyan(printable(message.topic)),
  ];
  if (message.key) parts.push(dim(printablePayload(message.key)));
  return [...parts, message.tombstone ? dim('(deleted)') : payloadText(shown)].join('  ');
}

/** C's end mark of a string says nothing to people. */
function payloadText(shown: Shown): string {
  const bytes = shownBytes(shown);
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length--;
  return printablePayload(length === 0 ? bytes : bytes.subarray(0, length));
}

/** How much came, by topic, and the numbers in it. */
export function streamStatisticsText(statistics: StreamStatistics): string {
  const { messages, seconds, bytes, rate, byteRate, dropped, topics } = statistics;
  const rows = topics.flatMap((each) => [
    [
      each.topic,
      each.messages,
      each.rate.toFixed(1),
      String(each.bytes.least),
      each.bytes.mean.toFixed(1),
      String(each.bytes.most),
    ],
    ...Object.entries(each.fields).map(([name, field]) => [
      dim(`  ${name}`),
      field.count,
      '',
      figure(field.least),
      figure(field.mean),
      figure(field.most),
    ]),
  ]);
  const head = `${plural(messages, 'message')} in ${seconds.toFixed(1)} s: ${rate.toFixed(1)}/s, ${size(bytes)}, ${size(Math.round(byteRate))}/s`;
  const lost = dropped > 0 ? `, ${dropped} dropped` : '';
  return `${head}${lost}\n\n${table(['topic', 'count', 'a second', 'least', 'mean', 'most'], rows, 'no message')}`;
}

function figure(value: number): string {
  return String(Number(value.toPrecision(6)));
}
