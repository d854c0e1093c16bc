import * as z from 'zod';
import { canonicalJson, sha256Hex } from '../../core/crypto.js';
import { AiotError, errorMaker } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import { firstName, type Member, readArchive, writeArchive } from '../../formats/archive.js';
import { newestInterface } from '../../formats/manifest/manifest.js';
import { elementCount, type Graph } from '../../formats/tflite/graph.js';
import { readTflite } from '../../formats/tflite/read.js';
import { frameValues } from '../../signal/mel.js';
import { featureNames } from '../../signal/spec.js';
import { gridOf } from '../../vision/grid.js';
import { endOf } from './ends.js';
import { anyInfoSchema, goldenSchema, provenanceSchema } from './schema.js';
import type { Bundle, BundleInfo, NetworkBundle } from './types.js';

const malformed = errorMaker('AIOT_BUNDLE_MALFORMED');

/** Members of a bundle, in this order. */
export const contentNames = ['bundle.json', 'model.tflite', 'golden.json', 'lineage.json'] as const;

/** Leading members of a signed bundle: the manifest's exact bytes, and the signatures over them. */
export const signingNames = ['manifest.json', 'signatures.json'] as const;

/** Member with the checksums, in the format of sha256sum, so that `sha256sum -c` checks an unpacked bundle. */
export const sumsName = 'SHA256SUMS';

/** Packs a bundle's content in the form that devices load. Omits times, owners and randomness, so that equal contents yield equal bytes. */
export function packBundle(bundle: Bundle | NetworkBundle): Uint8Array<ArrayBuffer> {
  return packMembers(membersOf(bundle));
}

/** A bundle's members, without the checksums. */
export function membersOf({ info, model, golden, lineage }: Bundle | NetworkBundle): Member[] {
  return [
    { name: 'bundle.json', data: jsonBytes(info.kind === 'model' ? withoutRepeats(info) : info) },
    { name: 'model.tflite', data: Uint8Array.from(model) },
    { name: 'golden.json', data: jsonBytes(golden) },
    { name: 'lineage.json', data: jsonBytes(lineage) },
  ];
}

/**
 * A picture's pixels share one mean and deviation per channel, the frames of sound one per band, and long raw windows one per field.
 * bundle.json stores each of them once, because chips hold them in memory.
 */
function withoutRepeats(info: BundleInfo): BundleInfo {
  const { mean, deviation } = info.standardization;
  const distinct = distinctInputs(info);
  if (distinct === mean.length) return info;
  return {
    ...info,
    standardization: { mean: mean.slice(0, distinct), deviation: deviation.slice(0, distinct) },
  };
}

/** Number of distinct means: the number of inputs or, if means repeat, of a picture's channels, bands of sound, or fields of long raw windows. */
export function distinctInputs({
  signal,
  standardization,
}: Pick<BundleInfo, 'signal' | 'standardization'>): number {
  const { mean, deviation } = standardization;
  const group = mean.length > mostRepeated ? null : groupOf(signal);
  const repeats = (values: number[]) => values.every((value, i) => value === values[i % group!]);
  return group !== null && repeats(mean) && repeats(deviation) ? group : mean.length;
}

/** Raw windows with more values are long, such as one second of sound. Shorter ones need no firmware that lets means repeat. */
const longWindow = 4096;

/**
 * Maximum number of inputs whose means are stored once: those of a picture of 512 × 512 pixels in color. It limits the memory that a small
 * bundle can require.
 */
const mostRepeated = 512 * 512 * 3;

/** Whether a window is long. */
export function isLong({ windowSamples, fields }: BundleInfo['signal']): boolean {
  return windowSamples * fields.length > longWindow;
}

/** Whether the inputs are the samples of a long window. */
export function isLongRaw(signal: BundleInfo['signal']): boolean {
  return signal.features === 'raw' && isLong(signal);
}

/** Number of inputs after which means may repeat; null = each input has its own mean. */
function groupOf(signal: BundleInfo['signal']): number | null {
  const { image, mel, fields } = signal;
  if (image || isLongRaw(signal)) return fields.length;
  return mel ? frameValues(mel) : null;
}

