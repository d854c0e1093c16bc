import * as z from 'zod';
import { AiotError } from './errors.js';
import { namePattern } from './names.js';
import { parseCron } from './time.js';

const name = z.string().regex(namePattern, 'letters, digits, dot, dash or underscore, at most 64');
const positive = z.number().positive();

/** Samples: more than a day at 10 Hz, and little enough to be allocated. */
const windowLength = z.int().min(1).max(1_000_000);

/** The name of a class or a recorded label; it is printed, and is a name in files. */
const word = z
  .string()
  .regex(/^[^\p{Cc}]{1,64}$/u, 'expected 1 to 64 characters, none of them a control character');

/** A recorded label. Tables often have numbers there, which YAML reads as numbers. */
const label = z.union([word, z.number().transform(String)]);

const field = z.strictObject({
  type: z.enum(['float', 'int']).default('float'),
  unit: z.string(),
  /** Plausible values, inclusive; what lies outside is a finding of `data check`. */
  range: z.tuple([z.number(), z.number()]).optional(),
});

const stream = z.strictObject({
  /** The stream's name on the wire: `aiot/v1/{device}/telemetry/{topic}`. */
  topic: name,
  format: z.literal('json').default('json'),
  /** The field that names the device, or `topic` when the topic does. */
  device: z.string().default('topic'),
  fields: z.record(
    z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected letters, digits and underscores, no digit first'),
    field,
  ),
});

/** Named feature sets; see the signal room. */
export const featureSetNames = ['raw', 'motion', 'har', 'spectral'] as const;

const signal = z.strictObject({
  /** Samples a second as they arrive, Hz. */
  rate: positive,
  /** Corner of the low-pass filter, Hz; absent = none. */
  lowpass: positive.optional(),
  /** Samples a second after resampling, Hz; absent = as `rate`. */
  resample: positive.optional(),
  /** Samples (after resampling) in one window. */
  window: windowLength,
  /** Samples between the starts of two windows. */
  stride: windowLength,
  features: z.union([z.enum(featureSetNames), z.array(z.string()).min(1)]).default('raw'),
});

/** Class → the recorded labels that count as it. */
const labels = z.record(word, z.array(label).min(1));

const size = z.int().min(1).max(4096);

/** One number, or [over time (height), across (width)]. */
const pair = z.union([size, z.tuple([size, size])]);

const activation = z.enum(['none', 'relu', 'relu6', 'leaky-relu', 'tanh', 'sigmoid']);
const padding = z.enum(['same', 'valid']);

/** One layer of `model.layers`, when they are given one by one. The output layer follows from `model.output`. */
export const layerSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('dense'), units: size, activation: activation.default('relu') }),
  z.strictObject({
    type: z.enum(['conv', 'separable']),
    filters: size,
    kernel: pair.default(3),
    stride: pair.default(1),
    padding: padding.default('same'),
    activation: activation.default('relu'),
  }),
  z.strictObject({
    type: z.literal('depthwise'),
    kernel: pair.default(3),
    stride: pair.default(1),
    padding: padding.default('same'),
    activation: activation.default('relu'),
  }),
  z.strictObject({
    type: z.enum(['max-pool', 'average-pool']),
    size: pair.default(2),
    stride: pair.optional(),
  }),
  z.strictObject({ type: z.literal('global-average') }),
  z.strictObject({ type: z.literal('flatten') }),
  z.strictObject({ type: z.literal('batch-norm') }),
  z.strictObject({ type: z.literal('dropout'), rate: z.number().min(0).lt(1).default(0.2) }),
]);

export type LayerConfig = z.output<typeof layerSchema>;

/** Changes made to raw training windows, anew each epoch; each is a size, 0 = off. */
const augment = z.strictObject({
  /** Degrees: turned about a random axis by up to this much; fields in threes (x, y, z). */
  rotation: z.number().min(0).max(180).default(0),
  /** Share by which time is stretched and squeezed within a window. */
  timeWarp: z.number().min(0).max(0.5).default(0),
  /** Deviation of Gaussian noise, in deviations of the input. */
  noise: z.number().min(0).max(10).optional(),
  /** Share by which the whole window is made larger or smaller. */
  gain: z.number().min(0).max(0.9).default(0),
});

