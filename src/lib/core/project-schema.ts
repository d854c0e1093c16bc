import * as z from 'zod';
import { AiotError } from './errors.js';
import { namePattern } from './names.js';
import { parseCron } from './time.js';

const name = z.string().regex(namePattern, 'letters, digits, dot, dash or underscore, at most 64');
const positive = z.number().positive();

/** Number of samples. The limit exceeds a day at 10 Hz, and is still small enough to be allocated. */
const windowLength = z.int().min(1).max(1_000_000);

/** The name of a class or a recorded label; it is printed and used in file names. */
const word = z.string().regex(/^[^\p{Cc}]{1,64}$/u, 'expected 1 to 64 characters without control characters');

/** A recorded label. In tables, it is often a number, which YAML also parses as a number. */
const label = z.union([word, z.number().transform(String)]);

const field = z.strictObject({
  type: z.enum(['float', 'int']).default('float'),
  unit: z.string(),
  /** Plausible values, inclusive; `data check` reports values outside. */
  range: z.tuple([z.number(), z.number()]).optional(),
});

const stream = z.strictObject({
  /** The stream's name in its MQTT topic: `aiot/v1/{device}/telemetry/{topic}`. */
  topic: name,
  format: z.literal('json').default('json'),
  /** Name of the field that contains the device's name, or `topic` if the MQTT topic contains it. */
  device: z.string().default('topic'),
  fields: z.record(
    z
      .string()
      .regex(
        /^[A-Za-z_][A-Za-z0-9_]*$/,
        'expected letters, digits and underscores, not starting with a digit',
      ),
    field,
  ),
});

/** Names of feature sets; see the signal module. */
export const featureSetNames = [
  'raw',
  'motion',
  'har',
  'spectral',
  'logmel',
  'mfcc',
  'microfrontend',
  'image',
] as const;

/** Feature sets for sound, which divide a window into frames. */
export const soundSetNames = ['logmel', 'mfcc', 'microfrontend'] as const;
export type SoundSetName = (typeof soundSetNames)[number];

export function isSoundSet(features: unknown): features is SoundSetName {
  return soundSetNames.some((name) => name === features);
}

/** Frames, bands and coefficients of the sets `logmel`, `mfcc` and `microfrontend`. */
const mel = z.strictObject({
  /** Number of samples in one frame, after resampling; absent = 30 ms. */
  frame: z.int().min(2).max(16_384).optional(),
  /** Number of samples between the starts of two frames; absent = 20 ms. */
  hop: z.int().min(1).max(16_384).optional(),
  /** Length of the Fourier transform; absent = the smallest power of two that is at least as long as the frame. */
  fft: z.int().min(2).max(16_384).optional(),
  /** Number of mel bands; absent = 40. */
  bands: z.int().min(1).max(256).optional(),
  /** Lowest frequency, Hz; absent = 20, or 125 for `microfrontend`. */
  low: z.number().min(0).optional(),
  /** Highest frequency, Hz; absent = half the rate after resampling, or at most 7500 for `microfrontend`. */
  high: positive.optional(),
  /** mfcc: number of coefficients; absent = 13. */
  coefficients: z.int().min(1).max(256).optional(),
  /** microfrontend: whether its noise estimate restarts in each window, or continues from window to window; absent = window. */
  state: z.enum(['window', 'stream']).optional(),
});

/** Lengths of a frame and of a hop in samples, including defaults, at this rate after resampling. */
export function framesOf(
  settings: z.output<typeof mel> | undefined,
  rateHz: number,
): { frame: number; hop: number } {
  const { frame = Math.max(2, Math.round(0.03 * rateHz)), hop = Math.max(1, Math.round(0.02 * rateHz)) } =
    settings ?? {};
  return { frame, hop };
}

/** Longest side of a model's picture, in pixels. */
const side = z.int().min(8).max(512);

/** The pictures of the set `image`: one field is shades of gray, three fields are red, green and blue. */
const image = z.strictObject({
  /** Size of the model's picture, in pixels. */
  width: side,
  height: side,
  /** How a picture of other proportions is fitted: its center is cropped, it is stretched, or it gets black bars. */
  fit: z.enum(['crop', 'stretch', 'pad']).default('crop'),
  /** Standardization of the pixels: by the mean and standard deviation of the training pictures, or from 0…255 to −1…1. */
  normalize: z.enum(['dataset', 'range']).default('dataset'),
});

