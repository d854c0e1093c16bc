import { isAbsolute } from 'node:path';
import type { StoredData } from '../../api/stored.js';
import type { ContextKind } from '../../core/contexts.js';
import { needsLabels, type Project } from '../../core/project.js';
import type { InputFrom, PipelineStep, StepInput, StepOutput } from './types.js';

/** The default steps from data to devices, in order. */
export const defaultStepNames = [
  'extract',
  'drift',
  'train',
  'quantize',
  'evaluate',
  'push',
  'rollout',
] as const;

const minuteMs = 60_000;

/**
 * Only a pipeline run stores its training data. For `aiot model push`, stored data would be unreliable, because the project's data may have
 * changed since training.
 */
const noReference =
  'no training data to compare with: a pipeline run that pushes a model stores its data, and the next run compares against it';

/** File to which `model push` writes the control message for the guide's boards. */
const controlMessageFile = 'build/download-model.json';

const data: Reads = {
  only: ['name', 'stream', 'signal', 'model.labels', 'model.table', 'model.kind', 'model.output'],
};

const model: Reads = { only: ['name', 'stream', 'signal', 'model'] };
const without = (...names: string[]): Reads => ({ ...model, without: names.map((name) => `model.${name}`) });

/** The source of data and the destination of models. */
export interface Surroundings {
  /** The current context's kind; null = no context, so the project uses its own platform. */
  kind: ContextKind | null;
}

/**
 * The default pipeline of a project. Each step is an ordinary command that runs in a folder with the structure of a project: aiot.yaml,
 * data, and build/ with the outputs of earlier steps.
 * @param given values of aiot.yaml before defaults are applied
 */
export function defaultSteps(project: Project, given: unknown, { kind }: Surroundings): PipelineStep[] {
  const { table, quantize } = project.config.model;
  const own = table?.file;
  // In a step's folder, the rows have the same path as in the project. A file from outside the project becomes rows.csv.
  const rows = own === undefined ? undefined : isInside(own) ? own : 'rows.csv';
  const dataName = rows ?? 'data';
  const at = ['--project', '.', ...(rows === undefined || rows === own ? [] : ['--data', rows]), '--json'];
  const settings = (reads: Reads): StepInput => ({
    name: 'aiot.yaml',
    from: { kind: 'settings', text: settingsText(given, reads) },
  });
  const stored = storedFor(project, kind);
  const extracted: StepInput = { name: dataName, from: output('extract', 'data') };
  const network = `build/model.${quantize.mode}.tflite`;
  const control: StepOutput[] =
    kind === 'architects-guide' ? [{ name: 'message', path: controlMessageFile }] : [];
  const trained = [
    { name: 'build/model.float.tflite', from: output('train', 'network') },
    { name: 'build/training.json', from: output('train', 'training') },
  ];
  const quantized = [
    ...trained,
    { name: network, from: output('quantize', 'network') },
    { name: 'build/quantization.json', from: output('quantize', 'quantization') },
  ];
  const extractOut = rows === undefined ? 'extracted' : 'extracted.csv';
  return [
    step('extract', 'Extract the data from the platform or the project', {
      command: [
        ...['aiot', 'data', 'extract', '--project', '.', '--from', stored ? 'auto' : 'project'],
        ...['--out', extractOut, ...(rows === undefined || rows === own ? [] : ['--data', rows]), '--json'],
      ],
      inputs: [
        settings(data),
        { name: dataName, from: { kind: 'path', path: own ?? 'data', optional: stored !== null } },
      ],
      outputs: [{ name: 'data', path: extractOut }],
      platform: stored !== null,
      stored,
    }),
    step('drift', "Compare the data with the last model's training data", {
      command: [
        ...['aiot', 'data', 'drift', `base${suffix(rows)}`, `now${suffix(rows)}`],
        ...['--project', '.', '--json'],
      ],
      inputs: [
        settings({ only: ['name', 'stream', 'model.table', 'model.accept.drift'] }),
        {
          name: `base${suffix(rows)}`,
          from: {
            kind: 'kept',
            name: 'reference',
            missing: noReference,
          },
        },
        { name: `now${suffix(rows)}`, from: output('extract', 'data') },
      ],
      alike: [`base${suffix(rows)}`, `now${suffix(rows)}`],
      needs: ['extract'],
      gate: 'model.accept.drift',
    }),
    step('train', 'Train the float model', {
      command: ['aiot', 'model', 'train', ...at],
      inputs: [settings(without('accept', 'vote', 'quantize')), extracted],
      outputs: [
        { name: 'network', path: 'build/model.float.tflite', publish: 'build/model.float.tflite' },
        { name: 'training', path: 'build/training.json', publish: 'build/training.json' },
        { name: 'runs', path: 'build/runs' },
      ],
      needs: ['extract', 'drift'],
      gate: 'leaks between the parts of the split',
    }),
    step('quantize', 'Quantize it', {
      command: ['aiot', 'model', 'quantize', ...at],
      inputs: [settings(without('accept', 'vote')), extracted, ...trained],
      outputs: [
        { name: 'network', path: network, publish: network },
        { name: 'quantization', path: 'build/quantization.json', publish: 'build/quantization.json' },
      ],
      needs: ['extract', 'train'],
    }),
    step('evaluate', 'Evaluate the model on held-out data', {
      command: ['aiot', 'model', 'evaluate', ...at],
      inputs: [settings(model), extracted, ...quantized],
      outputs: [{ name: 'evaluation', path: 'build/evaluation.json', publish: 'build/evaluation.json' }],
      needs: ['extract', 'train', 'quantize'],
      gate: 'accuracy, loss by quantization, arena',
    }),
    step('push', 'Bundle, sign and push the model', {
      command: ['aiot', 'model', 'push', ...at],
      inputs: [
        settings(model),
        extracted,
        ...quantized,
        { name: 'build/evaluation.json', from: output('evaluate', 'evaluation') },
        { name: 'build/runs', from: output('train', 'runs') },
      ],
      outputs: [{ name: 'bundle', path: 'build/model.aiot', publish: 'build/model.aiot' }, ...control],
      needs: ['extract', 'train', 'quantize', 'evaluate'],
      platform: true,
      keeps: [{ name: 'reference', step: 'extract', output: 'data' }],
      retries: 2,
      gate: 'the limits of model.accept',
    }),
    kind === 'architects-guide' ? toldStep(project) : rolloutStep(project),
  ];
}

