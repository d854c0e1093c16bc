import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { changes, compareSamples, independentRows } from '../../bench/drift/rates.js';
import { writeRolloutPage } from '../../src/lib/api/rollouts/page/page.js';
import { driftPage } from '../../src/lib/data/drift/report.js';
import { productionPage } from '../../src/lib/flash/write/production.js';
import { toyProject } from '../model/support.js';
import { runCli } from '../support/cli.js';
import { launchChromium } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';
import { expectReport, hostile, madeUpRollout, madeUpRows } from '../support/reports.js';

let browser: Browser;
let dir: string;
const at = (name: string) => join(dir, name);

describeReal('chromium', 'reports in a browser', () => {
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiot-reports-'));
    browser = await launchChromium();
  }, 30_000);
  afterAll(async () => {
    await browser?.close();
    await rm(dir, { recursive: true, force: true });
  });

  it('are self-contained and fit a phone and a desktop: training, quantization and evaluation', async () => {
    const project = (await toyProject()).dir;
    for (const [verb, name] of [
      ['train', 'training.html'],
      ['quantize', 'quantization.html'],
      ['evaluate', 'evaluation.html'],
    ] as const) {
      const done = await runCli(['model', verb, '--project', project, '--report', at(name)]);
      expect(done.code, done.stderr).toBe(0);
      await expectReport(browser, at(name));
    }
  }, 60_000);

  it('are self-contained and fit a phone and a desktop: drift', async () => {
    const found = compareSamples(
      independentRows(500, 1),
      changes.mean('a', 1)(changes.swapped('b', 'd')(independentRows(500, 2))),
    );
    const now = { ...found.now, name: hostile };
    await writeFile(at('drift.html'), driftPage({ ...found, now, gates: [], ok: true }));
    await expectReport(browser, at('drift.html'));
    const page = await browser.newPage();
    await page.goto(`file://${at('drift.html')}`);
    expect(await page.getByRole('img', { name: /Distribution of a: drifted/ }).count()).toBe(1);
  });

  it('are self-contained and fit a phone and a desktop: a rollout', async () => {
    await writeRolloutPage(at('rollout.html'), madeUpRollout());
    await expectReport(browser, at('rollout.html'));
  });

  it('are self-contained and fit a phone and a desktop: a production run', async () => {
    const production = { rows: madeUpRows(), outcomes: [], record: hostile };
    await writeFile(at('production.html'), productionPage(production));
    await expectReport(browser, at('production.html'));
  });
});
