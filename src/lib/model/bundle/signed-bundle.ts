import { canonicalJson, digestOf, sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import { type Member, readArchive, writeArchive } from '../../formats/archive.js';
import { type Envelope, envelopeSchema, type TrustRoot } from '../../formats/manifest/envelope.js';
import {
  type BundleFile,
  firmwareInterfaces,
  type Manifest,
  type ModelPart,
  verifyManifest,
} from '../../formats/manifest/manifest.js';
import { type Graph, hasForest } from '../../formats/tflite/graph.js';
import { activationPlaces, rowOf } from '../../formats/tflite/operators.js';
import { readTflite } from '../../formats/tflite/read.js';
import {
  bundleOfMembers,
  contentNames,
  distinctInputs,
  isLongRaw,
  jsonBytes,
  packMembers,
  readMembers,
  requireKnownInterface,
  signingNames,
  sumsName,
  sumsOf,
} from './pack.js';
import { withoutRejection } from './predictor.js';
import type { Bundle, BundleInfo, Figures, NetworkBundle } from './types.js';

const [manifestName, signaturesName] = signingNames;
export const signedNames = [...signingNames, ...contentNames, sumsName] as const;

/** A signed bundle, every byte of which was verified. */
export interface Verified {
  manifest: Manifest;
  envelope: Envelope;
  /** IDs of the keys that signed the bundle. */
  keyids: string[];
  bundle: Bundle | NetworkBundle;
  /** The content in the form that devices download. */
  content: Uint8Array;
  members: Member[];
}

/** The members of a signed bundle, made from its content and the envelope with the signatures. */
function signedMembers(content: Uint8Array, envelope: Envelope, what?: string): Member[] {
  const own = readArchive(content, [...contentNames, sumsName], what).slice(0, -1);
  const members = [
    { name: manifestName, data: new Uint8Array(Buffer.from(envelope.payload, 'base64')) },
    { name: signaturesName, data: jsonBytes(envelope.signatures) },
    ...own,
  ];
  return [...members, { name: sumsName, data: sumsOf(members) }];
}

/** A single file with content, manifest and signatures, which can be verified without a platform. */
export function packSigned(content: Uint8Array, envelope: Envelope, what?: string): Uint8Array {
  return writeArchive(signedMembers(content, envelope, what));
}

/**
 * The signatures and the content of a signed bundle, WITHOUT checking signatures. Before publishing them, verify the envelope
 * against a trust root, and the content against its manifest (`verifySigned` does both).
 * @throws AIOT_BUNDLE_MALFORMED, AIOT_BUNDLE_TAMPERED
 */
export function peekSigned(bytes: Uint8Array, what: string): { envelope: Envelope; content: Uint8Array } {
  const members = readArchive(bytes, signedNames, what);
  const of = (name: string) => members.find((member) => member.name === name)!.data;
  return {
    envelope: {
      payload: Buffer.from(of(manifestName)).toString('base64'),
      ...signaturesIn(of(signaturesName), what),
    },
    content: packMembers(members.filter(({ name }) => isContent(name))),
  };
}

/**
 * Verifies every byte of a signed bundle: archive, signatures, each file against the signed manifest, and the bundle's format.
 * @param what the file's name, for errors
 * @throws AIOT_BUNDLE_MALFORMED, AIOT_BUNDLE_TAMPERED (both name the file within), AIOT_SIGNATURE_INVALID, AIOT_UPDATE_INTERFACE (made for
 *   a newer version of aiot)
 */
export function verifySigned(bytes: Uint8Array, trust: TrustRoot, what: string): Verified {
  return verifyMembers(readArchive(bytes, signedNames, what), trust, what);
}

/** Like `verifySigned`, but for the files of an unpacked bundle, in the order of `signedNames`. */
export function verifyMembers(members: readonly Member[], trust: TrustRoot, what: string): Verified {
  const of = (name: string) => members.find((member) => member.name === name)!.data;
  const envelope = {
    payload: Buffer.from(of(manifestName)).toString('base64'),
    ...signaturesIn(of(signaturesName), what),
  };
  const manifest = trusted(envelope, trust, members, what);
  requireListed(members, manifest, what);
  const sums = sumsOf(members.filter(({ name }) => name !== sumsName));
  if (!Buffer.from(sums).equals(of(sumsName))) throw tampered(`${what}: ${sumsName} was modified`);
  requireKnownInterface(manifest.interface, what);
  const own = members.filter(({ name }) => isContent(name));
  const content = packMembers(own);
  const [artifact] = manifest.artifacts;
  if (digestOf(content) !== artifact?.digest || content.length !== artifact.bytes) {
    throw tampered(`${what}: its files differ from the signed bundle`);
  }
  const bundle = bundleOfMembers(own);
  requireSameModel(manifest, bundle, what);
  const keyids = envelope.signatures.map(({ keyid }) => keyid);
  return { manifest, envelope, keyids, bundle, content, members: [...members] };
}

/** Requires the files to be those that a manifest lists. @throws AIOT_BUNDLE_TAMPERED */
function requireListed(members: readonly Member[], { files = [] }: Manifest, what: string): void {
  for (const { name, sha256, bytes } of files) {
    const data = members.find((member) => member.name === name)?.data;
    if (data?.length === bytes && sha256Hex(data) === sha256) continue;
    throw tampered(`${what}: ${name} does not match its signature`);
  }
}

/**
 * Requires a signed bundle's files to be those of its manifest, whoever signed the manifest.
 * @throws AIOT_BUNDLE_MALFORMED, AIOT_BUNDLE_TAMPERED
 */
export function requireSameFiles(bytes: Uint8Array, manifest: Manifest, what: string): void {
  requireListed(readArchive(bytes, signedNames, what), manifest, what);
  const { content } = peekSigned(bytes, what);
  const [artifact] = manifest.artifacts;
  if (digestOf(content) === artifact?.digest && content.length === artifact.bytes) return;
  throw tampered(`${what}: its files differ from the signed bundle`);
}

/** Requires the signed description to match the files. @throws AIOT_BUNDLE_TAMPERED */
export function requireSameModel(manifest: Manifest, bundle: Bundle | NetworkBundle, what: string): void {
  if (bundle.info.name !== manifest.name) {
    throw tampered(
      `${what}: bundle.json belongs to ${bundle.info.name}, but the manifest belongs to ${manifest.name}`,
    );
  }
  const told = manifest.model ?? null;
  if (canonicalJson(told) === canonicalJson(modelPartOf(bundle))) return;
  throw tampered(`${what}: manifest.json describes a different model than bundle.json and lineage.json`);
}

function signaturesIn(data: Uint8Array, what: string): Pick<Envelope, 'signatures'> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data));
  } catch (error) {
    throw tampered(`${what}: ${signaturesName} is not valid JSON`, error);
  }
  const read = envelopeSchema.shape.signatures.safeParse(value);
  if (!read.success)
    throw tampered(`${what}: ${signaturesName}: ${issueText(read.error, 'the file', value)}`);
  // Base64 and JSON allow several encodings of one value; these bytes have exactly one.
  const plain = read.data.map(({ keyid, sig }) => ({
    keyid,
    sig: Buffer.from(sig, 'base64').toString('base64'),
  }));
  if (!Buffer.from(jsonBytes(plain)).equals(data)) throw tampered(`${what}: ${signaturesName} was modified`);
  return { signatures: read.data };
}