const signal = z.strictObject({
  /** Rate of arriving samples, Hz. */
  rate: positive,
  /** Corner frequency of the low-pass filter, Hz; absent = no filter. */
  lowpass: positive.optional(),
  /** Rate after resampling, Hz; absent = the same as `rate`. */
  resample: positive.optional(),
  /** Number of samples in one window, after resampling. */
  window: windowLength,
  /** Number of samples between the starts of two windows. */
  stride: windowLength,
  features: z.union([z.enum(featureSetNames), z.array(z.string()).min(1)]).default('raw'),
  mel: mel.optional(),
  image: image.optional(),
});

/** Classes, each with the recorded labels that count as this class. */
const labels = z.record(word, z.array(label).min(1));

const size = z.int().min(1).max(4096);

/** A size for both dimensions, or [over time (height), across (width)]. */
const pair = z.union([size, z.tuple([size, size])]);

const activation = z.enum(['none', 'relu', 'relu6', 'leaky-relu', 'tanh', 'sigmoid']);
const padding = z.enum(['same', 'valid']);

/** One layer of `model.layers`, if the layers are listed individually. The output layer follows from `model.output`. */
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
  z.strictObject({
    type: z.literal('inverted-residual'),
    filters: size,
    stride: pair.default(1),
    expansion: z.int().min(1).max(16).default(6),
  }),
  z.strictObject({ type: z.literal('global-average') }),
  z.strictObject({ type: z.literal('flatten') }),
  z.strictObject({ type: z.literal('batch-norm') }),
  z.strictObject({ type: z.literal('dropout'), rate: z.number().min(0).lt(1).default(0.2) }),
]);

export type LayerConfig = z.output<typeof layerSchema>;

/** Altered copies of sound recordings for training. Each copy is drawn once, from the seed. */
const soundAugment = z.strictObject({
  /** Number of copies of each recording. */
  copies: z.int().min(1).max(50).default(2),
  /** Lowest and highest signal-to-noise ratio of generated noise, dB; absent = no noise. */
  snr: z
    .tuple([z.number().min(-20).max(100), z.number().min(-20).max(100)])
    .refine(([low, high]) => low <= high, 'expected the lower ratio first')
    .optional(),
  /** Maximum time by which the sound is shifted, s. */
  shift: z.number().min(0).max(60).default(0),
  /** Maximum share by which the sound is played faster or slower, which also changes its pitch. */
  speed: z.number().min(0).max(0.5).default(0),
  /** Maximum reverberation time (60 dB) of a simulated room, s. */
  reverb: z.number().min(0).max(3).default(0),
});

export type SoundAugmentConfig = z.output<typeof soundAugment>;

/** Augmentations of raw training windows and of pictures, redrawn in each epoch. Each value sets a strength; 0 = off. */
const augment = z.strictObject({
  /**
   * Maximum rotation, degrees. Groups of three fields (x, y, z) are rotated about a random axis, pictures about their center.
   */
  rotation: z.number().min(0).max(180).default(0),
  /** Maximum share by which time is stretched or compressed within a window. */
  timeWarp: z.number().min(0).max(0.5).default(0),
  /** Standard deviation of Gaussian noise, in standard deviations of the input. */
  noise: z.number().min(0).max(10).optional(),
  /** Maximum share by which the whole window is scaled up or down; for a picture, its contrast. */
  gain: z.number().min(0).max(0.9).default(0),
  /** Directions in which half of the pictures are mirrored. */
  flip: z.enum(['none', 'horizontal', 'vertical', 'both']).default('none'),
  /** Maximum share of a picture's sides that is cropped, at a random position. */
  crop: z.number().min(0).max(0.5).default(0),
  /** Maximum share of the full range by which a picture becomes brighter or darker. */
  brightness: z.number().min(0).max(1).default(0),
  /** Copies of sound recordings, altered before their features are computed. */
  sound: soundAugment.optional(),
});

