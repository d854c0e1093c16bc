import type { ModelVersion } from '../../api/api.js';
import { largestModelFile, type ModelFile } from '../../api/contract/model-files.js';
import { requirePlain } from '../../api/signatures.js';
import type { ToSign } from '../../api/to-sign.js';
import { digestOf } from '../../core/crypto.js';
import { AiotError, hasCode, unless } from '../../core/errors.js';
import {
  type Envelope,
  envelopeSchema,
  type TrustRoot,
  validSigners,
} from '../../formats/manifest/envelope.js';
import { type Manifest, peekManifest } from '../../formats/manifest/manifest.js';
import type { Bundle, NetworkBundle } from '../../model/bundle/types.js';
import type { BlobStore } from '../blobs/store.js';
import { serially } from '../store/engine.js';
import { bundleOf, type Models } from './models.js';
import type { Trust } from './trust.js';

interface FileParts {
  blobs: BlobStore;
  trust: Pick<Trust, 'get'>;
  models: Models;
  /** ms since 1970 */
  now: () => number;
}

/** The user's description of a file. */
interface Described {
  /** The file's name. */
  file?: string | undefined;
  /** Name of the model, which a bare .tflite file does not contain. */
  name?: string | undefined;
}

/** A file as read, after every byte of it was checked. Signatures are not checked yet. */
interface ReadFile {
  form: ModelFile['form'];
  digest: string;
  bytes: number;
  file: string;
  name: string;
  kind: ModelFile['kind'];
  classes: string[];
  mode: string | null;
  signed: { envelope: Envelope; manifest: Manifest } | null;
  /** The content without signatures; null = the file has none. */
  content: { digest: string; data: Uint8Array } | null;
  /** Digest of the model within; null = its bundle has not been uploaded. */
  network: string | null;
}

/**
 * Models from uploaded files. The platform has no signing key. A file that was signed elsewhere is published after the same checks as a push;
 * any other file can only become a version that waits for a signature.
 */
export class ModelFiles {
  /** One file at a time, because each is in memory as a whole, and its parts once more. */
  private readonly inTurn = serially();

  constructor(private readonly parts: FileParts) {}

  /**
   * Describes an uploaded file, and how it can become a version.
   * @throws AIOT_NOT_FOUND (no such blob), AIOT_REQUEST_TOO_LARGE, and errors of the file's content
   */
  inspect(digest: string, described: Described): Promise<ModelFile> {
    return this.inTurn(() => this.inspected(digest, described));
  }

  private async inspected(digest: string, described: Described): Promise<ModelFile> {
    const read = await this.read(digest, described);
    const trust = await this.parts.trust.get();
    const { signed, content, name } = read;
    const { version: next } = await this.parts.models.next(name);
    const same = content && (await this.parts.models.withContent(name, content.digest));
    const outcome = await this.outcome(read, trust);
    const existing = outcome.published ?? (outcome.publish ? null : (same?.version ?? null));
    const { form, bytes, kind, classes, mode } = read;
    return {
      ...{ digest, bytes, form, name, kind, classes, mode },
      release: signed && (await this.release(read, signed, trust)),
      signatures: {
        valid: signed && trust ? signersOf(signed.envelope, trust).length : 0,
        required: trust?.roles.release.threshold ?? 0,
      },
      publish: outcome.publish,
      store: content && !same && existing === null ? { version: next } : null,
      existing,
      problem: outcome.problem && shown(outcome.problem),
    };
  }

  /**
   * Publishes a signed file: as the next version, or as a signature of the version that it names.
   * @throws AIOT_SIGNATURE_INVALID (not signed, or by unknown keys), AIOT_SIGNATURES_MISSING, AIOT_TRUST_MISSING, AIOT_VERSION_CONFLICT,
   * AIOT_DIGEST_MISMATCH, and as `inspect`
   */
  publish(digest: string, described: Described, who: string): Promise<ModelVersion> {
    return this.inTurn(() => this.published(digest, described, who));
  }

  private async published(digest: string, described: Described, who: string): Promise<ModelVersion> {
    const { models, blobs, trust } = this.parts;
    const read = await this.read(digest, described);
    const { signed, content, name, file } = read;
    if (!signed) {
      throw new AiotError('AIOT_SIGNATURE_INVALID', `${file} is not signed`, {
        next: 'Store it without a signature, then sign it with `aiot model sign NAME@VERSION`.',
      });
    }
    const { publish, problem, published } = await this.outcome(read, await trust.get());
    if (problem) throw problem;
    if (publish === null) return models.get(name, published ?? signed.manifest.version);
    if (content) await blobs.put(content.digest, once(content.data));
    return publish.adds === 'version'
      ? models.push(name, signed.envelope, who)
      : models.resign(signed.envelope, who);
  }

