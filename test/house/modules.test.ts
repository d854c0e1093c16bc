import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packagesLoadedBy, sourcesIn } from '../../scripts/imports.js';
import { brokenRules, moduleOf, modules } from '../../scripts/modules.js';
import { root } from '../support/cli.js';

const sources = sourcesIn(root, 'src');
const text = (file: string) => readFileSync(join(root, file), 'utf8');

describe('the modules', () => {
  it('import only from lower modules, and only through their index', () => {
    expect(brokenRules(root)).toEqual([]);
  });

  it('each have an index that starts with a description', () => {
    const present = new Set(sources.map(moduleOf).filter((module) => module !== 'commands' && module !== ''));
    const silent = [...present].filter((module) => {
      const index = join('src', 'lib', module, 'index.ts');
      return !existsSync(join(root, index)) || !text(index).startsWith('/**');
    });
    expect(silent).toEqual([]);
  });

  it('are listed in ARCHITECTURE.md in order', () => {
    const shown = [...text('ARCHITECTURE.md').matchAll(/^\| `([a-z]+)`/gm)].map(([, name]) => name);
    expect(shown).toEqual(modules);
  });
});

describe('the sources', () => {
  it('neither exit the process nor print past the base class of commands', () => {
    expect(sources.filter((file) => /\bprocess\.exit\(|\bconsole\.\w+\(/.test(text(file)))).toEqual([]);
  });

  it('contain no TODOs and no focused tests', () => {
    const tests = sourcesIn(root, 'test').filter((file) => !file.includes('house'));
    const marks = /\b(TODO|FIXME|XXX)\b|\b(it|describe)\.only\(/;
    expect([...sources, ...tests].filter((file) => marks.test(text(file)))).toEqual([]);
  });
});

describe('the startup path', () => {
  const heavy =
    /^(@tensorflow\/|@litertjs\/|@fastify\/|@peculiar\/|fastify|mqtt|listr2|libsql|kysely|pino|undici|reflect-metadata)/;
  const commands = sources.filter((file) => moduleOf(file) === 'commands');
  const read = new Map();

  it.each(commands)('%s loads no heavy library', (file) => {
    const found = [...packagesLoadedBy(root, file, read)].filter(([name]) => heavy.test(name));
    expect(found.map(([name, way]) => `${name} by ${way.join(' > ')}`)).toEqual([]);
  });

  it.each(['src/lib/cli/main.ts', 'src/lib/cli/help.ts'])(
    '%s loads only oclif on the way to --help',
    (file) => {
      expect(
        [...packagesLoadedBy(root, file, read).keys()].filter((name) => !name.startsWith('node:')),
      ).toEqual(['@oclif/core']);
    },
  );
});
