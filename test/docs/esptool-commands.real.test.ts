import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { pageText } from '../support/documents/pages.js';
import { espflashProgram } from '../support/espflash-program.js';
import { describeReal, python } from '../support/real.js';

/** The part of the page about one tool. */
const section = (tool: string) =>
  pageText('docs/reference/esptool-commands.md')
    .split(/^## /m)
    .find((text) => text.startsWith(`${tool}\n`)) ?? '';

/** The commands in the first column of a tool's table. */
const rows = (tool: string) =>
  [...section(tool).matchAll(/^\| (.*?) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([a-z][a-z0-9-]*)/g)].map(([, command]) => command),
  );

function helpOf(program: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, [...args, '--help'], {
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1', COLUMNS: '300' },
  });
  expect(status, stderr).toBe(0);
  return stdout;
}

describeReal('esptool', 'the page of commands', () => {
  it.each(['esptool', 'espefuse', 'espsecure'])(
    'lists each command of %s, and no other',
    { timeout: 60_000 },
    (tool) => {
      const path = join(python('esptool'), '..', tool);
      const commands = [...helpOf(path).matchAll(/^│ ([a-z][a-z0-9-]+…?) /gm)].map(([, name = '']) => name);
      expect(commands.length).toBeGreaterThan(10);
      // The help cuts long names off.
      const listed = new Set(rows(tool));
      const isListed = (name: string) =>
        name.endsWith('…') ? [...listed].some((row) => row?.startsWith(name.slice(0, -1))) : listed.has(name);
      expect(commands.filter((name) => !isListed(name))).toEqual([]);
      const known = (row: string) =>
        commands.some((name) => (name.endsWith('…') ? row.startsWith(name.slice(0, -1)) : name === row));
      expect([...listed].filter((row) => row && !known(row))).toEqual([]);
    },
  );
});

describeReal('espflash', 'the page of commands', () => {
  it('lists each command of espflash', () => {
    const commands = [...helpOf(espflashProgram).matchAll(/^ {2}([a-z][a-z0-9-]+) {2,}/gm)].map(
      ([, name]) => name,
    );
    const missing = commands.filter((name) => name !== 'help' && !rows('espflash').includes(name ?? ''));
    expect(commands.length).toBeGreaterThan(10);
    expect(missing).toEqual([]);
  });
});