/** Random forest, or gradient boosting: `kind: forest`. */
const forest = z.strictObject({
  /** Whether each tree corrects the sum of the trees before it (gradient boosting); absent = a random forest of independent trees. */
  boosting: z.boolean().optional(),
  /**
   * Number of trees; 1 = a single decision tree, grown on all rows. With boosting: number of rounds, each of which has a tree per
   * class if there are more than two classes.
   */
  trees: z.int().min(1).max(2000).default(100),
  /** Maximum number of decisions from the root to a leaf; absent = no limit, or 3 with boosting. */
  depth: z.int().min(1).max(64).optional(),
  /** Boosting: factor for each tree's correction; absent = 0.1. */
  learningRate: z.number().gt(0).max(1).optional(),
  /** Boosting: share of the rows, drawn without replacement, on which each round grows its trees; absent = 1. */
  subsample: z.number().gt(0).max(1).optional(),
  /** Minimum number of distinct rows in a leaf. */
  leaf: z.int().min(1).max(100_000).default(1),
  /**
   * Share of the features among which each split chooses; absent = all for a single tree or boosting, otherwise the square root
   * of their number (a third for values).
   */
  features: z.number().gt(0).max(1).optional(),
});

const train = z.strictObject({
  epochs: z.int().min(1).max(10_000).default(50),
  batch: z.int().min(1).max(65_536).default(32),
  seed: z.int().min(0).default(7),
  learningRate: positive.default(0.001),
  /** Decay of the learning rate. `cosine`: along half a cosine wave, to almost 0 in the last epoch; absent = constant. */
  schedule: z.enum(['constant', 'cosine']).optional(),
  /** Number of networks trained from different initializations and averaged into one; dense layers only. */
  members: z.int().min(1).max(16).default(1),
  /**
   * Number of samples between the starts of two training windows; absent = signal.stride. A smaller number yields more windows of each
   * recording.
   */
  stride: windowLength.optional(),
  /** Training ends after this number of epochs without a lower validation loss; absent = all epochs are run. */
  patience: z.int().min(1).optional(),
  /** Whether rare classes are weighted so that they count as much as frequent ones. */
  classWeights: z.enum(['balanced', 'none']).default('balanced'),
  augment: augment.prefault({}),
  forest: forest.prefault({}),
  /** A trained model whose layers, except for the last one, are used instead of new ones: transfer learning. */
  from: z
    .union([
      z
        .string()
        .min(1)
        .transform((model) => ({ model, trained: 0 })),
      z.strictObject({
        /** A .tflite or .aiot file, or the folder of another project, relative to this project's folder. */
        model: z.string().min(1),
        /** Number of the model's last layers with weights that are trained further; the others are frozen. */
        trained: z.int().min(0).max(256).default(0),
      }),
    ])
    .optional(),
  /** Whether the class probabilities are calibrated by a temperature that is chosen on the validation set. */
  calibrate: z.boolean().optional(),
  /** Autoencoder: share of the training examples whose error is considered normal. */
  quantile: z.number().min(0.5).max(1).default(0.99),
  /** An external training program: it reads rows and writes a float .tflite; see docs/reference/project.md. */
  command: z.array(z.string().min(1)).min(1).optional(),
});

/** How the float network is quantized: a mode, or the mode with its options. */
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
      /** Accuracy that may be lost, percentage points. */
      maxLoss: z.number().min(0).max(100).optional(),
    }),
  ])
  .prefault('int8');

const accept = z.strictObject({
  /** Minimum macro-F1 of the int8 model by window, on recordings that were not used for training. */
  macroF1: z.number().min(0).max(1).optional(),
  /** Minimum accuracy of the int8 model, by window. */
  accuracy: z.number().min(0).max(1).optional(),
  /** Minimum area under the ROC curve. */
  auc: z.number().min(0).max(1).optional(),
  /** Maximum root mean squared error, in the unit of the predicted value. */
  rmse: positive.optional(),
  mae: positive.optional(),
  /** Maximum drop in macro-F1 from float to int8, 0 to 1. */
  drop: z.number().min(0).max(1).optional(),
  /** Maximum size of the arena: a number of bytes, or `32KiB`. */
  arena: z
    .union([z.int().positive(), z.string().regex(/^\d+ ?(B|KiB|MiB)$/, 'a size such as 32KiB')])
    .optional(),
  /** Maximum size of the .tflite file: a number of bytes, or `60KiB`. */
  bytes: z
    .union([z.int().positive(), z.string().regex(/^\d+ ?(B|KiB|MiB)$/, 'a size such as 60KiB')])
    .optional(),
  /** Maximum number of multiply-adds per inference. */
  macs: z.int().positive().optional(),
  /** Limit for `data drift` and pipelines: `none` allows no drift, a number is the highest PSI of a feature. */
  drift: z.union([z.literal('none'), positive]).optional(),
});