function rolloutStep({ config }: Project): PipelineStep {
  const what = ['--model', './pushed.json', '--selector', config.pipeline.selector];
  return step('rollout', 'Roll out the model to the devices', {
    command: ['aiot', 'rollout', 'start', ...what, '--if-any', '--json'],
    inputs: [{ name: 'pushed.json', from: output('push', 'result') }],
    needs: ['push'],
    platform: true,
    retries: 2,
  });
}

/**
 * Notifies the guide's boards, which then install the model. A board that is offline misses the notification, so each run repeats it.
 */
function toldStep({ config }: Project): PipelineStep {
  const { control } = config.pipeline.on;
  return step('rollout', 'Notify the boards of the new model', {
    command: ['aiot', 'stream', 'publish', control ?? '', '--file', controlMessageFile, '--json'],
    inputs: [{ name: controlMessageFile, from: output('push', 'message') }],
    needs: ['push'],
    idle: control === undefined ? 'pipeline.on.control does not set how to notify boards' : null,
    cache: false,
    retries: 2,
  });
}

/** Data that a platform may have for a project: recordings, or rows for a project with model.table. */
function storedFor({ config }: Project, kind: ContextKind | null): StoredData | null {
  const rows = config.model.table !== undefined;
  const has = kind === 'platform' ? !rows : kind === 'architects-guide' && rows;
  return has ? { stream: config.stream.topic, labelled: needsLabels(config) } : null;
}

function output(step: string, name: string): InputFrom {
  return { kind: 'output', step, output: name };
}

function suffix(rows: string | undefined): string {
  return rows === undefined ? '' : '.csv';
}

function isInside(path: string): boolean {
  return !isAbsolute(path) && !path.split(/[/\\]/).includes('..');
}

type Given = Pick<PipelineStep, 'command'> & Partial<PipelineStep> & { outputs?: StepOutput[] };

/** A step, with defaults for all properties that are not given. */
export function step(name: string, about: string, given: Given): PipelineStep {
  return {
    name,
    about,
    inputs: [],
    outputs: [],
    needs: [],
    when: [],
    retries: 0,
    waitMs: 1000,
    timeoutMs: 60 * minuteMs,
    gate: null,
    cache: true,
    platform: false,
    stored: null,
    idle: null,
    alike: null,
    keeps: [],
    ...given,
  };
}

/** Selection of fields of aiot.yaml, by their paths. */
interface Reads {
  /** Fields that a step reads. */
  only: string[];
  /** Fields within those of `only` that the step does not read. */
  without?: string[];
}

/**
 * Returns some of the fields in aiot.yaml with their values as written, in JSON, which is also YAML. The text does not depend on other
 * fields or on the formatting of the file.
 */
function settingsText(given: unknown, { only, without = [] }: Reads): string {
  const picked: Record<string, unknown> = {};
  for (const path of only) {
    const value = valueAt(given, path.split('.'));
    if (value !== undefined) put(picked, path.split('.'), structuredClone(value));
  }
  for (const path of without) drop(picked, path.split('.'));
  return `${JSON.stringify(picked, null, 2)}\n`;
}

function valueAt(value: unknown, path: string[]): unknown {
  return path.reduce<unknown>(
    (found, key) =>
      found !== null && typeof found === 'object' ? (found as Record<string, unknown>)[key] : undefined,
    value,
  );
}

function put(target: Record<string, unknown>, path: string[], value: unknown): void {
  const [key = '', ...rest] = path;
  if (rest.length === 0) target[key] = value;
  else {
    target[key] ??= {};
    put(target[key] as Record<string, unknown>, rest, value);
  }
}

function drop(target: Record<string, unknown>, path: string[]): void {
  const [key = '', ...rest] = path;
  if (rest.length === 0) delete target[key];
  else if (target[key] !== null && typeof target[key] === 'object')
    drop(target[key] as Record<string, unknown>, rest);
}
