import { z } from 'zod';
import { parseCron } from '../cron.js';
import { AiotError } from '../errors/index.js';

/** Of steps, and of what they leave: they are names of folders, and of templates on a cluster. */
const stepName = z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'expected lower case letters, digits and dashes');
const span = z.string().regex(/^\d+(\.\d+)?\s*(ms|s|m|h|d)$/, 'expected a time such as 500ms, 30s, 5m or 2h');
/** In the folder that a step runs in. */
const inside = z
  .string()
  .regex(
    /^(?!\/)(?!(?:.*\/)?\.\.?(?:\/|$))[^\\\p{Cc}]{1,200}$/u,
    'expected a path in the folder of the step',
  );

/** A step: one of the default pipeline's with other settings, or a program of the user's own. */
const step = z.strictObject({
  /** A program with its arguments, run in a folder of its own; `${name}` stands for a value of `params`. */
  run: z.array(z.string().min(1)).min(1).optional(),
  /** Path in the step's folder → `STEP.OUTPUT`, or a file or folder of the project. */
  in: z.record(inside, z.string().min(1)).optional(),
  /** Name → the file or folder that the step leaves in its folder. */
  out: z.record(stepName, inside).optional(),
  /** Name of an output → where in the project it is put when all went well. */
  publish: z.record(stepName, inside).optional(),
  /** Steps that have to be done before, besides those whose outputs are taken. */
  needs: z.array(stepName).optional(),
  /** Condition on results of steps before, such as `drift.drifted = true`. */
  when: z.string().min(1).optional(),
  /** How often a failure is tried again. */
  retries: z.int().min(0).max(20).optional(),
  /** Before the first further try; twice as long before each one after it. */
  wait: span.optional(),
  timeout: span.optional(),
  /** False: it is run each time. */
  cache: z.boolean().optional(),
  /** What exit code 6 of it means, in a few words. */
  gate: z.string().min(1).max(80).optional(),
  /** Of a default step: flags of its command. Of an own one: values for `run`. */
  params: z.record(stepName, z.union([z.string(), z.number(), z.boolean()])).optional(),
  /** Whether it talks to the platform. */
  platform: z.boolean().optional(),
});
export const stepsByName = z.record(stepName, z.union([step, z.literal(false)]));
export const stepsInOrder = z.array(z.union([stepName, step.extend({ name: stepName })])).min(1);
export type StepConfig = z.output<typeof step>;

/** By name, or in order. */
export type StepsConfig = z.output<typeof stepsByName> | z.output<typeof stepsInOrder>;

/** Changes of the default steps and further ones, by name; or a list, which is all there is. A problem keeps its place. */
export const stepsField = z.unknown().transform((value, context) => {
  const listed = Array.isArray(value);
  const read = listed ? stepsInOrder.safeParse(value) : stepsByName.safeParse(named(value));
  // As it was given, so that what was read can be read again.
  if (read.success) return read.data as StepsConfig;
  for (const issue of read.error.issues) {
    // Of a union the options are told one by one; what a step may say is of interest, and not that it may be false.
    const inner = issue.code === 'invalid_union' ? issue.errors.find((each) => each.some(isDeep)) : undefined;
    const found = inner ? inner.map((each) => ({ ...each, path: [...issue.path, ...each.path] })) : [issue];
    context.issues.push(...found.map((each) => ({ ...each, input: value }) as never));
  }
  return z.NEVER;
});

function isDeep({ path, code }: { path: PropertyKey[]; code: string }): boolean {
  return path.length > 0 || code === 'unrecognized_keys';
}

/** `train:` with nothing after it changes nothing. */
function named(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, each ?? {}]));
}

const endpoint = z
  .string()
  .regex(/^[a-z][a-z0-9+]*:\/\/\S+$/, 'expected a URL such as mqtt://HOST:1883/TOPIC');

function checkCron(pattern: string, context: z.RefinementCtx): void {
  try {
    parseCron(pattern);
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    context.addIssue({ code: 'custom', message: error.message.replace(/; got .*$/, '') });
  }
}

/** What starts a run of its own while `aiot pipeline watch` looks on. */
const triggers = z.strictObject({
  /** So many new rows or samples. */
  rows: z.int().positive().optional(),
  every: span.optional(),
  /** The data is compared with what the last model was trained on. */
  drift: z
    .strictObject({
      /** A PSI of any feature from which on a run is started. */
      above: z.number().positive().default(0.25),
      every: span.default('10m'),
    })
    .optional(),
  /** In the time zone of this machine. */
  cron: z.string().superRefine(checkCron).optional(),
  /** `extract-data` and `train-model` come there, `download-model` is answered; MQTT or Kafka. */
  control: endpoint.optional(),
  webhook: z
    .strictObject({
      port: z.int().min(0).max(65_535).default(8787),
      host: z.string().min(1).default('127.0.0.1'),
      path: z.string().startsWith('/').default('/'),
    })
    .optional(),
});
export type TriggerConfig = z.output<typeof triggers>;

/** The steps from data to devices, and what starts them: `aiot pipeline`. */
export const pipelineSchema = z.strictObject({
  steps: stepsField.optional(),
  on: triggers.prefault({}),
  /** Steps at a time; absent = one for each core. */
  jobs: z.int().min(1).max(256).optional(),
  /** Which devices the step rollout is for. */
  selector: z.string().min(1).default('all'),
  keep: z
    .strictObject({
      /** Runs in the history. */
      runs: z.int().min(1).max(10_000).default(50),
      /** Bytes of outputs in the cache. */
      cache: z
        .string()
        .regex(/^\d+ ?(B|KiB|MiB|GiB)$/, 'a size such as 2GiB')
        .default('2GiB'),
    })
    .prefault({}),
});
export type PipelineConfig = z.output<typeof pipelineSchema>;