const train = z.strictObject({
  epochs: z.int().min(1).max(10_000).default(50),
  batch: z.int().min(1).max(65_536).default(32),
  seed: z.int().min(0).default(7),
  learningRate: positive.default(0.001),
  /** Networks trained from different beginnings that become one, whose answer is the mean of theirs; dense layers alone. */
  members: z.int().min(1).max(16).default(1),
  /** Samples between the starts of two training windows; absent = signal.stride. Closer ones show more of each recording. */
  stride: windowLength.optional(),
  /** Epochs without a better validation loss after which training ends; absent = all epochs are run. */
  patience: z.int().min(1).optional(),
  /** Whether rare classes count as much as frequent ones. */
  classWeights: z.enum(['balanced', 'none']).default('balanced'),
  augment: augment.prefault({}),
  /** Autoencoder: share of the training examples whose error still counts as normal. */
  quantile: z.number().min(0.5).max(1).default(0.99),
  /** A program that trains instead: it takes rows and leaves a float .tflite; see docs/project.md. */
  command: z.array(z.string().min(1)).min(1).optional(),
});

/** How the float network becomes a smaller one: a mode, or the mode with its choices. */
export const quantizeModes = ['float32', 'float16', 'dynamic', 'int8', 'int16x8'] as const;

const quantizeMode = z.enum(quantizeModes);

const quantize = z
  .union([
    quantizeMode.transform((mode) => ({ mode })),
    z.strictObject({
      mode: quantizeMode.default('int8'),
      /** Type of the network's input and output. */
      io: z.enum(['int8', 'float32']).optional(),
      calibration: z.enum(['auto', 'min-max', 'percentile', 'mse']).optional(),
      biasCorrection: z.boolean().optional(),
      equalize: z.boolean().optional(),
      finetune: z.int().min(1).max(1000).optional(),
      /** Points (hundredths) of accuracy that may be lost. */
      maxLoss: z.number().min(0).max(100).optional(),
    }),
  ])
  .prefault('int8');

const accept = z.strictObject({
  /** Smallest macro-F1 of the int8 model on recordings never trained on, by window. */
  macroF1: z.number().min(0).max(1).optional(),
  /** Smallest share of right answers of the int8 model, by window. */
  accuracy: z.number().min(0).max(1).optional(),
  /** Smallest area under the ROC curve. */
  auc: z.number().min(0).max(1).optional(),
  /** Largest root of the mean squared error of values, and largest mean of their absolute errors, in their own unit. */
  rmse: positive.optional(),
  mae: positive.optional(),
  /** Largest loss of macro-F1 from float to int8, 0..1. */
  drop: z.number().min(0).max(1).optional(),
  /** Largest arena: a number of bytes, or `32KiB`. */
  arena: z
    .union([z.int().positive(), z.string().regex(/^\d+ ?(B|KiB|MiB)$/, 'a size such as 32KiB')])
    .optional(),
  /** Largest .tflite file: bytes, or `60KiB`. */
  bytes: z
    .union([z.int().positive(), z.string().regex(/^\d+ ?(B|KiB|MiB)$/, 'a size such as 60KiB')])
    .optional(),
  /** Most multiply-adds of one inference. */
  macs: z.int().positive().optional(),
  /** Limit for `data drift` and pipelines: any drift (`none`), or a PSI of a feature above this. */
  drift: z.union([z.literal('none'), positive]).optional(),
});

/** Rows that are trained on when no --data is given. */
const table = z.strictObject({
  /** CSV file, from the project's folder. */
  file: z.string().min(1),
  /** Column of the classes, or of the value. */
  label: z.string().min(1).default('label'),
  /** Columns that are inputs; absent = all others. */
  inputs: z.array(z.string().min(1)).min(1).optional(),
  /** Names of the columns of a file that has no header. */
  columns: z.array(z.string().min(1)).min(1).optional(),
});

const model = z.strictObject({
  name: name.optional(),
  table: table.optional(),
  kind: z.enum(['mlp', 'cnn1d', 'ds-cnn', 'autoencoder', 'layers']).default('mlp'),
  /** Units of the hidden layers (mlp, autoencoder), filters of the convolutions (cnn1d, ds-cnn), or layers one by one. */
  layers: z.union([z.array(size).min(1).max(16), z.array(layerSchema).min(1).max(64)]).optional(),
  /** Kind of its output; an autoencoder's is always its reconstruction error. */
  output: z.enum(['classes', 'probability', 'value']).default('classes'),
  /** Empty where no classes are wanted (value, autoencoder), or where a table's own labels are the classes. */
  labels: labels.default({}),
  split: z.enum(['recording', 'device', 'time', 'window']).default('recording'),
  train: train.prefault({}),
  quantize,
  vote: z
    .union([z.literal('none'), z.string().regex(/^majority:[1-9]\d?$/, '"none" or "majority:N"')])
    .default('none'),
  accept: accept.prefault({}),
});

