import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packagesLoadedBy, sourcesIn } from '../../scripts/imports.js';
import { brokenRules, roomOf, rooms } from '../../scripts/rooms.js';
import { root } from '../support/cli.js';

const sources = sourcesIn(root, 'src');
const text = (file: string) => readFileSync(join(root, file), 'utf8');

describe('the rooms', () => {
  it('import downwards only, and only what the other room’s index exports', () => {
    expect(brokenRules(root)).toEqual([]);
  });

  it('each have an index that says what the room is for', () => {
    const present = new Set(sources.map(roomOf).filter((room) => room !== 'commands' && room !== ''));
    const silent = [...present].filter((room) => {
      const index = join('src', 'lib', room, 'index.ts');
      return !existsSync(join(root, index)) || !text(index).startsWith('/**');
    });
    expect(silent).toEqual([]);
  });

  it('stand in ARCHITECTURE.md in their order', () => {
    const shown = [...text('ARCHITECTURE.md').matchAll(/^\| `([a-z]+)`/gm)].map(([, name]) => name);
    expect(shown).toEqual(rooms);
  });
});

describe('the sources', () => {
  it('neither end the process nor print past the command’s base class', () => {
    expect(sources.filter((file) => /\bprocess\.exit\(|\bconsole\.\w+\(/.test(text(file)))).toEqual([]);
  });

  it('have neither unfinished business nor commented-out tests', () => {
    const tests = sourcesIn(root, 'test').filter((file) => !file.includes('house'));
    const marks = /\b(TODO|FIXME|XXX)\b|\b(it|describe)\.only\(/;
    expect([...sources, ...tests].filter((file) => marks.test(text(file)))).toEqual([]);
  });
});

describe('what is loaded at start', () => {
  const heavy =
    /^(@tensorflow\/|@litertjs\/|@fastify\/|@peculiar\/|fastify|mqtt|listr2|libsql|kysely|pino|undici|reflect-metadata)/;
  const commands = sources.filter((file) => roomOf(file) === 'commands');
  const read = new Map();

  it.each(commands)('%s loads no heavy library', (file) => {
    const found = [...packagesLoadedBy(root, file, read)].filter(([name]) => heavy.test(name));
    expect(found.map(([name, way]) => `${name} by ${way.join(' > ')}`)).toEqual([]);
  });

  it.each(['src/lib/cli/main.ts', 'src/lib/cli/help.ts'])(
    '%s, on the way to --help, loads oclif alone',
    (file) => {
      expect(
        [...packagesLoadedBy(root, file, read).keys()].filter((name) => !name.startsWith('node:')),
      ).toEqual(['@oclif/core']);
    },
  );
});
