import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { manualPages } from '../../scripts/man/pages.js';
import { root } from '../support/cli.js';
import { describeReal } from '../support/real.js';

const read = (name: string) => JSON.parse(readFileSync(join(root, name), 'utf8'));
const input = () => ({
  manifest: read('oclif.manifest.json'),
  packageJson: read('package.json'),
  date: '2026-01-31',
});
let folder = '';
let pages = new Map<string, string>();
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'aiot-man-'));
  pages = manualPages(input());
  for (const [name, text] of pages) writeFileSync(join(folder, name), text);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the manual', () => {
  it('has a page for aiot, each topic and each command', () => {
    const ids = Object.keys(input().manifest.commands);
    const topics = ids.flatMap((id) => id.split(':').map((_, at, words) => words.slice(0, at + 1).join(':')));
    const wanted = new Set(['aiot', ...[...ids, ...topics].map((id) => `aiot-${id.replaceAll(':', '-')}`)]);
    expect([...pages.keys()].sort()).toEqual([...wanted].map((name) => `${name}.1`).sort());
  });

  it('is reproducible', () => {
    expect(manualPages(input())).toEqual(pages);
  });

  it('is listed in package.json only while packing, which restores the file byte for byte', () => {
    const { scripts } = read('package.json');
    expect(scripts).toMatchObject({
      prepack: expect.stringContaining('node scripts/man.js'),
      postpack: expect.stringContaining('node scripts/man.js --remove'),
    });
    expect(readFileSync(join(root, 'package.json'), 'utf8')).toBe(
      `${JSON.stringify(read('package.json'), null, 2)}\n`,
    );
  });
});

describeReal('mandoc', 'the manual in mandoc and man', () => {
  it('passes mandoc’s linter, which detects a mistake', () => {
    const lint = (files: string[]) =>
      spawnSync('mandoc', ['-T', 'lint', '-W', 'warning', ...files], { cwd: folder, encoding: 'utf8' });
    const { stdout, status } = lint([...pages.keys()]);
    expect({ stdout, status }).toEqual({ stdout: '', status: 0 });
    writeFileSync(join(folder, 'broken.1'), `${pages.get('aiot-up.1')}.XX oops\n`);
    expect(lint(['broken.1']).status).not.toBe(0);
  });

  it('causes no groff warnings, and shows flags as they are typed', () => {
    const show = (name: string) =>
      spawnSync('man', ['--warnings', '-E', 'UTF-8', '-l', join(folder, name)], {
        encoding: 'utf8',
        env: { ...process.env, MANWIDTH: '100', MANROFFSEQ: '', LC_ALL: 'C.UTF-8' },
      });
    for (const name of [
      'aiot.1',
      'aiot-device.1',
      'aiot-model-train.1',
      'aiot-stream-tail.1',
      'aiot-flash.1',
    ]) {
      expect(show(name), name).toMatchObject({ stderr: '', status: 0 });
    }
    const { stdout } = show('aiot-stream-tail.1');
    expect(stdout).toContain(
      "aiot stream tail mqtt://127.0.0.1/plant --expect 'temperature > 80' --within 5s",
    );
    expect(stdout).toMatch(/--expect EXPR\n\s+Exit\s+with\s+0\s+at\s+the\s+first\s+message/);
    expect(show('aiot-model-train.1').stdout).toMatch(/\[default:\s+\.\]\.\s+\[env:\s+AIOT_PROJECT\]/);
    expect(stdout).toContain('aiot-stream(1)');
  });
});
