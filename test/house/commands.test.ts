import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { type CommandFile, flagsOf, loadCommands } from '../../scripts/docs/commands.js';
import { sourcesIn } from '../../scripts/imports.js';
import { AiotCommand } from '../../src/lib/cli/command.js';
import { frontGroups } from '../../src/lib/cli/help.js';
import { root } from '../support/cli.js';

let commands: CommandFile[] = [];
beforeAll(async () => {
  commands = await loadCommands(root);
});

/** The parts of a JSON schema that the rules examine. */
interface Shape {
  type?: string;
  properties?: Record<string, { type?: string }>;
}

/** Returns the violations of a rule, one line each. */
function offenders(rule: (entry: CommandFile) => string[]): string[] {
  return commands.flatMap((entry) => rule(entry).map((what) => `aiot ${entry.id}: ${what}`));
}

describe('every command', () => {
  it('extends the base class and has a summary, two examples and a result schema', () => {
    const found = offenders(({ command }) => [
      ...(command.prototype instanceof AiotCommand ? [] : ['not an AiotCommand']),
      ...(/^[A-Z].*\.$/.test(command.summary ?? '') ? [] : ['summary is no sentence']),
      ...((command.summary ?? '').length <= 60 ? [] : ['summary is longer than 60 characters']),
      ...((command.examples ?? []).length >= 2 ? [] : ['fewer than two examples']),
      ...(command.result ? [] : ['no result schema']),
    ]);
    expect(found).toEqual([]);
  });

  it('has the common flags in the manifest', () => {
    const { commands: built } = JSON.parse(readFileSync(join(root, 'oclif.manifest.json'), 'utf8')) as {
      commands: Record<string, { flags: Record<string, unknown> }>;
    };
    const found = offenders(({ id }) => {
      const flags = built[id.replaceAll(' ', ':')]?.flags ?? {};
      return [...Object.keys(AiotCommand.baseFlags), 'json'].filter((name) => !(name in flags));
    });
    expect(found).toEqual([]);
  });

  it('gives each flag an environment variable and a summary', () => {
    const found = offenders(({ command }) =>
      flagsOf(command).flatMap(([name, flag]) => [
        ...(flag.env === `AIOT_${name.toUpperCase().replaceAll('-', '_')}`
          ? []
          : [`--${name} has ${flag.env}`]),
        ...(flag.summary ? [] : [`--${name} has no summary`]),
      ]),
    );
    expect(found).toEqual([]);
  });

  it('accepts at most two positional arguments', () => {
    expect(
      offenders(({ command }) => (Object.keys(command.args ?? {}).length > 2 ? ['too many'] : [])),
    ).toEqual([]);
  });

  it('prints a list as an array or as a page with a cursor', () => {
    // These lists belong to a single project, stream or file, which they also report.
    const ofOne = new Set(['data list', 'stream list', 'stream route list']);
    const found = offenders(({ id, command }) => {
      const flags = command.flags ?? {};
      const paged = 'after' in flags && 'limit' in flags;
      const lists = id.endsWith(' list') || paged || /^(device history|board ports)$/.test(id);
      if (!lists || ofOne.has(id) || !command.result) return [];
      const shape = z.toJSONSchema(command.result, { unrepresentable: 'any' }) as Shape & { anyOf?: Shape[] };
      // A result that depends on the arguments is a list in each case.
      return (shape.anyOf ?? [shape]).flatMap(({ type, properties = {} }) => {
        if (type === 'array') return [];
        const [noun, cursor, ...more] = Object.keys(properties);
        const page = properties[noun ?? '']?.type === 'array' && cursor === 'next' && more.length === 0;
        return page ? [] : [`prints ${type} {${Object.keys(properties).join(', ')}}`];
      });
    });
    expect(found).toEqual([]);
  });

  it('has a test that runs it', () => {
    const tests = sourcesIn(root, 'test').filter(
      (file) => file.endsWith('.test.ts') && !file.includes('house'),
    );
    const text = tests.map((file) => readFileSync(join(root, file), 'utf8')).join('\n');
    const found = offenders(({ id }) => {
      const words = id.split(' ').map((word) => `'${word}'`);
      return new RegExp(words.join(',\\s*')).test(text) ? [] : ['no test'];
    });
    expect(found).toEqual([]);
  });

  it('has a short run() method, because longer code belongs in lib', () => {
    const found = offenders(({ file }) => {
      const text = readFileSync(join(root, file), 'utf8');
      const body = text.slice(text.indexOf('async run()')).split('\n').length;
      return body > 45 || text.split('\n').length > 121 ? [`run() has ${body} lines`] : [];
    });
    expect(found).toEqual([]);
  });

  it('has --yes if it makes irreversible changes', () => {
    const found = offenders(({ id, command }) => {
      const loses =
        / (?:remove|revoke|erase)$/.test(` ${id}`) || id === 'trust rotate' || id === 'data retention';
      return loses && !('yes' in (command.flags ?? {})) ? ['no --yes'] : [];
    });
    expect(found).toEqual([]);
  });

  it('gives each flag the same type and short form everywhere', () => {
    const shapes = new Map<string, Set<string>>();
    for (const { command } of commands) {
      for (const [name, flag] of flagsOf(command)) {
        const shape = `${flag.type}${flag.char ? ` -${flag.char}` : ''}`;
        shapes.set(name, (shapes.get(name) ?? new Set()).add(shape));
      }
    }
    // These flags have intentional second meanings: `stream tail --rate` prints a rate that is set elsewhere, and
    // `--plot` takes the fields that the monitor detects on its own.
    for (const twofold of ['rate', 'plot']) shapes.delete(twofold);
    expect(
      [...shapes].filter(([, kinds]) => kinds.size > 1).map(([name, kinds]) => [name, ...kinds]),
    ).toEqual([]);
  });
});

