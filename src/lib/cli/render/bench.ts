import { plural, size, thousands } from '../../core/index.js';
import type { Bench } from '../../stream/index.js';
import { green, red, yellow } from './style.js';
import { facts, table } from './text.js';

/** The rates as a table, then what became of the messages, and how late they were. */
export function benchText(bench: Bench): string {
  const { published, received, latency, lost, twice, outOfOrder } = bench;
  const row = (what: string, { seconds, rate, byteRate }: Omit<Bench['published'], 'messages'>) => [
    what,
    Number(seconds.toFixed(3)),
    thousands(Math.round(rate)),
    `${size(Math.round(byteRate))}/s`,
  ];
  const ms = (value: number) => `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;
  const fate = [
    lost === 0 ? green('none lost') : red(`${thousands(lost)} lost`),
    ...(twice > 0 ? [yellow(`${thousands(twice)} twice`)] : []),
    ...(outOfOrder > 0 ? [yellow(`${thousands(outOfOrder)} out of order`)] : []),
  ];
  const rows: [string, string][] = [
    ['messages', `${plural(bench.messages, 'message')} of ${size(bench.bytes)}: ${fate.join(', ')}`],
  ];
  if (latency) {
    const { p50, p90, p99, most } = latency;
    rows.push(['latency', `half within ${ms(p50)}, 90 % ${ms(p90)}, 99 % ${ms(p99)}, all ${ms(most)}`]);
  }
  const rates = [row('published', published), row('received', received)];
  return `${table(['', 'SECONDS', 'MESSAGES/S', 'BYTES'], rates)}\n\n${facts(rows)}`;
}
