import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { isNode, LineCounter, parseDocument } from 'yaml';
import { AiotError } from './errors.js';
import { readBytes, readText } from './files.js';
import { type Problem, problemsOf, show } from './issues.js';
import { namePattern } from './names.js';
import { framesOf, isSoundSet, type ProjectConfig, projectSchema, soundSetNames } from './project-schema.js';
import { didYouMean } from './text.js';
import { parseYaml } from './yaml.js';

export interface Project {
  /** Absolute path of the project's folder. */
  dir: string;
  /** Absolute path of aiot.yaml. */
  file: string;
  config: ProjectConfig;
}

/**
 * Reads and checks DIR/aiot.yaml.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID (file:line:column, field, expected, got)
 */
export async function loadProject(dir: string): Promise<Project> {
  const folder = resolve(dir);
  const file = join(folder, 'aiot.yaml');
  const bytes = await readBytes(file).catch((error: unknown) => {
    if (error instanceof AiotError && error.code === 'AIOT_FILE_NOT_FOUND') {
      const message = `${folder} contains no aiot.yaml${similarProject(folder)}`;
      throw new AiotError('AIOT_PROJECT_NOT_FOUND', message, { cause: error });
    }
    throw error;
  });
  return { dir: folder, file, config: parseProject(bytes.toString('utf8'), file) };
}

/** Suggests a project with a similar name beside a folder that does not exist; empty if there is none. */
function similarProject(folder: string): string {
  const parent = dirname(folder);
  if (existsSync(folder) || !existsSync(parent)) return '';
  const projects = readdirSync(parent).filter((name) => existsSync(join(parent, name, 'aiot.yaml')));
  return didYouMean(basename(folder), projects);
}

/**
 * The project for a folder without aiot.yaml. All settings have their defaults, and the project has the folder's name. The file in `file`
 * does not exist.
 */
export function defaultProject(dir: string): Project {
  const folder = resolve(dir);
  const name = basename(folder)
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 64);
  const config = projectSchema.parse({ name: namePattern.test(name) ? name : 'model' });
  return { dir: folder, file: join(folder, 'aiot.yaml'), config };
}

/** Parses the text of aiot.yaml. @throws AIOT_PROJECT_INVALID, which lists all problems, not only the first */
export function parseProject(text: string, file: string): ProjectConfig {
  const config = parseYaml(text, file, projectSchema, { code: 'AIOT_PROJECT_INVALID', check: crossChecks });
  const { costs, train } = config.model;
  // An expected cost requires probabilities, and an uncalibrated network is overconfident.
  if (costs && train.calibrate === undefined && canCalibrate(config.model)) train.calibrate = true;
  return config;
}

/** Checks across fields. @param given the file's values before defaults are applied */
function crossChecks(config: ProjectConfig, given: unknown): Problem[] {
  return [
    ...checkStream(config, given),
    ...checkSignal(config),
    ...checkLabels(config),
    ...checkModel(config),
    ...checkTrainStride(config),
    ...checkReject(config),
    ...checkAlarms(config),
    ...checkCosts(config),
  ];
}

function checkAlarms({ alarms = {} }: ProjectConfig): Problem[] {
  return Object.entries(alarms).flatMap(
    ([name, { where, absent, for: held, selector, severity, todo, stream, ...more }]) => {
      const path = ['alarms', name];
      if ((where === undefined) === (absent === undefined))
        return [{ path, message: 'expected either `where` or `absent`' }];
      const needless = Object.entries({ for: held, ...more }).find(([, value]) => value !== undefined);
      if (absent === undefined || !needless) return [];
      return [{ path: [...path, needless[0]], message: 'allowed only with `where`' }];
    },
  );
}

function checkStream({ stream }: ProjectConfig, given: unknown): Problem[] {
  const problems: Problem[] = [];
  const hasStream = given !== null && typeof given === 'object' && 'stream' in given;
  if (hasStream && Object.keys(stream.fields).length === 0) {
    problems.push({ path: ['stream', 'fields'], message: 'expected at least one field; got none' });
  }
  for (const [name, field] of Object.entries(stream.fields)) {
    if (field.range && field.range[0] >= field.range[1]) {
      const path = ['stream', 'fields', name, 'range'];
      problems.push({ path, message: `expected [low, high] with low < high; got ${show(field.range)}` });
    }
  }
  return problems;
}