  /**
   * Stores a file's content as the next version of its model, which waits for a signature. A file that was stored before returns its version.
   * @throws AIOT_REQUEST_INVALID (a manifest), and as `inspect`
   */
  store(digest: string, described: Described, who: string): Promise<ModelVersion> {
    return this.inTurn(() => this.stored(digest, described, who));
  }

  private async stored(digest: string, described: Described, who: string): Promise<ModelVersion> {
    const { models, blobs, now } = this.parts;
    const { content, name, file } = await this.read(digest, described);
    if (!content) {
      throw new AiotError('AIOT_REQUEST_INVALID', `${file} contains only signatures`, {
        next: 'Upload the .aiot file to which the signatures belong.',
      });
    }
    if (content.digest !== digest) await blobs.put(content.digest, once(content.data));
    const { length: bytes } = content.data;
    return models.addOnce({
      name,
      digest: content.digest,
      bytes,
      source: 'dashboard',
      file,
      at: now(),
      who,
    });
  }

  private async read(digest: string, { file = 'the file', name }: Described): Promise<ReadFile> {
    const bytes = await this.bytes(digest, file);
    const of = { digest, bytes: bytes.length, file };
    if (bytes[0] === openBrace)
      return requireName({ ...of, ...(await this.manifestFile(bytes, file)) }, name);
    const { isSigned, networkBundle, peekSigned, requireBundle, unpackAny } = await import(
      '../../model/index.js'
    );
    if (bytes.subarray(4, 8).toString('latin1') === 'TFL3') {
      if (name === undefined) {
        throw new AiotError('AIOT_REQUEST_INVALID', `${file} does not contain the name of its model`, {
          next: 'Give the model a name.',
          field: 'name',
        });
      }
      const { info } = unpackAny(networkBundle(name, bytes, file));
      const content = { digest, data: bytes };
      return { ...of, form: 'network', ...partsOf(info), name, signed: null, content, network: digest };
    }
    requireBundle(bytes, file);
    const bundle = unpackAny(bytes, file);
    const network = digestOf(bundle.model);
    if (!isSigned(bytes)) {
      const content = { digest, data: bytes };
      const own = { ...partsOf(bundle.info), signed: null, content, network };
      return requireName({ ...of, form: 'bundle', ...own }, name);
    }
    const { envelope, content: data } = peekSigned(bytes, file);
    const manifest = modelManifest(envelope, file);
    const content = { digest: digestOf(data), data };
    const signed = { envelope, manifest };
    const own = { ...partsOf(bundle.info), signed, content, network };
    const read = { ...of, form: 'signed-bundle' as const, ...own };
    await this.requireUnchanged(read, bytes);
    return requireName(read, name);
  }

  /**
   * Rejects a signed bundle with a file that was changed after signing, whoever signed it.
   * @throws AIOT_BUNDLE_TAMPERED
   */
  private async requireUnchanged({ file, signed }: ReadFile, bytes: Uint8Array): Promise<void> {
    const trust = await this.parts.trust.get();
    if (!signed) return;
    const { requireSameFiles, verifySigned } = await import('../../model/index.js');
    if (!trust) {
      requireSameFiles(bytes, signed.manifest, file);
      return;
    }
    try {
      verifySigned(bytes, trust, file);
    } catch (error) {
      if (!hasCode(error, 'AIOT_SIGNATURE_INVALID')) throw error;
      requireSameFiles(bytes, signed.manifest, file);
    }
  }

  private async manifestFile(bytes: Buffer, file: string) {
    const envelope = parsedEnvelope(bytes, file);
    const manifest = modelManifest(envelope, file);
    requirePlain(envelope, file);
    const sizes = await this.sizes(manifest);
    for (const size of sizes) requireFit(size ?? 0, `the bundle of ${file}`);
    // All bytes of an uploaded bundle are compared with the manifest.
    const bundle = sizes.includes(null) ? null : await bundleOf(manifest, this.parts.blobs);
    const { model } = manifest;
    return {
      form: 'manifest' as const,
      ...(bundle
        ? partsOf(bundle.info)
        : {
            ...{ name: manifest.name, kind: model?.kind ?? ('model' as const) },
            ...{ classes: [], mode: model?.quantization.mode ?? null },
          }),
      signed: { envelope, manifest },
      content: null,
      network: bundle?.network ?? null,
    };
  }

