import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aiotVersion } from '../../src/lib/core/folders.js';
import type { FirmwareLibrary } from '../../src/lib/project/firmware/library.js';
import { root, runCli } from '../support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-library-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const library = (dir: string, ...more: string[]) => runCli(['firmware', 'library', dir, ...more, '--json']);

describe('aiot firmware library', () => {
  const dir = join(folder, 'made');
  let made: FirmwareLibrary;
  beforeAll(async () => {
    made = (await library(dir)).json as FirmwareLibrary;
  });
  const read = (path: string) => readFileSync(join(dir, path), 'utf8');
  const list = (path: string) => readdirSync(join(dir, path), { recursive: true }).map(String);

  it('contains all sources and headers of the core', () => {
    const core = (path: string, end: RegExp) =>
      readdirSync(join(root, 'firmware', 'core', path), { recursive: true })
        .map(String)
        .filter((name) => end.test(name));
    expect(list('src').filter((name) => name.endsWith('.c'))).toEqual(core('src', /\.c$/));
    expect(made).toMatchObject({
      ...{ dir, name: 'aiot', version: aiotVersion() },
      sources: core('src', /\.c$/).length,
      // The header for everything is additional.
      headers: core('include', /\.h$/).length + 1,
    });
    for (const name of core('include', /\.h$/)) expect(read('src/aiot.h')).toContain(`#include "${name}"`);
  });

  it('has an example of 30 lines', () => {
    expect(read('examples/device/device.c').trimEnd().split('\n').length).toBeLessThanOrEqual(30);
  });

  it('switches fused arithmetic off in each source for Arduino, and in the build files', () => {
    for (const name of list('src').filter((name) => name.endsWith('.c')))
      expect(read(`src/${name}`), name).toMatch(
        /^#if defined\(ARDUINO\).*\n#pragma GCC optimize\("fp-contract=off"\)/,
      );
    expect(JSON.parse(read('library.json')).build.flags).toContain('-ffp-contract=off');
    expect(read('CMakeLists.txt')).toContain('-ffp-contract=off');
  });

  it('puts name, author and page into the manifests, and names what a registry lacks', async () => {
    expect(made.notes).toEqual(["Arduino's registry also requires --author and --url."]);
    const own = join(folder, 'own');
    const page = 'https://plant.example/firmware';
    const args = ['--name', 'plant-aiot', '--author', 'Plant <fw@plant.example>', '--url', page];
    const { json } = await library(own, ...args);
    expect(json).toMatchObject({ name: 'plant-aiot', notes: [] });
    const text = (path: string) => readFileSync(join(own, path), 'utf8');
    expect(text('library.properties')).toMatch(
      /^name=plant-aiot\n.*^maintainer=Plant <fw@plant\.example>$/ms,
    );
    expect(JSON.parse(text('library.json'))).toMatchObject({
      ...{ name: 'plant-aiot', homepage: page },
      authors: [{ name: 'Plant', email: 'fw@plant.example' }],
    });
    expect(text('idf_component.yml')).toContain(`url: "${page}"`);
  });

  it.each([
    [['--name', 'Plant AIoT'], '--name'],
    [['--url', 'ftp://plant.example'], '--url'],
    [['--author', 'two\nlines'], '--author'],
  ])('rejects %j and writes nothing', async (args, why) => {
    const at = join(folder, 'refused');
    expect(await library(at, ...args)).toMatchObject({ code: 2, stdout: expect.stringContaining(why) });
    expect(readdirSync(folder)).not.toContain('refused');
  });

  it('overwrites nothing', async () => {
    const at = join(folder, 'full');
    mkdirSync(at);
    writeFileSync(join(at, 'mine.c'), '');
    for (const path of [at, join(at, 'mine.c')])
      expect(await library(path)).toMatchObject({ json: { error: { code: 'AIOT_FOLDER_NOT_EMPTY' } } });
    expect(readdirSync(at)).toEqual(['mine.c']);
  });
});
