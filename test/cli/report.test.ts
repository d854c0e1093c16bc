import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openFile } from '../../src/lib/cli/report.js';
import { runCli } from '../support/cli.js';

let dir: string;
const at = (name: string) => join(dir, name);
const drift = (...more: string[]) => ['data', 'drift', at('before.csv'), at('after.csv'), ...more];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-report-flags-'));
  const rows = (shift: number) => Array.from({ length: 60 }, (_, i) => `${(i % 17) + shift}`).join('\n');
  await writeFile(at('before.csv'), `x\n${rows(0)}\n`);
  await writeFile(at('after.csv'), `x\n${rows(9)}\n`);
  // A stand-in for the desktop's opener that records which file it should show.
  await writeFile(
    at('xdg-open'),
    `#!/bin/sh\nprintf %s "$1" > "${at('.opened')}.new" && mv "${at('.opened')}.new" "${at('.opened')}"\n`,
  );
  await chmod(at('xdg-open'), 0o755);
});
afterEach(() => vi.unstubAllEnvs());
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

describe.runIf(process.platform === 'linux')('--open', () => {
  it('opens the file that --report names', async () => {
    vi.stubEnv('DISPLAY', ':0');
    vi.stubEnv('PATH', `${dir}${delimiter}${process.env.PATH}`);
    const run = await runCli(drift('--report', at('drift.html'), '--open'));
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toContain(`report: ${at('drift.html')}\n`);
    await expect.poll(() => readFile(at('.opened'), 'utf8').catch(() => '')).toBe(at('drift.html'));
  });

  it('writes a temporary file if --report is absent, and prints its path if there is no desktop', async () => {
    for (const name of ['DISPLAY', 'WAYLAND_DISPLAY']) vi.stubEnv(name, '');
    const run = await runCli(drift('--open', '--json'));
    const { report, opened } = JSON.parse(run.stderr.trim()) as { report: string; opened: boolean };
    expect(opened).toBe(false);
    expect(report).toMatch(/aiot-report-\w+.drift\.html$/);
    expect((await stat(report)).size).toBeGreaterThan(1000);
    await rm(join(report, '..'), { recursive: true });
  });

  it('does not fail if no viewer is available', async () => {
    const env = { DISPLAY: ':0', PATH: at('nowhere') };
    expect(await openFile(at('drift.html'), { platform: 'linux', env })).toBe(false);
  });
});

it('--report is rejected with --search, which leaves no model to report on', async () => {
  const run = await runCli(['model', 'train', '--search', '2', '--report', at('search.html')]);
  expect(run.code).toBe(2);
});

it.each([
  ['a folder', () => dir],
  ['a path below a file', () => join(at('before.csv'), 'x.html')],
])('--report is rejected with %s as the file before any work', async (_, file) => {
  const run = await runCli(drift('--report', file()));
  expect(run.stderr).toContain('AIOT_FILE_NOT_WRITABLE');
  expect(run.stdout).toBe('');
});
