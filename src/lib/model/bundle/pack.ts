import { createTar, parseTar } from 'nanotar';
import type { z } from 'zod';
import { AiotError, canonicalJson, issueText, sha256Hex } from '../../core/index.js';
import { checkBundle } from './check.js';
import { bundleInfoSchema, goldenSchema } from './info-schema.js';
import type { Bundle } from './types.js';

const members = ['bundle.json', 'model.tflite', 'golden.json'] as const;
/** As sha256sum writes it, so that `sha256sum -c` checks an unpacked bundle. */
const sums = 'SHA256SUMS';

/** The .aiot file: ustar, without times, owners or chance, so that equal contents give equal bytes. */
export function packBundle({ info, model, golden }: Bundle): Uint8Array {
  const text = new TextEncoder();
  const files = [
    { name: members[0], data: text.encode(`${canonicalJson(info)}\n`) },
    { name: members[1], data: Uint8Array.from(model) },
    { name: members[2], data: text.encode(`${canonicalJson(golden)}\n`) },
  ];
  const lines = files.map(({ name, data }) => `${sha256Hex(data)}  ${name}\n`).join('');
  const tar = createTar([...files, { name: sums, data: text.encode(lines) }], {
    attrs: { mode: '644', uid: 0, gid: 0, mtime: 0 },
  });
  // nanotar 0.3 leaves out the closing two blocks of zeros where the members fill the last record.
  if (tar.subarray(-1024).every((byte) => byte === 0)) return tar;
  const closed = new Uint8Array(tar.length + 10_240);
  closed.set(tar);
  return closed;
}

/**
 * Reads and checks a .aiot file: archive, sums, form, and that network, standardization and classes fit each other.
 * @throws AIOT_BUNDLE_MALFORMED
 */
export function unpackBundle(bytes: Uint8Array): Bundle {
  const files = readMembers(bytes);
  const bundle: Bundle = {
    info: parseMember(files, 'bundle.json', bundleInfoSchema),
    model: files.get('model.tflite')!,
    golden: parseMember(files, 'golden.json', goldenSchema),
  };
  checkBundle(bundle);
  return bundle;
}

function readMembers(bytes: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  try {
    // A copy: nanotar reads the whole underlying buffer, which of a Buffer may be a shared pool.
    for (const { name, data, type } of parseTar(Uint8Array.from(bytes))) {
      if (type === 'file' && data) files.set(name, data);
    }
  } catch (error) {
    throw malformed('the archive is damaged', error);
  }
  const list = files.get(sums);
  const missing = [...members, sums].find((name) => !files.has(name));
  if (missing || !list) throw malformed(`expected a tar archive with ${missing ?? sums} in it`);
  const expected = new Map(
    new TextDecoder()
      .decode(list)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => [line.slice(66), line.slice(0, 64)]),
  );
  for (const name of members) {
    if (sha256Hex(files.get(name)!) !== expected.get(name)) {
      throw malformed(`${name}: its contents are not those that ${sums} names`);
    }
  }
  return files;
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
  throw malformed(`${name}: ${issueText(result.error, 'the whole')}`);
}

function malformed(message: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_BUNDLE_MALFORMED', message, { cause });
}
