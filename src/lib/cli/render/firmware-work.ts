import { relative } from 'node:path';
import { plural, shellWord, thousands } from '../../core/index.js';
import type { FirmwareBuild, FirmwareTest } from '../../project/firmware/index.js';
import { inspectedText } from './inspected.js';
import { bold, dim, green, red } from './style.js';
import { facts, table } from './text.js';

/** What was built, file by file; then what the first of them is. */
export function firmwareBuildText(made: FirmwareBuild): string {
  const anew =
    made.regenerated.length === 0
      ? []
      : [['From aiot.yaml', made.regenerated.join(', ')] as [string, string]];
  const head = facts([
    [
      'Built',
      `${made.name} ${made.version} for ${made.target}, by ${made.tool} in ${made.seconds.toFixed(1)} s`,
    ],
    ...anew,
  ]);
  const rows = made.files.map(({ file, bytes, text, data, bss }) => [here(file), bytes, text, data, bss]);
  const files = table(['file', 'bytes', 'text', 'data', 'bss'], rows);
  // The sums stand in the table already.
  const brief = { ...made.main, elf: made.main.elf && { ...made.main.elf, sections: [] } };
  return `${head}\n\n${files}\n\n${bold(here(made.main.file))}\n${inspectedText(brief)}`;
}

/** To try it, to release it, to flash it. */
export function firmwareBuildNext({ target, main, files, name, type }: FirmwareBuild): string[] {
  const file = shellWord(here(main.file));
  if (target === 'host')
    return [
      `aiot device simulate --native --program ${file}`,
      `aiot firmware push ${file} --name ${name} --types ${type ?? 'virtual'}`,
    ];
  if (target === 'rv32') return ['aiot firmware test'];
  if (target === 'c3') return [`aiot flash ${file}@0x0`];
  const bootloader = files.find(({ file }) => file.endsWith('bootloader.bin'));
  const first = bootloader === undefined ? '' : `${shellWord(here(bootloader.file))}@bootloader `;
  const types = type === null ? '' : ` --types ${type}`;
  return [
    `aiot flash ${first}${file}@ota_0 --port PORT`,
    `aiot firmware push ${file} --name ${name}${types}`,
  ];
}

const places = { host: 'this machine', rv32: 'RV32', esp32: 'ESP32 sources' } as const;

/** Test by test, what failed with all that it printed. */
export function firmwareTestText(result: FirmwareTest): string {
  const states = { passed: green('passed'), failed: red('failed'), skipped: dim('skipped') };
  const rows = result.tests.map(({ name, on, state, seconds }) => [
    name,
    places[on],
    states[state],
    seconds.toFixed(2),
  ]);
  const failed = result.tests.flatMap(({ name, output }) =>
    output === null ? [] : [`\n${bold(name)}\n${output}`],
  );
  const rv32 = result.rv32
    ? ''
    : dim(
        '  Not on RV32: its compiler, picolibc or qemu-system-riscv32 is not here, or --filter left it out.\n',
      );
  const skipped = result.skipped === 0 ? '' : `, ${result.skipped} skipped`;
  const sum = `${plural(result.passed, 'test')} passed, ${thousands(result.failed)} failed${skipped}, in ${result.seconds.toFixed(1)} s`;
  return `${table(['test', 'on', 'result', 'seconds'], rows)}\n${failed.join('\n')}\n${rv32}${result.failed > 0 ? red(sum) : sum}`;
}

/** A path as one would type it from here. */
function here(file: string): string {
  const short = relative(process.cwd(), file);
  return short.startsWith('..') ? file : short;
}