function checkSignal({ signal }: ProjectConfig): Problem[] {
  const problems: Problem[] = [];
  const { rate, lowpass, resample = rate } = signal;
  if (lowpass !== undefined && lowpass >= rate / 2) {
    problems.push({
      path: ['signal', 'lowpass'],
      message: `expected a frequency below half the rate (${rate / 2} Hz); got ${lowpass}`,
    });
  }
  if (resample > rate) {
    problems.push({
      path: ['signal', 'resample'],
      message: `expected at most the sampling rate (${rate} Hz); got ${resample}`,
    });
  }
  if (signal.mel && !isSoundSet(signal.features)) {
    problems.push({
      path: ['signal', 'mel'],
      message: `these settings need signal.features: logmel, mfcc or microfrontend; got ${show(signal.features)}`,
    });
  }
  if (signal.mel?.state === 'stream' && signal.features !== 'microfrontend') {
    problems.push({
      path: ['signal', 'mel', 'state'],
      message: `only signal.features: microfrontend has a state; got ${show(signal.features)}`,
    });
  }
  return [...problems, ...checkImage(signal)];
}

/** A picture is one window of pixels: windows neither overlap nor omit pixels, and no filter mixes neighboring pixels. */
function checkImage({ features, image, rate, lowpass, resample, window, stride }: ProjectConfig['signal']) {
  const problems: Problem[] = [];
  const add = (field: string, message: string) => problems.push({ path: ['signal', field], message });
  if (features !== 'image') {
    if (image) add('image', `these settings need signal.features: image; got ${show(features)}`);
    return problems;
  }
  if (!image) {
    add('image', 'expected the size of the pictures, such as { width: 96, height: 96 }');
    return problems;
  }
  const pixels = image.width * image.height;
  const same = `${pixels} (${image.width} × ${image.height} pixels)`;
  if (window !== pixels) add('window', `expected ${same}; got ${window}`);
  if (stride !== pixels) add('stride', `expected ${same}; got ${stride}`);
  if (lowpass !== undefined) add('lowpass', 'expected no low-pass filter for pictures');
  if (resample !== undefined && resample !== rate)
    add('resample', `expected no resampling for pictures; got ${resample}`);
  return problems;
}

function checkLabels({ model }: ProjectConfig): Problem[] {
  const problems: Problem[] = [];
  const owner = new Map<string, string>();
  for (const [name, labels] of Object.entries(model.labels)) {
    for (const label of labels) {
      const other = owner.get(label);
      if (other !== undefined) {
        problems.push({
          path: ['model', 'labels', name],
          message: `label "${label}" is already in class "${other}"`,
        });
      }
      owner.set(label, name);
    }
  }
  const count = Object.keys(model.labels).length;
  const path = ['model', 'labels'];
  if (model.kind === 'autoencoder' || model.output === 'value' || count === 0) return problems;
  if (model.output === 'probability' && count !== 2) {
    problems.push({
      path,
      message: `expected two classes for model.output: probability (the output is the probability of the second class); got ${count}`,
    });
  } else if (count < 2 && model.kind !== 'fomo')
    problems.push({ path, message: 'expected at least two classes' });
  return problems;
}

function checkModel({ model, signal }: ProjectConfig): Problem[] {
  const { kind, layers, train } = model;
  const problems: Problem[] = [];
  const path = ['model', 'layers'];
  const single = layers !== undefined && typeof layers[0] === 'object';
  if (kind === 'layers' && !single) {
    problems.push({
      path,
      message: 'expected a list of layers, such as [{ type: dense, units: 32 }], for model.kind layers',
    });
  }
  if (kind !== 'layers' && single) {
    problems.push({
      path,
      message: `expected numbers for model.kind ${kind}; a list of layers needs model.kind: layers`,
    });
  }
  if (model.threshold !== undefined && (model.output !== 'probability' || kind === 'autoencoder')) {
    problems.push({
      path: ['model', 'threshold'],
      message: 'needs model.output: probability; got another output',
    });
  }
  problems.push(...checkFomo(model, signal));
  if (train.augment.sound && model.split === 'window') {
    problems.push({
      path: ['model', 'train', 'augment', 'sound'],
      message:
        'expected model.split: recording, device or time, because all copies of a recording must be in the same set; got window',
    });
  }
  return [...problems, ...checkAugment(train.augment, signal.features)];
}