  /** Size of each artifact's blob, bytes; null = not uploaded. */
  private sizes({ artifacts }: Manifest): Promise<(number | null)[]> {
    return Promise.all(artifacts.map(({ digest }) => this.parts.blobs.size(digest)));
  }

  private async bytes(digest: string, file: string): Promise<Buffer> {
    const size = await this.parts.blobs.size(digest);
    if (size === null) {
      throw new AiotError('AIOT_NOT_FOUND', `the blob ${digest} has not been uploaded`, {
        next: 'Upload the file with PUT /blobs/{digest}, then repeat the request.',
      });
    }
    requireFit(size, file);
    return this.parts.blobs.bytes(digest);
  }

  /** Effect of publishing, or the reason why it is not possible. `published`: the version that already has this manifest. */
  private async outcome(
    { form, file, signed, content, network }: ReadFile,
    trust: TrustRoot | null,
  ): Promise<Outcome> {
    if (!signed) return { publish: null, problem: null, published: null };
    const { envelope, manifest } = signed;
    const refuse = (problem: AiotError): Outcome => ({ publish: null, problem, published: null });
    const unsigned = signatureProblem(envelope, manifest, trust, { form, file });
    if (unsigned) return refuse(unsigned);
    const { models } = this.parts;
    const { name, version, sequence } = manifest;
    const digest = manifest.artifacts[0]?.digest ?? '';
    const there = await unless('AIOT_NOT_FOUND', models.get(name, version));
    const earlier = there && (await unless('AIOT_NOT_FOUND', models.manifest(sequence)));
    if (earlier?.payload === envelope.payload) return { publish: null, problem: null, published: version };
    if (!content && network === null) {
      const message = `the bundle of ${name}@${version} (${digest}) has not been uploaded`;
      const next = 'Choose the .aiot file together with its manifest.';
      return refuse(new AiotError('AIOT_NOT_FOUND', message, { next }));
    }
    const next = await models.next(name);
    if (version === next.version && sequence === next.sequence)
      return { publish: { version, adds: 'version' }, problem: null, published: null };
    const sign = { next: await this.signInstead(name, digest, content !== null) };
    if (there && sequence === next.sequence) {
      const known = there.trusted ? there.digest : (there.origin?.digest ?? digest);
      if (known === digest || (!there.trusted && known === network))
        return { publish: { version, adds: 'signature' }, problem: null, published: null };
      const message = `${name}@${version} has the digest ${known}, but the signed content has another one`;
      return refuse(new AiotError('AIOT_DIGEST_MISMATCH', message, sign));
    }
    const message = `expected version ${next.version} with sequence number ${next.sequence}, got version ${version} with ${sequence}`;
    return refuse(new AiotError('AIOT_VERSION_CONFLICT', message, sign));
  }

  /** The next step for content whose signatures are valid, but belong to another version. */
  private async signInstead(name: string, digest: string, isWhole: boolean): Promise<string> {
    const { models } = this.parts;
    const same = await models.withContent(name, digest);
    if (same) return `Sign the model again with \`aiot model sign ${name}@${same.version}\`.`;
    const { version } = await models.next(name);
    const what = isWhole ? 'the model' : 'its .aiot file';
    return `Store ${what} without these signatures, then sign it with \`aiot model sign ${name}@${version}\`.`;
  }

  private async release(
    { content }: ReadFile,
    { envelope, manifest }: NonNullable<ReadFile['signed']>,
    trust: TrustRoot | null,
  ): Promise<ToSign> {
    const valid = trust ? signersOf(envelope, trust) : [];
    const { kind, name, version, sequence, floor, deviceTypes, issued, expires } = manifest;
    const artifacts = await Promise.all(
      manifest.artifacts.map(async (artifact) => {
        const isHere = content?.digest === artifact.digest;
        const size = isHere ? content.data.length : await this.parts.blobs.size(artifact.digest);
        const blob = size === null ? 'missing' : size === artifact.bytes ? 'right' : 'wrong';
        return { ...artifact, blob } as const;
      }),
    );
    const signers = envelope.signatures.map(({ keyid }) => ({ keyid, counts: valid.includes(keyid) }));
    return { kind, name, version, sequence, floor, deviceTypes, issued, expires, artifacts, signers };
  }
}

interface Outcome {
  publish: ModelFile['publish'];
  problem: AiotError | null;
  published: number | null;
}

const openBrace = '{'.charCodeAt(0);

