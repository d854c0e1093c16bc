import { expect, it } from 'vitest';
import { loadProject } from '../../src/lib/core/project.js';
import { planPipeline } from '../../src/lib/pipeline/plan/plan.js';
import { projectOf, tidyProjects } from './project.js';

tidyProjects();

async function planOf(pipeline: string, files: Record<string, string> = {}) {
  const dir = await projectOf({ 'aiot.yaml': `name: mill\n${pipeline}`, ...files });
  return planPipeline(await loadProject(dir), { kind: null });
}

it('a plan has seven default steps, each with a command and the settings that it uses', async () => {
  const { steps } = await planOf(
    'stream: { topic: t, fields: { x: { unit: g } } }\nmodel: { accept: { macroF1: 0.9 } }',
  );
  expect(steps.map(({ name }) => name)).toEqual([
    'extract',
    'drift',
    'train',
    'quantize',
    'evaluate',
    'push',
    'rollout',
  ]);
  const train = steps.find(({ name }) => name === 'train');
  expect(train?.command).toEqual(['aiot', 'model', 'train', '--project', '.', '--json']);
  expect(train?.needs).toEqual(['extract', 'drift']);
  const settings = train?.inputs.find(({ name }) => name === 'aiot.yaml')?.from;
  // A limit of the evaluation does not affect training.
  expect(settings).toEqual({
    kind: 'settings',
    text: expect.not.stringContaining('macroF1'),
  });
  const evaluate = steps.find(({ name }) => name === 'evaluate')?.inputs[0]?.from;
  expect(evaluate).toEqual({ kind: 'settings', text: expect.stringContaining('macroF1') });
});

it('a plan can change default steps, omit some and insert others', async () => {
  const { steps } = await planOf(
    `pipeline:
  steps:
    drift: false
    train: { retries: 1, timeout: 10m, params: { epochs: 3 } }
    score: { run: [node, ./score.mjs, network], in: { network: quantize.network }, when: evaluate.int8.accuracy > 0.5 }
    push: { needs: [score] }
`,
    { 'score.mjs': '' },
  );
  expect(steps.map(({ name }) => name)).toEqual([
    'extract',
    'train',
    'quantize',
    'evaluate',
    'score',
    'push',
    'rollout',
  ]);
  const by = new Map(steps.map((step) => [step.name, step]));
  expect(by.get('train')).toMatchObject({ retries: 1, timeoutMs: 600_000, needs: ['extract'] });
  expect(by.get('train')?.command.slice(-2)).toEqual(['--epochs', '3']);
  expect(by.get('score')?.needs).toEqual(['quantize', 'evaluate']);
  expect(by.get('score')?.inputs.map(({ name }) => name)).toEqual(['network', 'score.mjs']);
  expect(by.get('push')?.needs).toContain('score');
});

const wrong: [what: string, yaml: string, told: RegExp][] = [
  [
    'a cycle',
    'pipeline: { steps: { a: { run: [x], needs: [b] }, b: { run: [x], needs: [a] } } }',
    /aiot\.yaml:2:\d+: pipeline\.steps\.\w\.needs: circular dependency: (a → b → a|b → a → b)/,
  ],
  [
    'an unknown required step',
    'pipeline:\n  steps:\n    a:\n      run: [x]\n      needs: [trian]',
    /aiot\.yaml:6:15: pipeline\.steps\.a\.needs\.0: expected a step \(.*train.*\); got trian/,
  ],
  [
    'an unknown output',
    'pipeline:\n  steps:\n    a:\n      run: [x]\n      in: { f: train.weights }',
    /aiot\.yaml:6:13: pipeline\.steps\.a\.in\.f: step train has no output weights, only network, training, runs, result/,
  ],
  [
    'two steps that write the same file',
    'pipeline: { steps: { a: { run: [x], out: { o: o }, publish: { o: build/model.aiot } } } }',
    /pipeline\.steps\.a\.publish\.o: build\/model\.aiot is already an output of step push/,
  ],
  [
    'an unknown field',
    'pipeline:\n  steps:\n    train: { retry: 3 }',
    /aiot\.yaml:4:14: pipeline\.steps\.train\.retry: unknown field/,
  ],
  [
    'an unknown field of a list',
    'pipeline:\n  steps:\n    - { name: a, run: [x], retry: 3 }',
    /aiot\.yaml:4:\d+: pipeline\.steps\.0\.retry: unknown field/,
  ],
  [
    'a step without a program',
    'pipeline: { steps: { mine: {} } }',
    /pipeline\.steps\.mine: expected run: \[PROGRAM, …\]/,
  ],
  [
    'a program for a built-in step',
    'pipeline: { steps: { train: { run: [x] } } }',
    /pipeline\.steps\.train\.run: the built-in step train does not accept run/,
  ],
  [
    'an invalid condition',
    'pipeline: { steps: { push: { when: maybe } } }',
    /pipeline\.steps\.push\.when: expected STEP\.FIELD/,
  ],
  [
    'a path outside the folder',
    'pipeline: { steps: { a: { run: [x], out: { o: ../o } } } }',
    /pipeline\.steps\.a\.out\.o: expected a path within the step's folder/,
  ],
  [
    'an output of an omitted step',
    'pipeline: { steps: { train: false } }',
    /pipeline\.steps\.quantize: quantize needs the output of train, which is left out/,
  ],
];

it.each(wrong)('a plan is rejected with the location of the error: %s', async (_what, yaml, told) => {
  await expect(planOf(yaml)).rejects.toMatchObject({
    code: 'AIOT_PROJECT_INVALID',
    message: expect.stringMatching(told),
  });
});
