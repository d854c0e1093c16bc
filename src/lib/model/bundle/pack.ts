import type { z } from 'zod';
import { AiotError, canonicalJson, issueText, sha256Hex } from '../../core/index.js';
import { firstName, type Member, readArchive, writeArchive } from '../../formats/index.js';
import { checkBundle } from './check.js';
import { anyInfoSchema, goldenSchema } from './info-schema.js';
import { provenanceSchema } from './provenance-schema.js';
import type { Bundle, NetworkBundle } from './types.js';

/** What a bundle is made of, in this order. */
export const contentNames = ['bundle.json', 'model.tflite', 'golden.json', 'lineage.json'] as const;
/** What a signed bundle begins with: the manifest's exact bytes, and the signatures over them. */
export const signingNames = ['manifest.json', 'signatures.json'] as const;
/** As sha256sum writes it, so that `sha256sum -c` checks an unpacked bundle. */
export const sumsName = 'SHA256SUMS';

/** A bundle's content, as devices load it: no times, owners or chance, so that equal contents give equal bytes. */
export function packBundle(bundle: Bundle | NetworkBundle): Uint8Array<ArrayBuffer> {
  return packMembers(membersOf(bundle));
}

/** The members of a bundle without their sums. */
export function membersOf({ info, model, golden, lineage }: Bundle | NetworkBundle): Member[] {
  return [
    { name: 'bundle.json', data: jsonBytes(info) },
    { name: 'model.tflite', data: Uint8Array.from(model) },
    { name: 'golden.json', data: jsonBytes(golden) },
    { name: 'lineage.json', data: jsonBytes(lineage) },
  ];
}

/** The archive of these members, their sums behind them. */
export function packMembers(members: readonly Member[]): Uint8Array<ArrayBuffer> {
  return writeArchive([...members, { name: sumsName, data: sumsOf(members) }]);
}

export function sumsOf(members: readonly Member[]): Uint8Array {
  return textBytes(members.map(({ name, data }) => `${sha256Hex(data)}  ${name}\n`).join(''));
}

/**
 * Reads and checks the content of a bundle, signed or not (who signed it is not looked at): each byte of the archive, sums, form, and that network, standardization and
 * classes fit each other.
 * @throws AIOT_BUNDLE_MALFORMED naming the file within; AIOT_MODEL_UNFIT for a network alone
 */
export function unpackBundle(bytes: Uint8Array): Bundle {
  const bundle = unpackAny(bytes);
  if (bundle.info.kind === 'model') return bundle as Bundle;
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    `${bundle.info.name} is a network alone: nobody said what goes into it, so no device can run it`,
    { next: 'Push a project instead of a .tflite file: aiot model push' },
  );
}

/** The same, which also takes a network alone. @throws AIOT_BUNDLE_MALFORMED */
export function unpackAny(bytes: Uint8Array, what?: string): Bundle | NetworkBundle {
  const signing = isSigned(bytes) ? signingNames : [];
  const members = readArchive(bytes, [...signing, ...contentNames, sumsName], what);
  requireSums(members);
  return bundleOfMembers(members);
}

/**
 * Tells what is no bundle at all from a damaged one.
 * @param wanted what would have been taken
 * @throws AIOT_BUNDLE_MALFORMED
 */
export function requireBundle(bytes: Uint8Array, what: string, wanted = 'a .aiot or .tflite file'): void {
  const name = firstName(bytes);
  if (name === signingNames[0] || name === contentNames[0] || latin1(bytes, 257, 262) === 'ustar') return;
  const got = latin1(bytes, 4, 8) === 'TFL3' ? 'a .tflite network' : 'something else';
  throw new AiotError('AIOT_BUNDLE_MALFORMED', `${what}: expected ${wanted}, got ${got}`, {
    next: 'aiot model quantize writes .tflite files, aiot model pull gets a signed .aiot file.',
  });
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.subarray(from, to)).toString('latin1');
}

/** Whether a .aiot file has signatures in it; one from a build folder has none. */
export function isSigned(bytes: Uint8Array): boolean {
  return firstName(bytes) === signingNames[0];
}

/** @throws AIOT_BUNDLE_MALFORMED naming the file whose sum is another */
function requireSums(members: readonly Member[]): void {
  const own = members.slice(0, -1);
  const listed = new TextDecoder().decode(members.at(-1)?.data).split('\n');
  const wrong = new TextDecoder()
    .decode(sumsOf(own))
    .split('\n')
    .findIndex((line, i) => line !== listed[i]);
  if (wrong < 0 && listed.length === own.length + 1) return;
  throw malformed(`${own[wrong]?.name ?? sumsName}: its contents are not those that ${sumsName} names`);
}

/** @throws AIOT_BUNDLE_MALFORMED */
export function bundleOfMembers(members: readonly Member[]): Bundle | NetworkBundle {
  const files = new Map(members.map(({ name, data }) => [name, data]));
  const info = parseMember(files, 'bundle.json', anyInfoSchema);
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
    throw malformed(`${name} is not JSON`, error);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw malformed(`${name}: ${issueText(result.error, 'the file', value)}`);
}

/** JSON with sorted keys: equal values, equal bytes. */
export function jsonBytes(value: unknown): Uint8Array {
  return textBytes(`${canonicalJson(value)}\n`);
}

function textBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function malformed(message: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_BUNDLE_MALFORMED', message, { cause });
}
