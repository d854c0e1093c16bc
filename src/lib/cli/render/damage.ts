import { plural, size } from '../../core/index.js';
import type { Verified } from '../../platform/index.js';
import { lostText } from '../../registry/index.js';
import { bold, green, red } from './style.js';
import { facts, table } from './text.js';

/** What was looked at in a data folder, and each finding with what became of it. */
export function damageText({ data, checked, findings, unrepaired, from, running }: Verified): string {
  const head =
    findings.length === 0
      ? `${bold(data)} is whole.`
      : unrepaired === 0
        ? `${bold(data)} is repaired: ${plural(findings.length, 'finding')}.`
        : red(`${data} is damaged: ${plural(unrepaired, 'finding')} to repair, of ${findings.length}.`);
  const looked = checked.map(({ part, count, bytes }): [string, string] => {
    const told = count === null ? 'not looked at: the database cannot be read' : String(count);
    return [part, bytes === null ? told : `${told}, ${size(bytes)}`];
  });
  const isLost = findings.some(({ lost }) => lost !== undefined);
  const rows = findings.map(({ part, place, problem, lost, repaired }) => [
    part,
    place,
    problem,
    ...(isLost ? [lost === undefined ? null : lostText(lost)] : []),
    repaired === null ? red('no') : green(repaired),
  ]);
  const how: [string, string][] = [
    ...(running ? [['platform', 'runs: looked at beside it'] as [string, string]] : []),
    ...(from === null ? [] : [['backup', from] as [string, string]]),
  ];
  const list =
    rows.length === 0
      ? ''
      : `\n\n${table(['part', 'place', 'problem', ...(isLost ? ['lost'] : []), 'repaired'], rows)}`;
  return `${head}\n${facts([...looked, ...how])}${list}`;
}
