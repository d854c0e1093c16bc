import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Project } from '../../src/lib/core/project.js';
import { evaluateProject } from '../../src/lib/model/evaluate/evaluate-project.js';
import { classifierFigures } from '../../src/lib/model/evaluate/verdict.js';
import { quantizeProject } from '../../src/lib/model/quantize/quantize-project.js';
import { writeReport } from '../../src/lib/model/report/write-report.js';
import { trainProject } from '../../src/lib/model/train/train-project.js';
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
  it('requires a trained model', async () => {
    const fresh = await toyProject();
    await expect(writeReport({ file, project: fresh })).rejects.toMatchObject({
      code: 'AIOT_MODEL_NOT_BUILT',
    });
  });

  it('omits missing measurements, and includes all once measured', async () => {
    await writeReport({ file, project });
    const before = await readFile(file, 'utf8');
    expect(before).toContain('It has not been evaluated on held-out recordings yet.');
    expect(before).not.toContain('Confusion');
    await quantizeProject({ project });
    const { int8 } = classifierFigures(await evaluateProject({ project }));
    const live = { ...int8, latencyMs: { p50: 0.4, p99: 1.25 } };
    await writeReport({ file, project, live, findings: [finding] });
    const after = await readFile(file, 'utf8');
    for (const part of ['Gates', 'Training', 'Confusion', 'Metrics per class', 'Data check', 'Origin']) {
      expect(after).toContain(`<h2>${part}`);
    }
    expect(after).toContain('<h2>Data check: 1 warning</h2>');
    expect(after).toContain('Live on devices');
    expect(after).toContain('1.25 ms');
    expect(after).toContain('rows &lt;repeat&gt; &amp; &quot;give&quot; a class away');
  });

  it('omits an evaluation made obsolete by retraining', async () => {
    const again = await toyProject();
    await trainProject({ project: again });
    await quantizeProject({ project: again });
    await evaluateProject({ project: again });
    again.config.model.train.seed = 9;
    await trainProject({ project: again });
    await writeReport({ file: join(again.dir, 'r.html'), project: again });
    expect(await readFile(join(again.dir, 'r.html'), 'utf8')).not.toContain('Confusion');
  });

  it('is self-contained', async () => {
    const text = await readFile(file, 'utf8');
    expect(text).not.toMatch(/(?:src|href)=|url\(|@import|https?:/);
  });
});