/** A topic's filter of MQTT: `+` and `#` are whole levels, `#` the last. */
const filter = z
  .string()
  .regex(/^(?:(?:\+|[^+#/\0]*)\/)*(?:[+#]|[^+#/\0]*)$/, 'expected a filter such as iotkit/#')
  .min(1);

/** Services that `aiot up --project` starts beside the platform. */
const up = z.strictObject({
  /** A listener for boards that know no TLS. */
  boards: z
    .strictObject({
      port: z.int().min(0).max(65_535).default(1883),
      /** Address to listen on; absent = as `aiot up --host` says. */
      host: z.string().min(1).optional(),
      /** Nobody's is checked: to be written, because whoever reaches the port is let in. */
      password: z.literal('any', { error: 'expected the word any: passwords of boards are not checked' }),
      /** Topics that boards may publish on, and subscribe to. */
      publish: z.array(filter).min(1),
      subscribe: z.array(filter).default([]),
    })
    .optional(),
  /** The file of routes, from the project's folder. */
  routes: z.string().min(1).optional(),
  /** Values for the routes' ${NAMES}; the environment and --set come before. */
  set: z
    .record(
      z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected letters, digits and underscores, no digit first'),
      z.union([z.string(), z.number().transform(String)]),
    )
    .default({}),
});

/** How samples become answers where the sensor is: `aiot loop run`. Its flags say it first. */
const loop = z.strictObject({
  /** Where samples come from. */
  sensor: z.string().min(1).optional(),
  /** Where answers go. */
  out: z.array(z.string().min(1)).default([]),
  /** Answers are sent when the vote changes, or always. */
  send: z.enum(['change', 'always']).default('change'),
  /** Instead of `model.vote`. */
  vote: z
    .string()
    .regex(/^(none|majority:[1-9]\d?|hysteresis(:0?\.\d+)?)$/, '"none", "majority:N" or "hysteresis:SHARE"')
    .optional(),
  /** A vote stands at least so long, such as 5s. */
  hold: z.string().min(1).optional(),
  /** Pictures instead of samples: what is done with each. */
  through: z.enum(['faces']).optional(),
  /** Most bytes on disk of answers that wait for their far side: `64MiB`. */
  spool: z
    .string()
    .regex(/^\d+ ?(B|KiB|MiB)$/, 'a size such as 64MiB')
    .default('64MiB'),
});

/** Firmware of the project's own: `aiot firmware init`. */
const firmware = z.strictObject({
  /** Version that a device reports until an update sets another. */
  version: z
    .string()
    .regex(/^[0-9A-Za-z][0-9A-Za-z.+-]{0,31}$/, 'expected a version such as 0.1.0, at most 32 characters')
    .default('0.1.0'),
  /** Type of device that it is released for; absent = the chip's name. */
  type: name.optional(),
  /** Sensor at the board; absent = the first that gives the stream's fields at its rate. */
  sensor: z.enum(['guide', 'mpu6050', 'lsm6ds3trc', 'ds18b20', 'acs712', 'inmp441']).optional(),
  /** The current clamp's turns and its burden, ohms: `aiot firmware burden`. */
  clamp: z.strictObject({ turns: positive, burden: positive }).optional(),
  /** Whether a servo follows the model's value; absent = with the guide's sensors. */
  servo: z.boolean().optional(),
});

/** Names of steps and of their outputs: they become names of folders, and of templates on a cluster. */
const stepName = z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'expected lower case letters, digits and dashes');

/** In the folder that a step runs in. */
const inside = z
  .string()
  .regex(
    /^(?!\/)(?!(?:.*\/)?\.\.?(?:\/|$))[^\\\p{Cc}]{1,200}$/u,
    'expected a path in the folder of the step',
  );

const span = z.string().regex(/^\d+(\.\d+)?\s*(ms|s|m|h|d)$/, 'expected a time such as 500ms, 30s, 5m or 2h');

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
  /** Meaning of its exit code 6, in a few words. */
  gate: z.string().min(1).max(80).optional(),
  /** For a default step, flags of its command; for one of the project's own, values for `run`. */
  params: z.record(stepName, z.union([z.string(), z.number(), z.boolean()])).optional(),
  /** Whether it talks to the platform. */
  platform: z.boolean().optional(),
});

const stepsInOrder = z.array(z.union([stepName, step.extend({ name: stepName })])).min(1);
const stepsByName = z.record(stepName, z.union([step, z.literal(false)]));

/** Changes of the default steps and further ones, by name; or a list, which is all there is. A problem keeps its place. */
const stepsField = z.unknown().transform((value, context) => {
  const listed = Array.isArray(value);
  const read = listed ? stepsInOrder.safeParse(value) : stepsByName.safeParse(named(value));
  // As it was given, so that what was read can be read again.
  if (read.success) return read.data as StepsConfig;
  for (const issue of read.error.issues) {
    // A union's issue lists its options one by one; the fields of a step are of interest, and not that it may be false.
    const inner = issue.code === 'invalid_union' ? issue.errors.find((each) => each.some(isDeep)) : undefined;
    const found = inner ? inner.map((each) => ({ ...each, path: [...issue.path, ...each.path] })) : [issue];
    context.issues.push(...found.map((each) => ({ ...each, input: value }) as never));
  }
  return z.NEVER;
});

const endpoint = z
  .string()
  .regex(/^[a-z][a-z0-9+]*:\/\/\S+$/, 'expected a URL such as mqtt://HOST:1883/TOPIC');

/** Triggers of a run while `aiot pipeline watch` is active. */
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

/** The steps from data to devices, and what starts them: `aiot pipeline`. */
const pipelineSchema = z.strictObject({
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

/** A project of tables of rows alone needs no stream and no signal: a row is one sample and one window. */
export const projectSchema = z.strictObject({
  name,
  up: up.optional(),
  stream: stream.default({ topic: 'rows', format: 'json', device: 'topic', fields: {} }),
  signal: signal.default({ rate: 1, window: 1, stride: 1, features: 'raw' }),
  model: model.prefault({}),
  loop: loop.prefault({}),
  pipeline: pipelineSchema.prefault({}),
  firmware: firmware.optional(),
});

/** aiot.yaml, checked and with defaults filled in. */
export type ProjectConfig = z.output<typeof projectSchema>;

export type StepConfig = z.output<typeof step>;

/** By name, or in order. */
export type StepsConfig = z.output<typeof stepsByName> | z.output<typeof stepsInOrder>;

function isDeep({ path, code }: { path: PropertyKey[]; code: string }): boolean {
  return path.length > 0 || code === 'unrecognized_keys';
}

/** `train:` with nothing after it changes nothing. */
function named(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, each ?? {}]));
}

