import type { Result } from './figure.js';
import type { Machine } from './process.js';

/** Results as Markdown, one table per area, as in docs/background/benchmarks.md. */
export function tables(results: readonly Result[], machine: Machine): string {
  const { cores, processor, memoryGiB, node, date, load } = machine;
  const head = `${date}: ${cores} × ${processor}, ${memoryGiB} GiB, Node ${node}; load before ${load}`;
  const names = [...new Set(results.map(({ area }) => area))];
  return [head, ...names.map((name) => table(name, results))].join('\n\n');
}

function table(name: string, results: readonly Result[]): string {
  const rows = results.filter(({ area }) => area === name).map(row);
  return [
    `## ${name}`,
    '',
    '| case | aiot | peer | ratio | spread | limit | |',
    '| --- | --: | --- | --: | --: | --: | --- |',
    ...rows,
  ].join('\n');
}

function row(result: Result): string {
  const { name, unit, better, peer, peerName, peerVersion, ratio, spread, limit, ok, error } = result;
  const of = (value: number | null) => (value === null ? '–' : amount(value, unit));
  const compared = (value: number) => (ratio === null ? amount(value, unit) : `× ${digits(value)}`);
  const cells = [
    name,
    of(result.ours),
    peerName === null
      ? '–'
      : [peerName, peerVersion, peer === null ? null : of(peer)].filter(Boolean).join(' '),
    ratio === null ? '–' : `× ${digits(ratio)}`,
    spread === null || result.rounds < 2 ? '–' : `${digits(spread[0])}–${digits(spread[1])}`,
    limit === null ? '–' : `${better === 'lower' ? '≤' : '≥'} ${compared(limit)}`,
    ok ? 'ok' : `**behind**${error ? `: ${error}` : ''}`,
  ];
  return `| ${cells.join(' | ')} |`;
}

/** A progress line for people. */
export function line(result: Result): string {
  const { area, name, unit, ours, peer, peerName, ratio, spread, better, limit, ok, note, error } = result;
  const parts = [
    ours === null ? null : amount(ours, unit),
    peer === null ? null : `${peerName} ${amount(peer, unit)}`,
    ratio === null ? null : `× ${digits(ratio)} (${digits(spread![0])} to ${digits(spread![1])})`,
    limit === null
      ? null
      : `${better === 'lower' ? 'at most' : 'at least'} ${ratio === null ? amount(limit, unit) : `× ${digits(limit)}`}`,
    note,
    error,
  ];
  return `${ok ? 'ok    ' : 'BEHIND'} ${area}, ${name}: ${parts.filter((part) => part != null).join('; ')}`;
}

function amount(value: number, unit: string): string {
  if (unit === 'power') return `n^${value.toFixed(2)}`;
  if (unit === '×') return `× ${digits(value)}`;
  return `${digits(value)}${unit === '/s' ? '' : ' '}${unit}`;
}

/** Formats a number to three significant digits, or to a whole number from 100. */
function digits(value: number): string {
  if (value === 0) return '0';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  return Number(value.toPrecision(3)).toString();
}
