import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import DataCheck from '../../src/commands/data/check.js';
import { checkText } from '../../src/lib/cli/render/data.js';
import type { CheckReport } from '../../src/lib/data/check/report.js';
import { runCli } from '../support/cli.js';
import { describeReal, recordingsFolder } from '../support/real.js';

let base: string;
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'aiot-loose-'));
});
afterAll(() => rm(base, { recursive: true, force: true }));

describeReal('recordings', 'the HAR recordings as a folder', () => {
  it('show repeats, rates, and shortcuts but no copies, with files summarized in one line', async () => {
    const folder = join(recordingsFolder, 'recordings');
    const { json, code } = await runCli(['data', 'check', folder, '--label-from', 'name', '--json']);
    expect(code).toBe(6);
    const { findings } = DataCheck.result.parse(json) as CheckReport;
    expect(
      findings.map(
        ({ kind, severity, files, evidence }) => `${severity} ${kind} ${evidence.by ?? ''} ${files.length}`,
      ),
    ).toEqual([
      'error shortcut repeats 15',
      'error shortcut resolution 15',
      // Recordings with the phone in another position, and two in which it was bumped (listed in check.real.test.ts).
      'warning swapped  1',
      'warning swapped  1',
      'warning swapped  1',
      'warning spikes  1',
      'warning repeats  15',
      'warning rate  15',
      'warning shortcut length 15',
    ]);
    const text = checkText(DataCheck.result.parse(json) as CheckReport);
    expect(text).toContain('lying1–5.csv, sitting1–5.csv, walking1–5.csv');
    expect(text.split('\n').length).toBeLessThanOrEqual(4 * findings.length);
  });
});