/** Rejection of inputs that belong to none of the classes. */
const reject = z.strictObject({
  /** Label of rejected windows. */
  label: word.default('unknown'),
  /** Share of each class's validation windows that may be rejected; it determines the thresholds. */
  share: z.number().gt(0).max(0.5).default(0.05),
  /**
   * For sound models: the false alarms per hour of other sound for which the minimum outputs are chosen, on a simulated stream of the
   * validation recordings. Used instead of `share`.
   */
  falseAlarms: positive.optional(),
  /** Class that does not count as a detection in that stream; absent = `other`. */
  background: word.optional(),
  /** Recorded labels that belong to no class. Their recordings only measure the rejection. */
  unknown: z.array(label).default([]),
});

export type RejectConfig = z.output<typeof reject>;

/** Cost of each wrong prediction: true class → predicted class → cost. */
const costs = z.record(z.string().min(1), z.record(z.string().min(1), z.number().min(0).max(1e6)));

export type CostsConfig = z.output<typeof costs>;

/** Rows to train on if no --data is given. */
const table = z.strictObject({
  /** CSV file, relative to the project's folder. */
  file: z.string().min(1),
  /** Column that contains the classes, or the value. */
  label: z.string().min(1).default('label'),
  /** Columns that are inputs; absent = all others. */
  inputs: z.array(z.string().min(1)).min(1).optional(),
  /** Column names for a file without a header. */
  columns: z.array(z.string().min(1)).min(1).optional(),
});

const model = z.strictObject({
  name: name.optional(),
  table: table.optional(),
  kind: z
    .enum(['mlp', 'cnn1d', 'ds-cnn', 'mobilenet', 'fomo', 'autoencoder', 'forest', 'layers'])
    .default('mlp'),
  /** Units of the hidden layers (mlp, autoencoder), filters of the convolutions (cnn1d, ds-cnn, mobilenet, fomo), or a list of layers. */
  layers: z.union([z.array(size).min(1).max(16), z.array(layerSchema).min(1).max(64)]).optional(),
  /** Blocks of a mobilenet or fomo: depthwise separable convolutions (v1) or inverted residuals (v2); absent = v1. */
  blocks: z.enum(['v1', 'v2']).optional(),
  /** Kind of the model's output; that of an autoencoder is always its reconstruction error, and that of a fomo objects in a picture. */
  output: z.enum(['classes', 'probability', 'value']).default('classes'),
  /** Classes and their labels. Empty if there are no classes (value, autoencoder), or if a table's own labels are the classes. */
  labels: labels.default({}),
  split: z.enum(['recording', 'device', 'time', 'window']).default('recording'),
  train: train.prefault({}),
  quantize,
  vote: z
    .union([
      z.literal('none'),
      z.string().regex(/^(majority|average):[1-9]\d?$/, '"none", "majority:N" or "average:N"'),
    ])
    .default('none'),
  /** model.output: probability: the smallest probability that predicts the second class; absent = one half. */
  threshold: z.number().gt(0).lt(1).optional(),
  /** Whether a model with state keeps it from window to window, or starts anew in each window; absent = stream. */
  state: z.enum(['stream', 'window']).optional(),
  /** Costs of confusing one class with another; absent = every wrong prediction costs the same. A pair that is not listed costs 1. */
  costs: costs.optional(),
  reject: reject.optional(),
  accept: accept.prefault({}),
});

const span = z.string().regex(/^\d+(\.\d+)?\s*(ms|s|m|h|d)$/, 'expected a time such as 500ms, 30s, 5m or 2h');

