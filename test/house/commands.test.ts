import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { type CommandFile, flagsOf, loadCommands } from '../../scripts/docs/commands.js';
import { sourcesIn } from '../../scripts/imports.js';
import { AiotCommand } from '../../src/lib/cli/command.js';
import { root } from '../support/cli.js';

let commands: CommandFile[] = [];
beforeAll(async () => {
  commands = await loadCommands(root);
});

/** What the rules look at of a JSON schema. */
interface Shape {
  type?: string;
  properties?: Record<string, { type?: string }>;
}

/** What breaks a rule, one line each. */
function offenders(rule: (entry: CommandFile) => string[]): string[] {
  return commands.flatMap((entry) => rule(entry).map((what) => `aiot ${entry.id}: ${what}`));
}

describe('every command', () => {
  it('is built on the one base, with a summary, an example and the schema of its result', () => {
    const found = offenders(({ command }) => [
      ...(command.prototype instanceof AiotCommand ? [] : ['not an AiotCommand']),
      ...(/^[A-Z].*\.$/.test(command.summary ?? '') ? [] : ['summary is no sentence']),
      ...((command.examples ?? []).length > 0 ? [] : ['no example']),
      ...(command.result ? [] : ['no result schema']),
    ]);
    expect(found).toEqual([]);
  });

  it('gives each flag its environment twin and a summary', () => {
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

  it('takes a name and what is done with it: at most one positional, or a pair', () => {
    expect(
      offenders(({ command }) => (Object.keys(command.args ?? {}).length > 2 ? ['too many'] : [])),
    ).toEqual([]);
  });

  it('lists as an array, or page by page as the API does; one thing that has a list in it is an object', () => {
    // What is listed is of one thing, which is told, too: a project or a stream, a file.
    const ofOne = new Set(['data list', 'stream route list']);
    const found = offenders(({ id, command }) => {
      const flags = command.flags ?? {};
      const paged = 'after' in flags && 'limit' in flags;
      const lists = id.endsWith(' list') || paged || /^device (history|ports)$/.test(id);
      if (!lists || ofOne.has(id) || !command.result) return [];
      const { type, properties = {} } = z.toJSONSchema(command.result, { unrepresentable: 'any' }) as Shape;
      if (type === 'array') return [];
      const [noun, cursor, ...more] = Object.keys(properties);
      const page = properties[noun ?? '']?.type === 'array' && cursor === 'next' && more.length === 0;
      return page ? [] : [`prints ${type} {${Object.keys(properties).join(', ')}}`];
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

  it('is short: what takes a long run() belongs in lib', () => {
    const found = offenders(({ file }) => {
      const text = readFileSync(join(root, file), 'utf8');
      const body = text.slice(text.indexOf('async run()')).split('\n').length;
      return body > 45 || text.split('\n').length > 121 ? [`run() has ${body} lines`] : [];
    });
    expect(found).toEqual([]);
  });

  it('asks before something is lost for good: --yes answers', () => {
    const found = offenders(({ id, command }) => {
      const loses =
        / (?:remove|revoke|erase)$/.test(` ${id}`) || id === 'trust rotate' || id === 'data retention';
      return loses && !('yes' in (command.flags ?? {})) ? ['no --yes'] : [];
    });
    expect(found).toEqual([]);
  });

  it('means the same by the same flag', () => {
    const shapes = new Map<string, Set<string>>();
    for (const { command } of commands) {
      for (const [name, flag] of flagsOf(command)) {
        const shape = `${flag.type}${flag.char ? ` -${flag.char}` : ''}`;
        shapes.set(name, (shapes.get(name) ?? new Set()).add(shape));
      }
    }
    // Asked for so: `stream tail --rate` shows what elsewhere is set, and `--plot` takes the fields that the monitor finds by itself.
    for (const twofold of ['rate', 'plot']) shapes.delete(twofold);
    expect(
      [...shapes].filter(([, kinds]) => kinds.size > 1).map(([name, kinds]) => [name, ...kinds]),
    ).toEqual([]);
  });
});

describe('every topic', () => {
  it('lists when it is named alone, where it has a list', () => {
    const found = offenders(({ id, command }) => {
      const [topic, verb] = id.split(' ');
      return verb !== 'list' || command.hiddenAliases?.includes(topic) ? [] : [`aiot ${topic} does not list`];
    });
    expect(found).toEqual([]);
  });

  it('has a description in package.json', () => {
    const { oclif } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const topics = new Set(
      commands.filter(({ id }) => id.includes(' ')).map(({ id }) => id.split(' ')[0] ?? ''),
    );
    expect([...topics].filter((topic) => !oclif.topics[topic]?.description)).toEqual([]);
  });
});

describe('the grammar', () => {
  it('changes on purpose only: names, arguments, flags and variables', async () => {
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

  it('is told by help: the front page, every topic, every command', async () => {
    const child = spawnSync(process.execPath, [join(root, 'scripts', 'docs', 'help.js')], {
      encoding: 'utf8',
    });
    expect(child.stderr).toBe('');
    const pages: Record<string, string> = JSON.parse(child.stdout);
    expect(Object.keys(pages)).toEqual(expect.arrayContaining(commands.map(({ id }) => id)));
    const text = Object.entries(pages).map(([name, page]) => `─── aiot ${name} --help\n${page}`);
    await expect(text.join('\n')).toMatchFileSnapshot('__snapshots__/help.txt');
  }, 240_000);
});