function signersOf(envelope: Envelope, { keys, roles }: TrustRoot): string[] {
  return validSigners(envelope, keys, roles.release.keyids);
}

/** Why a manifest's signatures do not suffice; null = they do. */
function signatureProblem(
  envelope: Envelope,
  { name, version }: Manifest,
  trust: TrustRoot | null,
  { form, file }: Pick<ReadFile, 'form' | 'file'>,
): AiotError | null {
  if (!trust) return new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
  const { threshold } = trust.roles.release;
  const { length: valid } = signersOf(envelope, trust);
  if (valid >= threshold) return null;
  const what = `${name}@${version}`;
  if (valid === 0) return invalidSignatures(envelope, trust, what);
  return new AiotError('AIOT_SIGNATURES_MISSING', `${what} has ${valid} of ${threshold} signatures`, {
    next:
      form === 'manifest'
        ? `Send ${file} to another signer, who runs \`aiot trust sign FILE\`.`
        : `Store the model without these signatures, then sign it with \`aiot model sign NAME@VERSION\`.`,
  });
}

/** Why none of a manifest's signatures counts. */
function invalidSignatures({ signatures }: Envelope, { keys, roles }: TrustRoot, what: string): AiotError {
  const refuse = (keyids: string[], reason: string, next: string) =>
    new AiotError(
      'AIOT_SIGNATURE_INVALID',
      `${what} is signed with ${keyids.map((keyid) => keyid.slice(0, 8)).join(', ')}, ${reason}`,
      { next },
    );
  const all = signatures.map(({ keyid }) => keyid);
  const known = all.filter((keyid) => keys[keyid] !== undefined);
  const releasing = known.filter((keyid) => roles.release.keyids.includes(keyid));
  if (releasing.length > 0) {
    return refuse(
      releasing,
      'but the signature does not match: the manifest was altered after signing',
      'Get the file again from the computer on which it was signed.',
    );
  }
  const next =
    'To see the keys that may sign, run `aiot trust status`. Have one of their owners sign the model.';
  return known.length > 0
    ? refuse(known, 'which may not sign releases', next)
    : refuse(all, 'which the trust root does not contain', next);
}

/** @throws AIOT_REQUEST_TOO_LARGE */
function requireFit(bytes: number, file: string): void {
  if (bytes <= largestModelFile) return;
  throw new AiotError(
    'AIOT_REQUEST_TOO_LARGE',
    `${file} has ${bytes} bytes; expected at most ${largestModelFile}`,
    { next: 'Push the file with `aiot model push FILE`, which has a higher limit.' },
  );
}

/** @throws AIOT_MANIFEST_MALFORMED */
function parsedEnvelope(bytes: Buffer, file: string): Envelope {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw notManifest(file, cause);
  }
  const read = envelopeSchema.safeParse(value);
  if (read.success) return read.data;
  throw notManifest(file, read.error);
}

function notManifest(file: string, cause: unknown): AiotError {
  return new AiotError('AIOT_MANIFEST_MALFORMED', `${file} is not a signed manifest`, {
    cause,
    next: 'Choose a .aiot file, a .tflite file, or the manifest file that `aiot model push` or `aiot trust sign` wrote.',
  });
}

/** @throws AIOT_MANIFEST_MALFORMED, AIOT_REQUEST_INVALID (firmware or a configuration) */
function modelManifest(envelope: Envelope, file: string): Manifest {
  const manifest = peekManifest(envelope);
  if (manifest.kind === 'model') return manifest;
  const { kind, name } = manifest;
  throw new AiotError(
    'AIOT_REQUEST_INVALID',
    `${file} is the manifest of the ${kind} ${name}, not of a model`,
    {
      next: 'Publish it with `aiot trust sign FILE`.',
    },
  );
}

function partsOf(info: (Bundle | NetworkBundle)['info']) {
  const { name, kind, quantization } = info;
  const classes = info.kind === 'model' ? info.classes : [];
  return { name, kind, classes: [...classes], mode: quantization.mode };
}

/** @throws AIOT_REQUEST_INVALID */
function requireName(read: ReadFile, name: string | undefined): ReadFile {
  if (name === undefined || name === read.name) return read;
  throw new AiotError(
    'AIOT_REQUEST_INVALID',
    `${read.file} is the model ${read.name}, and cannot be uploaded as ${name}`,
    { next: 'Omit the name, or push the file under another name with `aiot model push FILE --name NAME`.' },
  );
}

function shown({ code, message, next }: AiotError) {
  return { code, message, next };
}

async function* once(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data;
}