/** An MQTT topic filter. `+` and `#` match whole levels, and `#` must be the last. */
const filter = z
  .string()
  .regex(/^(?:(?:\+|[^+#/\0]*)\/)*(?:[+#]|[^+#/\0]*)$/, 'expected a filter such as iotkit/#')
  .min(1);

/** Services that `aiot up --project` starts together with the platform. */
const up = z.strictObject({
  /** A plaintext listener for boards without TLS. */
  boards: z
    .strictObject({
      port: z.int().min(0).max(65_535).default(1883),
      /** Address to listen on; absent = the address of `aiot up --host`. */
      host: z.string().min(1).optional(),
      /** Must be set explicitly, to acknowledge that credentials are not checked: anyone who can reach the port is accepted. */
      password: z.literal('any', {
        error: "expected the word any, because the boards' passwords are not checked",
      }),
      /** Topics that boards may publish to, and subscribe to. */
      publish: z.array(filter).min(1),
      subscribe: z.array(filter).default([]),
    })
    .optional(),
  /** The routes file, relative to the project's folder. */
  routes: z.string().min(1).optional(),
  /** Values for the routes' ${NAMES}; the environment and --set take precedence. */
  set: z
    .record(
      z
        .string()
        .regex(
          /^[A-Za-z_][A-Za-z0-9_]*$/,
          'expected letters, digits and underscores, not starting with a digit',
        ),
      z.union([z.string(), z.number().transform(String)]),
    )
    .default({}),
});

/** An alarm of the project. The fields are the flags of `aiot alarm create`. */
const alarm = z.strictObject({
  /** Condition on a sample's fields. */
  where: z.string().trim().min(1).max(2000).optional(),
  /** Raises the alarm if a device sends no telemetry for this long. */
  absent: span.optional(),
  /** Field whose change is evaluated. */
  rate: z.string().min(1).max(100).optional(),
  /** Class whose share of the predictions is evaluated. */
  class: z.string().min(1).max(100).optional(),
  /** Evaluates how many of the selected devices are offline. */
  offline: z.literal(true).optional(),
  /** Evaluates the health of unwell devices. */
  unwell: z.literal(true).optional(),
  /** Window of `rate` or `class`. */
  within: span.optional(),
  /** How long the condition must hold. */
  for: span.optional(),
  /** Condition that ends an incident; absent = as soon as `where` does not hold. */
  clear: z.string().trim().min(1).max(2000).optional(),
  /** How long `clear` must hold. */
  clearFor: span.optional(),
  /** Stream of the telemetry; absent = every stream. */
  stream: name.optional(),
  /** Selector of the devices. */
  selector: z.string().min(1).max(4000).default('all'),
  severity: z.enum(['info', 'warning', 'critical']).default('warning'),
  /** Weekly times without notifications, such as `sat,sun 02:00-04:00` (in UTC) or `daily 22:00-02:00 Europe/Berlin`. */
  maintenance: z.array(z.string().max(100)).max(20).optional(),
  /** Next step for the operator, repeated in each notification. */
  todo: z.string().trim().min(1).max(500).optional(),
});

/** A target of the alarms' messages. The fields are the flags of `aiot alarm target add`. */
const notify = z.strictObject({
  /** Address; `$AIOT_NOTIFY_…` stands for a variable of the platform's environment. */
  url: z.string().min(1).max(2000),
  /** The least severe alarms that are sent. */
  severity: z.enum(['info', 'warning', 'critical']).default('info'),
  /** Alarms of this file that are sent; absent = all alarms of the platform. */
  alarms: z.array(name).min(1).max(100).optional(),
  /** Sends only incidents that are open and unacknowledged after this time. */
  after: span.optional(),
  /** Sends at most one message per alarm within this time. */
  group: span.optional(),
  /** Whether the target may be on the platform's machine or on a private network, and may be used without TLS. */
  allowPrivate: z.boolean().default(false),
});

/** The platform's devices in Home Assistant: `aiot up --project`. */
const homeAssistant = z.strictObject({
  /** Address of the broker that Home Assistant uses; absent = the platform's own broker. `$AIOT_NOTIFY_…` stands for a variable of the platform's environment. */
  broker: z
    .string()
    .regex(/^mqtts?:\/\/\S+$/, 'expected a URL such as mqtt://HOST:1883')
    .optional(),
  /** Discovery prefix in Home Assistant's MQTT settings. */
  prefix: z
    .string()
    .regex(/^[^\s+#/$][^+#\p{Cc}]*[^\s+#/]$/u, 'expected a topic such as homeassistant')
    .max(100)
    .default('homeassistant'),
  /** Selector of the devices. */
  selector: z.string().min(1).max(4000).default('all'),
  /** Minimum time between two values of a sensor. */
  every: span.default('10s'),
  /** User of the platform in whose name clients of the other broker start rollouts; absent = no install button. */
  installs: name.optional(),
  /** Home Assistant's device class of fields whose unit does not identify it; `none` = no class. */
  classes: z.record(z.string(), z.string().min(1)).default({}),
});

/** A level of a Sparkplug topic. */
const sparkplugLevel = z
  .string()
  .regex(/^[^/+#\p{Cc}]+$/u, 'expected a name without /, + and #')
  .max(100);

/** The platform's devices as devices of a Sparkplug edge node: `aiot up --project`. */
const sparkplug = z.strictObject({
  /** Sparkplug group of the edge node. */
  group: sparkplugLevel,
  /** Name of the edge node; absent = the project's. */
  node: sparkplugLevel.optional(),
  /** Address of the broker; absent = the platform's own broker. `$AIOT_NOTIFY_…` stands for a variable of the platform's environment. */
  broker: z
    .string()
    .regex(/^mqtts?:\/\/\S+$/, 'expected a URL such as mqtt://HOST:1883')
    .optional(),
  /** Selector of the devices. */
  selector: z.string().min(1).max(4000).default('all'),
  /** Minimum time between two messages with the values of a device. */
  every: span.default('10s'),
  /** Whether data contains numbers (aliases) instead of names. */
  aliases: z.boolean().default(true),
});

/** Other systems that show the platform's devices. */
const integrations = z.strictObject({
  homeAssistant: z.union([z.boolean(), homeAssistant]).optional(),
  sparkplug: sparkplug.optional(),
});

/** A JSON Schema (draft 2020-12) of an object. */
const objectSchema = z
  .record(z.string(), z.unknown())
  .refine(({ type }) => type === 'object', 'expected a JSON Schema with type: object');

/** A custom command for devices of one type. */
const command = z.strictObject({
  summary: z.string().trim().min(1).max(200).optional(),
  /** JSON Schema of the parameters; absent = the command has none. */
  params: objectSchema.optional(),
  /** JSON Schema of the reply; absent = any object. */
  reply: objectSchema.optional(),
  /** Maximum time until the reply. */
  timeout: span.default('10s'),
  /** Least role that may call the command. */
  role: z.enum(['viewer', 'ci', 'operator']).default('operator'),
  /** Whether a device that restarts before its reply may run the command again. */
  repeatable: z.boolean().default(false),
  /** A program that a virtual device runs: it reads the parameters on stdin, and writes the reply to stdout, both as JSON. */
  run: z.array(z.string().min(1)).min(1).optional(),
  /** The reply of a virtual device: a JSONata expression on the parameters. */
  simulate: z.string().trim().min(1).max(2000).optional(),
});

export type CommandConfig = z.output<typeof command>;

/** Custom settings for devices of one type. */
const deviceSettings = z.strictObject({
  /** JSON Schema of the settings, with their defaults. */
  schema: objectSchema,
  /** A program that a virtual device runs when its settings have changed: it reads them as JSON on stdin. A failure rejects them. */
  run: z.array(z.string().min(1)).min(1).optional(),
});

/** How samples become predictions next to the sensor: `aiot loop run`. Its flags take precedence. */
const loop = z.strictObject({
  /** Source of the samples. */
  sensor: z.string().min(1).optional(),
  /** Destinations of the predictions. */
  out: z.array(z.string().min(1)).default([]),
  /** When predictions are sent: whenever the smoothed class changes, or always. */
  send: z.enum(['change', 'always']).default('change'),
  /** Smoothing of the loop, in place of `model.vote`. */
  vote: z
    .string()
    .regex(
      /^(none|(majority|average):[1-9]\d?|hysteresis(:0?\.\d+)?)$/,
      '"none", "majority:N", "average:N" or "hysteresis:SHARE"',
    )
    .optional(),
  /** Minimum time that a smoothed class is held, such as 5s. */
  hold: z.string().min(1).optional(),
  /** How pictures are processed, for a loop on pictures instead of samples. */
  through: z.enum(['faces']).optional(),
  /** Maximum size on disk of predictions waiting for their destination: `64MiB`. */
  spool: z
    .string()
    .regex(/^\d+ ?(B|KiB|MiB)$/, 'a size such as 64MiB')
    .default('64MiB'),
});

/** The project's own firmware: `aiot firmware init`. */
const firmware = z.strictObject({
  /** Version that a device reports until an update changes it. */
  version: z
    .string()
    .regex(/^[0-9A-Za-z][0-9A-Za-z.+-]{0,31}$/, 'expected a version such as 0.1.0, at most 32 characters')
    .default('0.1.0'),
  /** Device type for which the firmware is released; absent = the chip's name. */
  type: name.optional(),
  /** Sensor on the board; absent = the first that provides the stream's fields at its rate. */
  sensor: z
    .enum(['guide', 'mpu6050', 'lsm6ds3trc', 'ds18b20', 'acs712', 'inmp441', 'inmp441-sound', 'ov2640'])
    .optional(),
  /** The current clamp's turns, and its burden resistor in ohms, which `aiot tools burden-resistor` computes. */
  clamp: z.strictObject({ turns: positive, burden: positive }).optional(),
  /** Whether a servo follows the model's value; absent = only with the guide's sensors. */
  servo: z.boolean().optional(),
  /** How the board reaches the platform: Wi-Fi, the chip's own Ethernet, or a W5500; absent = the chip's default. */
  network: z.enum(['wifi', 'rmii', 'w5500']).optional(),
});

/** Names of steps and of their outputs; they become folder names, and template names on a cluster. */
const stepName = z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'expected lowercase letters, digits and dashes');

/** A path relative to the folder in which a step runs. */
const inside = z
  .string()
  .regex(/^(?!\/)(?!(?:.*\/)?\.\.?(?:\/|$))[^\\\p{Cc}]{1,200}$/u, "expected a path within the step's folder");

/** A step: one of the default pipeline's steps with other settings, or a custom program. */
const step = z.strictObject({
  /** A program with its arguments, run in its own folder; `${name}` is replaced by a value of `params`. */
  run: z.array(z.string().min(1)).min(1).optional(),
  /** Inputs: a path in the step's folder, and its source: a `STEP.OUTPUT`, or one of the project's files or folders. */
  in: z.record(inside, z.string().min(1)).optional(),
  /** Outputs: a name, and the file or folder that the step creates in its folder. */
  out: z.record(stepName, inside).optional(),
  /** Outputs to copy after a successful run: the name of an output, and its destination in the project. */
  publish: z.record(stepName, inside).optional(),
  /** Steps that must finish first, in addition to the steps that produce this step's inputs. */
  needs: z.array(stepName).optional(),
  /** Condition on results of earlier steps, such as `drift.drifted = true`. */
  when: z.string().min(1).optional(),
  /** Number of retries after a failure. */
  retries: z.int().min(0).max(20).optional(),
  /** Delay before the first retry; doubled before each subsequent one. */
  wait: span.optional(),
  timeout: span.optional(),
  /** Whether the step is skipped if nothing has changed; false = it runs each time. */
  cache: z.boolean().optional(),
  /** Meaning of the step's exit code 6, in a few words. */
  gate: z.string().min(1).max(80).optional(),
  /** Parameters: for a default step, flags of its command; for a custom step, values for `run`. */
  params: z.record(stepName, z.union([z.string(), z.number(), z.boolean()])).optional(),
  /** Whether the step communicates with the platform. */
  platform: z.boolean().optional(),
});

const stepsInOrder = z.array(z.union([stepName, step.extend({ name: stepName })])).min(1);
const stepsByName = z.record(stepName, z.union([step, z.literal(false)]));

/**
 * Changes to the default steps, and additional steps, by name; or a list that replaces them all. Problems are reported at their position in
 * the file.
 */
const stepsField = z.unknown().transform((value, context) => {
  const listed = Array.isArray(value);
  const read = listed ? stepsInOrder.safeParse(value) : stepsByName.safeParse(named(value));
  // The value is returned in its original form, so that a parsed value can be parsed again.
  if (read.success) return read.data as StepsConfig;
  for (const issue of read.error.issues) {
    // The issue for a union lists each of its options. Only the option with problems in the step's fields is reported; mentioning that
    // `false` is allowed too would not help.
    const inner = issue.code === 'invalid_union' ? issue.errors.find((each) => each.some(isDeep)) : undefined;
    const found = inner ? inner.map((each) => ({ ...each, path: [...issue.path, ...each.path] })) : [issue];
    context.issues.push(...found.map((each) => ({ ...each, input: value }) as never));
  }
  return z.NEVER;
});

const endpoint = z
  .string()
  .regex(/^[a-z][a-z0-9+]*:\/\/\S+$/, 'expected a URL such as mqtt://HOST:1883/TOPIC');

/** Triggers that start a run while `aiot pipeline watch` is active. */
const triggers = z.strictObject({
  /** A run starts after this number of new rows or samples. */
  rows: z.int().positive().optional(),
  every: span.optional(),
  /** A run starts if the data has drifted from the training data of the last model. */
  drift: z
    .strictObject({
      /** A run starts if the PSI of any feature exceeds this value. */
      above: z.number().positive().default(0.25),
      every: span.default('10m'),
    })
    .optional(),
  /** Times when a run starts, in this machine's time zone. */
  cron: z.string().superRefine(checkCron).optional(),
  /** MQTT or Kafka address that receives `extract-data` and `train-model` requests. The response is `download-model`. */
  control: endpoint.optional(),
  webhook: z
    .strictObject({
      port: z.int().min(0).max(65_535).default(8787),
      host: z.string().min(1).default('127.0.0.1'),
      path: z.string().startsWith('/').default('/'),
    })
    .optional(),
});

/** The steps from data to devices, and their triggers: `aiot pipeline`. */
const pipelineSchema = z.strictObject({
  steps: stepsField.optional(),
  on: triggers.prefault({}),
  /** Number of concurrent steps; absent = one per core. */
  jobs: z.int().min(1).max(256).optional(),
  /** Selector of the devices for the rollout step. */
  selector: z.string().min(1).default('all'),
  keep: z
    .strictObject({
      /** Number of runs that the history retains. */
      runs: z.int().min(1).max(10_000).default(50),
      /** Maximum size of outputs in the cache, bytes. */
      cache: z
        .string()
        .regex(/^\d+ ?(B|KiB|MiB|GiB)$/, 'a size such as 2GiB')
        .default('2GiB'),
    })
    .prefault({}),
});

/**
 * Schema of aiot.yaml. A project that only has tables of rows needs neither stream nor signal, because a row is one sample and one window.
 */
export const projectSchema = z.strictObject({
  name,
  up: up.optional(),
  /** Alarms of the platform, by name: `aiot alarm apply`, and `aiot up --project`. */
  alarms: z.record(name, alarm).optional(),
  /** Targets of the alarms' messages, by name: `aiot alarm apply`, and `aiot up --project`. */
  notify: z.record(name, notify).optional(),
  /** Commands of the platform's devices, by type and name: `aiot device commands apply`, and `aiot up --project`. */
  commands: z.record(name, z.record(z.string(), command)).optional(),
  /** Settings of the platform's devices, by type: `aiot device settings apply`, and `aiot up --project`. */
  settings: z.record(name, deviceSettings).optional(),
  /** Other systems that show the platform's devices: `aiot up --project`. */
  integrations: integrations.optional(),
  stream: stream.default({ topic: 'rows', format: 'json', device: 'topic', fields: {} }),
  signal: signal.default({ rate: 1, window: 1, stride: 1, features: 'raw' }),
  model: model.prefault({}),
  loop: loop.prefault({}),
  pipeline: pipelineSchema.prefault({}),
  firmware: firmware.optional(),
});

/** aiot.yaml, validated and with defaults filled in. */
export type ProjectConfig = z.output<typeof projectSchema>;

export type StepConfig = z.output<typeof step>;

/** Steps by name, or as a list in order. */
export type StepsConfig = z.output<typeof stepsByName> | z.output<typeof stepsInOrder>;

function isDeep({ path, code }: { path: PropertyKey[]; code: string }): boolean {
  return path.length > 0 || code === 'unrecognized_keys';
}

/** Replaces empty entries such as `train:` with empty objects, which change nothing. */
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

type JsonSchema = z.core.JSONSchema.BaseSchema;

/**
 * JSON Schema (draft 7) of aiot.yaml, which editors use to validate each field individually. Checks across fields (`crossChecks`) are not
 * included.
 */
export function projectJsonSchema(): JsonSchema {
  return z.toJSONSchema(projectSchema, {
    io: 'input',
    target: 'draft-7',
    override: ({ zodSchema, jsonSchema }) => {
      // JSON Schema does not have this keyword of Zod; the pattern next to it is equivalent.
      if ((jsonSchema.format as string) === 'starts_with') delete jsonSchema.format;
      // The schema of the steps is in a transformation, which JSON Schema cannot express.
      if ((zodSchema as unknown) === stepsField) jsonSchema.anyOf = [byName(), inner(stepsInOrder)];
    },
  }) as JsonSchema;
}

/** JSON Schema of steps by name. An empty entry such as `train:` means the default step. */
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