/** The inverse of `withoutRepeats`. */
function withRepeats(info: BundleInfo): BundleInfo {
  const { signal, standardization, input } = info;
  const count = elementCount(input.shape);
  const { mean, deviation } = standardization;
  const fits = mean.length === groupOf(signal) && deviation.length === mean.length;
  if (!fits || count > mostRepeated || count % mean.length !== 0) return info;
  const all = (values: number[]) => Array.from({ length: count }, (_, i) => values[i % values.length]!);
  return { ...info, standardization: { mean: all(mean), deviation: all(deviation) } };
}

/** The archive of these members, followed by their checksums. */
export function packMembers(members: readonly Member[]): Uint8Array<ArrayBuffer> {
  return writeArchive([...members, { name: sumsName, data: sumsOf(members) }]);
}

export function sumsOf(members: readonly Member[]): Uint8Array {
  return textBytes(members.map(({ name, data }) => `${sha256Hex(data)}  ${name}\n`).join(''));
}

/**
 * Reads and validates the content of a bundle, signed or not; signers are not checked. Checks each byte of the archive, the checksums and
 * the format, and that network, standardization and classes are consistent.
 * @throws AIOT_BUNDLE_MALFORMED naming the file within; AIOT_MODEL_UNFIT for a network-only bundle
 */
export function unpackBundle(bytes: Uint8Array): Bundle {
  const bundle = unpackAny(bytes);
  if (bundle.info.kind === 'model') return bundle as Bundle;
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    `${bundle.info.name} contains only a model without a project, so its inputs are unknown and no device can run it`,
    {
      next: 'Import the .tflite file into a project with `aiot model import FILE.tflite --project DIR`, then push the project with `aiot model push`.',
    },
  );
}

/** Like `unpackBundle`, but also accepts a network-only bundle. @throws AIOT_BUNDLE_MALFORMED, AIOT_UPDATE_INTERFACE */
export function unpackAny(bytes: Uint8Array, what?: string): Bundle | NetworkBundle {
  const members = readMembers(bytes, what);
  requireSums(members);
  requireKnownInterface(interfaceIn(members), what ?? 'the bundle');
  return bundleOfMembers(members);
}

/** The interface in the manifest of a signed bundle, whose signature is not verified here; 0 if there is none. */
function interfaceIn(members: readonly Member[]): number {
  const manifest = members.find(({ name }) => name === signingNames[0]);
  if (!manifest) return 0;
  try {
    const { interface: needed } = JSON.parse(Buffer.from(manifest.data).toString('utf8'));
    return typeof needed === 'number' ? needed : 0;
  } catch {
    return 0;
  }
}

/**
 * Rejects a bundle for a newer interface before its files are read, because this version would misread them or reject them as malformed.
 * @throws AIOT_UPDATE_INTERFACE
 */
export function requireKnownInterface(needed: number, what: string): void {
  if (needed <= newestInterface) return;
  const message = `${what}: expected a model for interface ${newestInterface} at most, got one for ${needed}`;
  throw new AiotError('AIOT_UPDATE_INTERFACE', message, {
    next: 'The model was made by a newer version of aiot. Update aiot on this machine: `aiot version --check` shows the newest version.',
  });
}

/** The members of a bundle, signed or not. @throws AIOT_BUNDLE_MALFORMED */
export function readMembers(bytes: Uint8Array, what?: string): Member[] {
  const signing = isSigned(bytes) ? signingNames : [];
  return readArchive(bytes, [...signing, ...contentNames, sumsName], what);
}

/**
 * Rejects a file that is not a bundle. A damaged bundle passes, and fails later.
 * @param wanted the accepted file types
 * @throws AIOT_BUNDLE_MALFORMED
 */
export function requireBundle(bytes: Uint8Array, what: string, wanted = 'a .aiot or .tflite file'): void {
  const name = firstName(bytes);
  if (name === signingNames[0] || name === contentNames[0] || latin1(bytes, 257, 262) === 'ustar') return;
  const got = latin1(bytes, 4, 8) === 'TFL3' ? 'a .tflite network' : 'something else';
  throw new AiotError('AIOT_BUNDLE_MALFORMED', `${what}: expected ${wanted}, got ${got}`, {
    next: '`aiot model quantize` writes .tflite files; `aiot model pull` downloads a signed .aiot file.',
  });
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.subarray(from, to)).toString('latin1');
}