describe('every topic', () => {
  it('lists its commands when named alone, so no alias has its name', () => {
    const topics = new Set(commands.flatMap(({ id }) => id.split(' ').slice(0, -1)));
    const found = offenders(({ command }) =>
      [...(command.aliases ?? []), ...(command.hiddenAliases ?? [])].filter((alias) => topics.has(alias)),
    );
    expect(found).toEqual([]);
  });

  it('is on the front page of help exactly once, as is every command without a topic', () => {
    const named = frontGroups.flatMap(([, lines]) => lines.flatMap(([names]) => names.split(', ')));
    const first = new Set(commands.map(({ id }) => id.split(' ')[0] ?? ''));
    expect([...named].sort()).toEqual([...first].sort());
  });

  it('has a description in package.json', () => {
    const { oclif } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const topics = new Set(
      commands.flatMap(({ id }) => {
        const words = id.split(' ').slice(0, -1);
        return words.map((_, i) => words.slice(0, i + 1).join(':'));
      }),
    );
    expect([...topics].filter((topic) => !oclif.topics[topic]?.description)).toEqual([]);
  });
});

describe('the command grammar', () => {
  it('matches the stored names, arguments, flags and variables', async () => {
    const lines = commands.flatMap(({ id, command }) => [
      `aiot ${id}`,
      ...Object.entries<{ required?: boolean }>(command.args ?? {}).map(
        ([name, arg]) => `  ${arg.required ? name.toUpperCase() : `[${name.toUpperCase()}]`}`,
      ),
      ...flagsOf(command)
        .filter(([, flag]) => flag.helpGroup !== 'GLOBAL')
        .map(([name, flag]) => `  ${flag.char ? `-${flag.char} ` : ''}--${name} ${flag.type} ${flag.env}`),
    ]);
    await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('__snapshots__/grammar.txt');
  });

  it('matches the stored help of the front page, every topic and every command', async () => {
    const child = spawnSync(process.execPath, [join(root, 'scripts', 'docs', 'help.js')], {
      encoding: 'utf8',
    });
    expect(child.stderr).toBe('');
    const pages: Record<string, string> = JSON.parse(child.stdout);
    const front = (pages[''] ?? '').trimEnd().split('\n');
    expect(front.length).toBeLessThanOrEqual(40);
    expect(Math.max(...front.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(Object.keys(pages)).toEqual(expect.arrayContaining(commands.map(({ id }) => id)));
    const text = Object.entries(pages).map(([name, page]) => `─── aiot ${name} --help\n${page}`);
    await expect(text.join('\n')).toMatchFileSnapshot('__snapshots__/help.txt');
  }, 240_000);
});