/** Training windows of sound must divide into the same frames as the windows of devices. */
function checkTrainStride({ model, signal }: ProjectConfig): Problem[] {
  const { stride } = model.train;
  if (stride === undefined || !isSoundSet(signal.features)) return [];
  const { mel, window, resample = signal.rate } = signal;
  const { frame, hop } = framesOf(mel, resample);
  if (frame > window) return [];
  const isStream = mel?.state === 'stream';
  const most = isStream ? (1 + Math.floor((window - frame) / hop)) * hop : Number.POSITIVE_INFINITY;
  const isWhole = stride % hop === 0 || (!isStream && stride >= window);
  if (isWhole && stride <= most) return [];
  const limit = isStream ? `, at most ${most} with signal.mel.state: stream` : '';
  const message = `expected whole hops of ${hop} samples${limit}; got ${stride}. To train on the windows of signal.stride, omit it`;
  return [{ path: ['model', 'train', 'stride'], message }];
}

/** A fomo model finds objects in pictures, so settings for the class of a whole window do not apply. */
function checkFomo({ kind, split, vote, output }: Model, { features }: ProjectConfig['signal']): Problem[] {
  if (kind !== 'fomo') return [];
  const problems: Problem[] = [];
  const add = (path: string[], message: string) => problems.push({ path, message });
  if (features !== 'image')
    add(['signal', 'features'], `expected image for model.kind fomo; got ${show(features)}`);
  if (split === 'window')
    add(
      ['model', 'split'],
      'expected recording, device or time, because a picture is not divided; got window',
    );
  if (vote !== 'none')
    add(['model', 'vote'], `expected none, because a fomo does not classify whole pictures; got ${vote}`);
  if (output !== 'classes') add(['model', 'output'], `expected classes for model.kind fomo; got ${output}`);
  return problems;
}

function checkAugment(
  { rotation, timeWarp, gain, flip, crop, brightness }: Model['train']['augment'],
  features: ProjectConfig['signal']['features'],
): Problem[] {
  const path = ['model', 'train', 'augment'];
  const got = show(features);
  const needs = (message: string) => [{ path, message: `${message}; got ${got}` }];
  const pictures = features === 'image';
  if (!pictures && (flip !== 'none' || crop + brightness > 0))
    return needs('flip, crop and brightness change pictures, so they need signal.features: image');
  if (pictures && timeWarp > 0)
    return needs('timeWarp changes raw windows, so it needs signal.features: raw');
  if (!pictures && features !== 'raw' && rotation + timeWarp + gain > 0)
    return needs('rotation, timeWarp and gain change raw windows, so they need signal.features: raw');
  return [];
}

/** Whether a model predicts one of several classes. */
function isClassifier({ kind, output }: Model): boolean {
  return output === 'classes' && kind !== 'autoencoder' && kind !== 'fomo';
}

function canCalibrate({ kind, output, train }: Model): boolean {
  const uncalibrated = kind === 'forest' || kind === 'autoencoder' || kind === 'fomo' || output === 'value';
  return !train.command && !uncalibrated;
}

function checkCosts({ model }: ProjectConfig): Problem[] {
  const { costs, labels } = model;
  if (!costs) return [];
  const path = ['model', 'costs'];
  if (!isClassifier(model)) return [{ path, message: 'needs model.output: classes; got another output' }];
  const classes = Object.keys(labels);
  const problems: Problem[] = [];
  for (const [truth, row] of Object.entries(costs)) {
    for (const name of [truth, ...Object.keys(row)])
      if (classes.length > 0 && !classes.includes(name))
        problems.push({
          path: name === truth ? [...path, truth] : [...path, truth, name],
          message: `expected a class: ${classes.join(', ')}; got ${show(name)}`,
        });
    if (Object.hasOwn(row, truth))
      problems.push({
        path: [...path, truth, truth],
        message: 'expected no cost for a correct prediction, which always costs 0',
      });
  }
  return problems;
}