/** Whether a .aiot file contains signatures. Bundles in a build folder do not. */
export function isSigned(bytes: Uint8Array): boolean {
  return firstName(bytes) === signingNames[0];
}

/** @throws AIOT_BUNDLE_MALFORMED naming the file whose checksum differs */
function requireSums(members: readonly Member[]): void {
  const own = members.slice(0, -1);
  const listed = new TextDecoder().decode(members.at(-1)?.data).split('\n');
  const wrong = new TextDecoder()
    .decode(sumsOf(own))
    .split('\n')
    .findIndex((line, i) => line !== listed[i]);
  if (wrong < 0 && listed.length === own.length + 1) return;
  throw malformed(`${own[wrong]?.name ?? sumsName}: its contents do not match ${sumsName}`);
}

/** @throws AIOT_BUNDLE_MALFORMED */
export function bundleOfMembers(members: readonly Member[]): Bundle | NetworkBundle {
  const files = new Map(members.map(({ name, data }) => [name, data]));
  const parsed = parseMember(files, 'bundle.json', anyInfoSchema);
  const info = parsed.kind === 'model' ? withRepeats(parsed) : parsed;
  const parts = {
    model: files.get('model.tflite')!,
    golden: parseMember(files, 'golden.json', goldenSchema),
    lineage: parseMember(files, 'lineage.json', provenanceSchema),
  };
  const bundle = { info, ...parts } as Bundle | NetworkBundle;
  checkBundle(bundle);
  return bundle;
}

function parseMember<T>(files: Map<string, Uint8Array>, name: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(files.get(name)));
  } catch (error) {
    throw malformed(`${name} is not valid JSON`, { cause: error });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw malformed(`${name}: ${issueText(result.error, 'the file', value)}`);
}

/** JSON with sorted keys, so that equal values yield equal bytes. */
export function jsonBytes(value: unknown): Uint8Array {
  return textBytes(`${canonicalJson(value)}\n`);
}

function textBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/**
 * Checks that the parts of a bundle are consistent: a bundle that passes is runnable.
 * @throws AIOT_BUNDLE_MALFORMED
 */
function checkBundle(bundle: Bundle | NetworkBundle): void {
  const { info, model, golden } = bundle;
  const graph = read(() => readTflite(model), 'model.tflite');
  for (const side of ['input', 'output'] as const) checkEnd(graph, info[side], side);
  if (info.kind === 'network') {
    if (golden.length > 0) throw malformed('golden.json: a model without a project has no golden vectors');
    return;
  }
  const features = read(() => featureNames(info.signal), 'bundle.json: signal').length;
  const extra = (info.extra ?? []).reduce((sum, { count }) => sum + count, 0);
  if (extra > 0 && info.output.type !== 'float32')
    throw malformed(`bundle.json: extra: expected an output of float32, got ${info.output.type}`);
  const outputs = outputsOf(info, features) + extra;
  for (const [side, count] of [
    ['input', features],
    ['output', outputs],
  ] as const) {
    const { type, shape } = info[side];
    if (elementCount(shape) === count) continue;
    throw malformed(`model.tflite: expected one ${type} ${side} of ${count} values, got [${shape}]`);
  }
  checkClasses(info);
  checkDecision(info, features);
  checkStandardization(info, features);
  for (const [i, { samples, features: given, input, output }] of golden.entries()) {
    const fits =
      samples.every((sample) => sample.length === info.signal.fields.length) &&
      given.length === features &&
      input.length === features &&
      output.length === outputs;
    if (!fits) throw malformed(`golden.json: vector ${i} does not have the model's shape`);
  }
}

function checkEnd(graph: Graph, told: BundleInfo['input'], side: 'input' | 'output'): void {
  const { type, scale, zeroPoint } = read(() => endOf(graph, `${side}s`), 'model.tflite');
  if (type !== told.type)
    throw malformed(`bundle.json: ${side}: expected ${type} as in model.tflite, got ${told.type}`);
  if (scale !== told.scale || zeroPoint !== told.zeroPoint) {
    throw malformed(`bundle.json: ${side}: scale and zero point differ from those in model.tflite`);
  }
}

