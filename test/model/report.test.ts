import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Project } from '../../src/lib/core/index.js';
import { html, htmlTable } from '../../src/lib/formats/index.js';
import {
  classifierFigures,
  evaluateProject,
  quantizeProject,
  trainProject,
  writeReport,
} from '../../src/lib/model/index.js';
import { lineChart } from '../../src/lib/model/report/line-chart.js';
import { describeReal } from '../support/real.js';
import { toyProject } from './support.js';

let project: Project;
let file: string;
beforeAll(async () => {
  project = await toyProject();
  file = join(project.dir, 'report.html');
  await trainProject({ project });
});

const finding = {
  kind: 'repeats' as const,
  severity: 'warning' as const,
  files: ['calm1'],
  evidence: { share: 0.5 },
  message: 'rows <repeat> & "give" a class away',
  advice: 'low-pass first',
};

describe('the report', () => {
  it('is refused before training', async () => {
    const fresh = await toyProject();
    await expect(writeReport({ file, project: fresh })).rejects.toMatchObject({
      code: 'AIOT_MODEL_NOT_BUILT',
    });
  });

  it('leaves out what has not been measured, and has it all when it has', async () => {
    await writeReport({ file, project });
    const before = await readFile(file, 'utf8');
    expect(before).toContain('It has not been evaluated on held-out recordings yet.');
    expect(before).not.toContain('Confusion');
    await quantizeProject({ project });
    const { int8 } = classifierFigures(await evaluateProject({ project }));
    const live = { ...int8, latencyMs: { p50: 0.4, p99: 1.25 } };
    await writeReport({ file, project, live, findings: [finding] });
    const after = await readFile(file, 'utf8');
    for (const part of [
      'Gates',
      'Training',
      'Confusion',
      'By class',
      'What the data check found',
      'Where it comes from',
    ]) {
      expect(after).toContain(`<h2>${part}`);
    }
    expect(after).toContain('Live on devices');
    expect(after).toContain('1.25 ms');
    expect(after).toContain('rows &lt;repeat&gt; &amp; &quot;give&quot; a class away');
  });

  it('tells nothing of an evaluation that a new training has made old', async () => {
    const again = await toyProject();
    await trainProject({ project: again });
    await quantizeProject({ project: again });
    await evaluateProject({ project: again });
    again.config.model.train.seed = 9;
    await trainProject({ project: again });
    await writeReport({ file: join(again.dir, 'r.html'), project: again });
    expect(await readFile(join(again.dir, 'r.html'), 'utf8')).not.toContain('Confusion');
  });

  it('refers to nothing outside itself', async () => {
    const text = await readFile(file, 'utf8');
    expect(text).not.toMatch(/(?:src|href)=|url\(|@import|https?:/);
  });
});

describe('markup', () => {
  it('is escaped unless it is markup', () => {
    expect(html`<p title="${'"'}">${'<b>'}${html`<i>${1}</i>`}${null}${['a', html`<br>`]}</p>`.text).toBe(
      '<p title="&quot;">&lt;b&gt;<i>1</i>a<br></p>',
    );
  });

  it('aligns columns of numbers to the right', () => {
    const { text } = htmlTable(
      ['name', 'n'],
      [
        ['a', '1.5 %'],
        ['b', '–'],
      ],
    );
    expect(text).toContain('<th class="number">n</th>');
    expect(text).toContain('<th>name</th>');
  });

  it('draws one epoch, and a flat line, without dividing by zero', () => {
    for (const values of [[0.5], [0, 0, 0]]) {
      const { text } = lineChart({ title: 'Loss', series: [{ name: 'a', values }], format: String });
      expect(text).not.toMatch(/NaN|Infinity/);
    }
  });
});

describeReal('chromium', 'the report in a browser', () => {
  it('asks for nothing, and fits screens from 360 to 1200 pixels in light and dark', async () => {
    const browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'],
    });
    try {
      for (const [width, colorScheme] of [
        [360, 'light'],
        [1200, 'dark'],
      ] as const) {
        const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme });
        const requests: string[] = [];
        const errors: string[] = [];
        page.on('request', (request) => requests.push(request.url()));
        page.on('console', (message) => errors.push(message.text()));
        page.on('pageerror', (error) => errors.push(String(error)));
        await page.goto(pathToFileURL(file).href);
        expect(requests).toEqual([pathToFileURL(file).href]);
        expect(errors).toEqual([]);
        const wide = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
        expect(wide).toBeLessThanOrEqual(0);
        const ground = await page.evaluate('getComputedStyle(document.body).backgroundColor');
        expect(ground).toBe(colorScheme === 'dark' ? 'rgb(21, 23, 26)' : 'rgb(251, 250, 248)');
      }
    } finally {
      await browser.close();
    }
  });
});