function checkReject({ model, signal }: ProjectConfig): Problem[] {
  const { reject, labels, train } = model;
  const problems: Problem[] = [];
  if (train.calibrate && !canCalibrate(model))
    problems.push({
      path: ['model', 'train', 'calibrate'],
      message: 'expected a neural network, trained by aiot, for classes or a probability; got another model',
    });
  if (!reject) return problems;
  const path = ['model', 'reject'];
  if (!isClassifier(model))
    problems.push({ path, message: 'needs model.output: classes; got another output' });
  if (Object.hasOwn(labels, reject.label))
    problems.push({
      path: [...path, 'label'],
      message: `expected a label that is not a class; got ${show(reject.label)}`,
    });
  const { falseAlarms, background = 'other' } = reject;
  if (falseAlarms !== undefined && !isSoundSet(signal?.features))
    problems.push({
      path: [...path, 'falseAlarms'],
      message: `needs signal.features: ${soundSetNames.join(' or ')}; got other features`,
    });
  if (falseAlarms !== undefined && !Object.hasOwn(labels, background))
    problems.push({
      path: [...path, 'background'],
      message: `expected a class: ${Object.keys(labels).join(', ')}; got ${show(background)}`,
    });
  const known = new Set(Object.values(labels).flat());
  for (const label of reject.unknown.filter((each) => known.has(each)))
    problems.push({
      path: [...path, 'unknown'],
      message: `expected labels that belong to no class; got ${show(label)}`,
    });
  return problems;
}

type Model = ProjectConfig['model'];

/** Fields of `model`, `model.train` and `signal` to override for one run. */
export interface Overrides {
  model?: Partial<Pick<Model, 'kind' | 'layers' | 'output' | 'split'>>;
  train?: Partial<Model['train']>;
  signal?: Partial<ProjectConfig['signal']>;
}

/**
 * Applies overrides for one run, without changing aiot.yaml. If the kind is overridden without layers, the default layers of that kind
 * apply.
 * @throws AIOT_USAGE, naming the field
 */
export function overrideProject(
  project: Project,
  { model = {}, train = {}, signal = {} }: Overrides,
): Project {
  const { config } = project;
  const other = model.kind !== undefined && model.kind !== config.model.kind;
  const layers = model.layers ?? (other ? undefined : config.model.layers);
  const changed = {
    ...config,
    signal: { ...config.signal, ...given(signal) },
    model: { ...config.model, ...given(model), layers, train: { ...config.model.train, ...given(train) } },
  };
  const parsed = projectSchema.safeParse(changed);
  const [problem] = parsed.success
    ? crossChecks(parsed.data, {})
    : problemsOf(parsed.error, { value: changed });
  if (problem || !parsed.success) {
    throw new AiotError('AIOT_USAGE', `${problem?.path.join('.')}: ${problem?.message}`, {
      next: 'For valid combinations, run `aiot docs project`.',
    });
  }
  return { ...project, config: parsed.data };
}

/** The same object without undefined members, which would override the file's values. */
function given<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}

export interface ProjectSetting {
  /** Path of the field, with its parts joined by dots. */
  path: string;
  /** The value: a scalar or a list. */
  value: unknown;
  /** Line of aiot.yaml, from 1; null if the default applies. */
  line: number | null;
}

/** All values of a project, each with its line in aiot.yaml. @throws as `readText` */
export async function projectSettings(project: Project): Promise<ProjectSetting[]> {
  const lines = new LineCounter();
  const text = await readText(project.file);
  const document = parseDocument(text, { lineCounter: lines, logLevel: 'error' });
  return leaves(project.config, []).map(({ path, value }) => {
    const node = document.getIn(path, true);
    const offset = isNode(node) ? node.range?.[0] : undefined;
    const line = offset === undefined ? null : lines.linePos(offset).line;
    return { path: path.join('.'), value, line };
  });
}

function leaves(value: unknown, path: string[]): { path: string[]; value: unknown }[] {
  if (value === undefined) return [];
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return [{ path, value }];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]));
}

/** Whether a project's network is trained with labels. An autoencoder instead learns normal behavior from unlabeled rows. */
export function needsLabels({ model }: ProjectConfig): boolean {
  return model.kind !== 'autoencoder';
}