function outputsOf({ answer, classes }: BundleInfo, features: number): number {
  switch (answer.kind) {
    case 'classes':
      return classes.length;
    case 'probability':
      return 1;
    case 'value':
      return answer.names.length;
    case 'reconstruction':
      return features;
    case 'objects':
      return answer.grid[0] * answer.grid[1] * (1 + classes.length);
  }
}

function checkObjects({ answer, classes, signal: { image } }: BundleInfo): void {
  if (answer.kind !== 'objects') return;
  if (classes.length === 0) throw malformed('bundle.json: classes: expected one or more for objects, got 0');
  const { picture, grid } = answer;
  if (picture.width !== image?.width || picture.height !== image.height)
    throw malformed('bundle.json: answer.picture: expected the same size as in signal.image');
  const [rows, columns] = gridOf(picture);
  if (grid[0] !== rows || grid[1] !== columns)
    throw malformed(`bundle.json: answer.grid: expected ${rows} × ${columns}, got ${grid.join(' × ')}`);
}

function checkClasses(info: BundleInfo): void {
  const { answer, classes } = info;
  const { kind } = answer;
  if (kind === 'objects') {
    checkObjects(info);
    return;
  }
  const fits = kind === 'classes' ? classes.length >= 2 : classes.length === (kind === 'value' ? 0 : 2);
  if (fits) return;
  const wanted = { classes: 'two or more', probability: 'two', reconstruction: 'two', value: 'no' }[kind];
  throw malformed(`bundle.json: classes: expected ${wanted} for ${kind}, got ${classes.length}`);
}

/** Checks the sizes of the arrays on which the decision for a class is based: costs and thresholds. */
function checkDecision({ answer, classes }: BundleInfo, features: number): void {
  if (answer.kind !== 'classes') return;
  const { reject, costs } = answer;
  if (costs && costs.length !== classes.length ** 2)
    throw malformed(`bundle.json: answer.costs: expected ${classes.length ** 2} costs, got ${costs.length}`);
  if (!reject) return;
  const { label, minimum, radius, center, weight } = reject;
  if (classes.includes(label)) throw malformed(`bundle.json: answer.reject: ${label} is the name of a class`);
  const byDistance = radius.length + center.length + weight.length > 0;
  const fits =
    minimum.length === classes.length &&
    (!byDistance ||
      (radius.length === classes.length &&
        center.length === classes.length * features &&
        weight.length === features));
  if (!fits)
    throw malformed(
      `bundle.json: answer.reject: expected thresholds for ${classes.length} classes and ${features} inputs`,
    );
}

function checkStandardization({ standardization: { mean, deviation } }: BundleInfo, features: number): void {
  if (mean.length !== features || deviation.length !== features || deviation.some((d) => d <= 0)) {
    throw malformed(
      `bundle.json: standardization: expected ${features} means and as many deviations above 0, got ${mean.length} and ${deviation.length}`,
    );
  }
}

function read<T>(run: () => T, what: string): T {
  try {
    return run();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw malformed(`${what}: ${reason}`, { cause: error });
  }
}

const signatures = z.array(z.object({ keyid: z.string() }));

/** Checks every byte of a bundle and summarizes it. `keyids` lists the keys that signed it; whether they are trusted is not checked. */
export function describeBundle(bytes: Uint8Array) {
  const { info, model } = unpackAny(bytes);
  return {
    name: info.name,
    kind: info.kind,
    classes: info.kind === 'model' ? info.classes : [],
    networkBytes: model.length,
    keyids: signersOf(bytes),
  };
}

function signersOf(bytes: Uint8Array): string[] {
  if (!isSigned(bytes)) return [];
  const [, name] = signingNames;
  const members = readArchive(bytes, [...signingNames, ...contentNames, sumsName]);
  const data = members.find((member) => member.name === name)?.data ?? new Uint8Array(0);
  return signatures.parse(JSON.parse(Buffer.from(data).toString('utf8'))).map(({ keyid }) => keyid);
}