/** Verifies the signatures. If they are invalid, the checksums show which of the two files was changed. */
function trusted(envelope: Envelope, trust: TrustRoot, members: readonly Member[], what: string): Manifest {
  try {
    return verifyManifest(envelope, trust);
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    const sums = new TextDecoder().decode(members.at(-1)?.data);
    const [changed] = [manifestName, signaturesName].filter((name) => {
      const data = members.find((member) => member.name === name)!.data;
      return !sums.includes(`${sha256Hex(data)}  ${name}\n`);
    });
    if (changed) throw tampered(`${what}: ${changed} does not match its signature (${error.message})`, error);
    const keys = envelope.signatures.map(({ keyid }) => keyid.slice(0, 12)).join(', ');
    const named = `${what}: ${error.message}; ${manifestName} is signed with ${keys}, which the trust root does not contain`;
    throw new AiotError(
      error.code,
      error.code === 'AIOT_SIGNATURE_INVALID' ? named : `${what}: ${error.message}`,
      {
        cause: error,
      },
    );
  }
}

function tampered(message: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_BUNDLE_TAMPERED', message, { cause });
}

/** Whether only firmware for sound supports a bundle's features or its standardization, which repeats for each frame. */
function needsSound(info: BundleInfo): boolean {
  const { signal, standardization } = info;
  if (!signal.mel) return false;
  return signal.features === 'microfrontend' || distinctInputs(info) < standardization.mean.length;
}

/** Whether the decision minimizes costs or is based on mean outputs. */
function decides({ answer, vote }: BundleInfo): boolean {
  return vote.startsWith('average:') || (answer.kind === 'classes' && answer.costs !== undefined);
}

/** Whether a quantized network has float32 inputs or outputs. */
function hasFloatEnds({ quantization: { mode }, input, output }: BundleInfo): boolean {
  return mode !== 'float32' && (input.type === 'float32' || output.type === 'float32');
}

/**
 * Whether a quantized network has operators that compute on float32. Firmware of any interface moves and converts float32 values, and
 * standardizes float32 inputs.
 */
function computesFloat(info: BundleInfo, { operators, tensors }: Graph): boolean {
  const isStandardized = hasFloatEnds(info) && operators[0]?.op === 'ADD' && operators[1]?.op === 'MUL';
  return operators.slice(isStandardized ? 2 : 0).some((operator) => {
    const first = operator.inputs[activationPlaces(operator)[0] ?? 0] ?? -1;
    const { op } = operator;
    // Earlier firmware has no float32 kernel for the nearest pixels, although they are only copied.
    const moves = rowOf(op).cost === 'copy' && op !== 'RESIZE_NEAREST_NEIGHBOR';
    return tensors[first]?.type === 'float32' && !moves && !/QUANTIZE$|^SIGNAL_/.test(op);
  });
}