function checkCron(pattern: string, context: z.RefinementCtx): void {
  try {
    parseCron(pattern);
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    context.addIssue({ code: 'custom', message: error.message.replace(/; got .*$/, '') });
  }
}

export type TriggerConfig = z.output<typeof triggers>;

export type PipelineConfig = z.output<typeof pipelineSchema>;

type JsonSchema = z.core.JSONSchema.BaseSchema;

/**
 * aiot.yaml as editors check it, JSON Schema draft 7: each field alone. What several fields say together (`crossChecks`) is not in it.
 */
export function projectJsonSchema(): JsonSchema {
  return z.toJSONSchema(projectSchema, {
    io: 'input',
    target: 'draft-7',
    override: ({ zodSchema, jsonSchema }) => {
      // Zod's own word, which JSON Schema does not know; the pattern beside it says the same.
      if ((jsonSchema.format as string) === 'starts_with') delete jsonSchema.format;
      // Told by a transformation, of which a schema says nothing.
      if ((zodSchema as unknown) === stepsField) jsonSchema.anyOf = [byName(), inner(stepsInOrder)];
    },
  }) as JsonSchema;
}

/** `train:` with nothing after it is a step as it is. */
function byName(): JsonSchema {
  const schema = inner(stepsByName);
  return {
    ...schema,
    additionalProperties: { anyOf: [schema.additionalProperties, { type: 'null' }] } as JsonSchema,
  };
}

function inner(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', target: 'draft-7' }) as JsonSchema;
  return rest;
}
