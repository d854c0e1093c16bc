import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { metricsOf } from '../../../src/lib/model/evaluate/metrics.js';
import { openMaterial, openModelProject } from '../../../src/lib/model/material.js';
import { divide } from '../../../src/lib/model/train/examples/divide.js';
import { examplesOfPart, lessonsOf } from '../../../src/lib/model/train/examples/parts.js';
import { learn } from '../../../src/lib/model/train/learn.js';
import { planTraining } from '../../../src/lib/model/train/plan.js';
import { describeReal } from '../../support/real.js';
import { temporaryFolder } from '../support.js';

const python = join(import.meta.dirname, '../../../.venv/sklearn/bin/python');
const script = join(import.meta.dirname, '../../support/python/small_tables.py');
const ask = (what: string, name: string, input = '') =>
  execFileSync(python, [script, what, name], { input, encoding: 'utf8', maxBuffer: 1 << 26 });

interface Scores {
  accuracy: number;
  macroF1: number;
}

/**
 * Returns the scores that training with all defaults reaches on the test set of this seed's split, and the rows
 * of that split.
 */
async function trained(file: string, folder: string, seed: number): Promise<Scores & { parts: string }> {
  const project = await openModelProject(folder, file);
  const train = { ...project.config.model.train, seed };
  const seeded = { ...project, config: { ...project.config, model: { ...project.config.model, train } } };
  const material = await openMaterial(seeded, { data: file });
  const plan = planTraining(seeded, material);
  const division = divide(seeded, material, plan);
  const learned = await learn(lessonsOf(material, division, undefined), {
    ...{ plan, train, backend: 'auto', description: '', folder, refit: true },
  });
  const test = examplesOfPart(material, division, 'test');
  const { classes } = learned.answers({ ...test, inputs: test.inputs.slice() });
  learned.dispose();
  const { accuracy, macroF1 } = metricsOf(test.classes, classes, plan.classes.names.length);
  return { accuracy, macroF1, parts: division.parts! };
}

describeReal('sklearn', 'training with defaults on a small table', () => {
  it.each(['wine', 'iris', 'breast_cancer'])(
    'is as good on unseen rows of %s as scikit-learn’s logistic regression, over 20 splits',
    async (name) => {
      const folder = await temporaryFolder();
      const file = join(folder, `${name}.csv`);
      await writeFile(file, ask('rows', name));
      const ours: (Scores & { parts: string })[] = [];
      for (let seed = 0; seed < 20; seed++) ours.push(await trained(file, folder, seed));
      const theirs = JSON.parse(
        ask('scores', name, JSON.stringify(ours.map(({ parts }) => [...parts]))),
      ) as Scores[];
      for (const figure of ['accuracy', 'macroF1'] as const) {
        const leads = ours.map((own, i) => own[figure] - theirs[i]![figure]);
        const mean = leads.reduce((a, b) => a + b, 0) / leads.length;
        const variance = leads.reduce((sum, lead) => sum + (lead - mean) ** 2, 0) / (leads.length - 1);
        const noise = 2 * Math.sqrt(variance / leads.length);
        const of = (all: Scores[]) =>
          (all.reduce((sum, own) => sum + own[figure], 0) / all.length).toFixed(4);
        const seen = `${name}, ${figure}: ${of(ours)}, scikit-learn ${of(theirs)}, noise ${noise.toFixed(4)}`;
        expect(mean, seen).toBeGreaterThanOrEqual(-noise - 1e-9);
      }
    },
    300_000,
  );
});