/** Minimum firmware interface required to run the bundle. */
export function interfaceOf({ info, model }: Bundle | NetworkBundle): number {
  const rejects = info.kind === 'model' && info.answer.kind === 'classes' && info.answer.reject !== undefined;
  const graph = readTflite(model);
  const forest = hasForest(graph);
  if (info.kind === 'model' && info.signal.mel?.state === 'stream')
    return forest ? firmwareInterfaces.soundStreamForests : firmwareInterfaces.soundStream;
  if (info.kind === 'model' && info.state !== undefined) return firmwareInterfaces.windowState;
  if (info.kind === 'model' && !forest && computesFloat(info, graph))
    return firmwareInterfaces.floatOperators;
  if (
    info.kind === 'model' &&
    isLongRaw(info.signal) &&
    distinctInputs(info) < info.standardization.mean.length
  )
    return firmwareInterfaces.longWindows;
  if (info.kind === 'model' && info.extra) return firmwareInterfaces.extraOutputs;
  if (info.kind === 'model' && !forest && hasFloatEnds(info)) return firmwareInterfaces.floatEnds;
  if (info.kind === 'model' && decides(info))
    return forest ? firmwareInterfaces.decidingForests : firmwareInterfaces.decisions;
  if (info.kind === 'model' && needsSound(info))
    return forest ? firmwareInterfaces.soundForests : firmwareInterfaces.sound;
  if (forest) return rejects ? firmwareInterfaces.rejectingForests : firmwareInterfaces.forests;
  if (info.kind === 'network') return firmwareInterfaces.anyAnswer;
  if (info.answer.kind === 'objects') return firmwareInterfaces.objects;
  if (rejects) return firmwareInterfaces.rejection;
  const { quantization, input, output, answer, signal } = info;
  const plain = quantization.mode === 'int8' && [input, output].every(({ type }) => type === 'int8');
  const simple = plain && answer.kind === 'classes' && !signal.mel && !signal.image;
  return simple ? firmwareInterfaces.int8Classes : firmwareInterfaces.anyAnswer;
}

/**
 * The files of a bundle's content, with their checksums. These are the archive's own bytes, because earlier versions of aiot stored the
 * same values in another form.
 */
export function filesOf(content: Uint8Array): BundleFile[] {
  const members = readMembers(content).filter(({ name }) => isContent(name));
  return members.map(({ name, data }) => ({ name, sha256: sha256Hex(data), bytes: data.length }));
}

function isContent(name: string): boolean {
  return (contentNames as readonly string[]).includes(name);
}

/**
 * Derives a manifest's description of a bundle. The description depends on the bundle alone, so either can be checked against the other.
 */
export function modelPartOf({ info, lineage }: Bundle | NetworkBundle): ModelPart {
  const { kind, input, output } = info;
  const quantization = { mode: info.quantization.mode, input: input.type, output: output.type };
  const { dataset, training } = lineage;
  const made = {
    dataset: dataset && { name: dataset.name, digest: dataset.digest },
    config: training?.configDigest ?? null,
    tools: training?.tools ?? {},
    created: training?.created ?? null,
  };
  if (info.kind === 'network') {
    const unknown = { signal: null, labels: {}, answer: null, metrics: null, gates: [], evaluation: null };
    return { kind, ...unknown, quantization, ...made };
  }
  const { signal, labels, answer, metrics, gates, evaluation } = info;
  return {
    kind,
    signal: { ...signal },
    labels,
    answer: { ...withoutRejection(answer), ...voteOf(info), ...rejectionOf(info) },
    quantization,
    metrics: {
      float: brief(metrics.float),
      int8: brief(metrics.int8),
      voted: metrics.voted && brief(metrics.voted),
      ...(metrics.folds && { folds: { ...metrics.folds } }),
    },
    gates: gates.map((gate) => ({ ...gate })),
    evaluation,
    ...made,
  };
}

/** A manifest contains the label of rejected windows. The thresholds are in bundle.json, which the signature covers as well. */
function rejectionOf({ answer }: BundleInfo): { reject?: { label: string } } {
  return answer.kind === 'classes' && answer.reject ? { reject: { label: answer.reject.label } } : {};
}

function voteOf({ classes, vote }: BundleInfo) {
  return { classes, vote };
}

/**
 * Maximum number of classes for which the manifest contains the confusion matrix. Apart from it, the manifest contains only scalar metrics
 * and intervals, because a device reads the whole manifest into memory.
 */
const mostClasses = 16;

function brief(figures: Figures): Record<string, unknown> {
  const { confusion, ...others } = figures;
  const kept = Object.entries(others).filter(([, value]) => isBrief(value));
  const few = confusion && confusion.length <= mostClasses ? { confusion } : {};
  return { ...Object.fromEntries(kept), ...few };
}

/** Whether a value is a number, null, an interval, or an object that contains only such values. */
function isBrief(value: unknown): boolean {
  if (value === null || typeof value === 'number') return true;
  if (Array.isArray(value)) return value.length === 2 && value.every((x) => typeof x === 'number');
  return typeof value === 'object' && Object.values(value).every(isBrief);
}
