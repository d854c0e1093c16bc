import type { CrashFrame, CrashGroup, CrashList, CrashShown } from '../../api/contract/crashes.js';
import type { PushedSymbols } from '../../api/firmware/symbols.js';
import { elapsed, plural, thousands } from '../../core/figures.js';
import { ago, bold, dim, facts, green, minute, oneLine, red, shownPath, table, yellow } from './text.js';

/** Number of versions named in a row of the list. */
const versionsListed = 3;
const wordsInRegisters = 4;

const crashCount = (count: number) => (count === 1 ? '1 crash' : `${thousands(count)} crashes`);

function placeText(frame: CrashFrame | null): string {
  if (frame === null) return '';
  const { address, function: name, file, line } = frame;
  const at = file === null ? '' : ` ${dim(`${shortPath(file)}${line === null ? '' : `:${line}`}`)}`;
  return `${oneLine(name ?? address ?? '?')}${at}`;
}

/** The end of a path: absolute paths of build machines would only take up space. */
const shortPath = (file: string) => oneLine(file.split('/').slice(-2).join('/'));

function versionText({ firmware, version }: { firmware: string | null; version: string | null }): string {
  if (firmware === null && version === null) return 'unknown version';
  return oneLine([firmware, version].filter((part) => part !== null).join(' '));
}

/** The groups, one row each. */
export function crashesText({ groups, next }: CrashList, now = Date.now()): string {
  const rows = groups.map(({ signature, kind, reason, place, count, devices, versions, last }) => [
    signature,
    String(count),
    String(devices),
    ago(last, now),
    versions.slice(0, versionsListed).map(versionText).join(', ') +
      (versions.length > versionsListed ? ` and ${versions.length - versionsListed} more` : ''),
    `${oneLine(reason)} ${dim(`(${kind})`)}`,
    placeText(place),
  ]);
  const head = ['signature', 'crashes', 'devices', 'last', 'versions', 'reason', 'in'];
  const more = next === null ? '' : `\n${dim(`There are more: --after ${next}`)}`;
  return `${groups.length === 0 ? green('No crashes.') : table(head, rows, '')}${more}`;
}

/** One report: what happened, where, and in which group. */
export function crashShownText(shown: CrashShown, now = Date.now()): string {
  const { id, device, at, report, frames, group, others } = shown;
  const { t, kind, reason, firmware, uptimeMs, task, registers, log, tasks, details } = report;
  const program = versionText({ firmware: firmware?.name ?? null, version: firmware?.version ?? null });
  const lines: [string, string][] = [
    ['report', id],
    ['kind', kind],
    ['program', `${program}${firmware?.build === undefined ? '' : dim(` build ${firmware.build}`)}`],
    ['arrived', `${minute(at)} UTC, ${ago(at, now)}`],
    ...(t === undefined ? [] : ([['crashed', `${minute(t)} UTC`]] as [string, string][])),
    ...(uptimeMs === undefined ? [] : ([['after', elapsed(uptimeMs)]] as [string, string][])),
    ...(task === undefined ? [] : ([['task', oneLine(task)]] as [string, string][])),
    ['group', groupText(group)],
    ...Object.entries(details ?? {}).map(([name, value]): [string, string] => [
      oneLine(name),
      oneLine(String(value)),
    ]),
  ];
  const parts = [`${bold(device)}  ${red(oneLine(reason))}\n${facts(lines)}`];
  if (frames.length > 0) parts.push(section('Calls, innermost first', frames.map(frameText)));
  if (registers) parts.push(section('Registers', registerRows(registers)));
  for (const each of tasks ?? [])
    parts.push(section(`Task ${oneLine(each.name)}`, (each.backtrace ?? []).map(partText)));
  if (log && log.length > 0) parts.push(section('Last log lines', log.map(oneLine)));
  if (others.length > 0)
    parts.push(
      section(
        'Other reports of this group',
        others.map((other) => `${other.id}  ${other.device}  ${dim(ago(other.at, now))}`),
      ),
    );
  return parts.join('\n\n');
}

function groupText({ signature, count, devices, versions }: CrashGroup): string {
  const over = versions.length > 1 ? ` in ${versions.length} versions` : '';
  return `${signature}: ${crashCount(count)} on ${plural(devices, 'device')}${over}`;
}

/** The builds whose crashes can now be shown with functions. */
export function pushedSymbolsText({ file, builds, functions, lines }: PushedSymbols): string {
  const without = lines
    ? ''
    : yellow('\nThe file has no debug information, so crashes are shown without lines. Compile with -g.');
  const rows = builds.map((build): [string, string] => ['build', build]);
  return `Uploaded ${bold(shownPath(file))} with ${plural(functions, 'function')}.\n${facts(rows)}${without}`;
}

const section = (title: string, lines: readonly string[]) =>
  `${bold(title)}\n${lines.map((line) => `  ${line}`).join('\n')}`;

function frameText({ address, function: name, file, line }: CrashFrame, index: number): string {
  const at = file === null ? '' : ` ${dim(`${oneLine(file)}${line === null ? '' : `:${line}`}`)}`;
  const where = address === null ? '' : dim(` ${address}`);
  return `#${index} ${oneLine(name ?? '??')}${where}${at}`;
}

const partText = (
  part: {
    address?: string | undefined;
    function?: string | undefined;
    file?: string | undefined;
    line?: number | undefined;
  },
  index: number,
) =>
  frameText(
    {
      address: part.address ?? null,
      function: part.function ?? null,
      file: part.file ?? null,
      line: part.line ?? null,
    },
    index,
  );

function registerRows(registers: Readonly<Record<string, string>>): string[] {
  const words = Object.entries(registers).map(
    ([name, value]) => `${oneLine(name).padEnd(7)} ${value.padEnd(18)}`,
  );
  const rows: string[] = [];
  for (let i = 0; i < words.length; i += wordsInRegisters)
    rows.push(
      words
        .slice(i, i + wordsInRegisters)
        .join(' ')
        .trimEnd(),
    );
  return rows;
}
