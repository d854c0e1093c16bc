import { Readable } from 'node:stream';
import type { Logger } from 'pino';
import { canonicalJson, digestOf } from '../../core/crypto.js';
import { writeZip } from '../../formats/zip.js';
import type { Bundle, NetworkBundle } from '../../model/bundle/types.js';
import type { BlobStore } from '../blobs/store.js';
import type { Store } from '../store/database.js';
import type { Turn } from '../store/engine.js';
import { type GuideFiles, stamp } from './files.js';

interface Parts {
  store: Store;
  blobs: BlobStore;
  files: GuideFiles;
  log: Logger;
  inTurn: Turn;
}

interface Version {
  name: string;
  version: number;
  digest: string;
  pushed: number;
}

/**
 * Adds the registry's signed versions to the guide's files, in formats that its clients support: the model under quantized/, the full
 * training result under full/. Updated whenever one of these folders is requested.
 */
export class Shelf {
  /** `name@version` of versions that cannot be converted to these formats. */
  private readonly unfit = new Set<string>();

  constructor(private readonly parts: Parts) {}

  refresh(): Promise<void> {
    return this.parts.inTurn(async () => {
      await this.parts.files.remove(await this.gone());
      for (const version of await this.missing()) await this.add(version);
    });
  }

  private async add({ name, version, digest, pushed }: Version): Promise<void> {
    const { blobs, log } = this.parts;
    const subject = `${name}@${version}`;
    if (this.unfit.has(subject)) return;
    try {
      const { guideNetwork, guideSavedModel, unpackAny } = await import('../../model/index.js');
      const bundle = unpackAny(await blobs.bytes(digest));
      const network = guideNetwork(bundle);
      const training = trainingZip(bundle, guideSavedModel(bundle), pushed);
      const time = await this.freeTime(pushed);
      const common = { modified: pushed, model: name, version };
      // Written second, so that its presence means that both exist.
      await this.put(
        { folder: 'full', name: `${time}-model.zip`, type: 'application/zip', ...common },
        training,
      );
      const type = 'application/octet-stream';
      await this.put({ folder: 'quantized', name: `${time}-model.tflite`, type, ...common }, network);
    } catch (err) {
      this.unfit.add(subject);
      log.warn({ err, model: subject }, "a model has no format that the guide's clients support");
    }
  }

  private async put(
    file: Omit<Parameters<GuideFiles['put']>[0], 'digest' | 'bytes'>,
    bytes: Uint8Array,
  ): Promise<void> {
    const digest = digestOf(bytes);
    await this.parts.blobs.put(digest, Readable.from([bytes]));
    await this.parts.files.put({ ...file, digest, bytes: bytes.length });
  }

  /** Versions pushed in the same second are named after the following seconds. */
  private async freeTime(pushed: number): Promise<string> {
    for (let at = pushed; ; at += 1000) {
      const time = stamp(at);
      const names = [`${time}-model.tflite`, `${time}-model.zip`];
      const taken = await this.parts.store
        .selectFrom('guideFiles')
        .select('name')
        .where('name', 'in', names)
        .executeTakeFirst();
      if (!taken) return time;
    }
  }

  private missing(): Promise<Version[]> {
    return this.parts.store
      .selectFrom('models')
      .leftJoin('guideFiles', (join) =>
        join
          .onRef('guideFiles.model', '=', 'models.name')
          .onRef('guideFiles.version', '=', 'models.version')
          .on('guideFiles.folder', '=', 'quantized'),
      )
      .select(['models.name', 'models.version', 'models.digest', 'models.pushed'])
      .where('models.removed', 'is', null)
      .where('models.sequence', '>', 0)
      .where('guideFiles.name', 'is', null)
      .orderBy('models.pushed')
      .orderBy('models.sequence')
      .execute();
  }

  /** Lists files of removed versions. */
  private gone() {
    return this.parts.store
      .selectFrom('guideFiles')
      .innerJoin('models', (join) =>
        join.onRef('models.name', '=', 'guideFiles.model').onRef('models.version', '=', 'guideFiles.version'),
      )
      .select(['guideFiles.folder', 'guideFiles.name', 'guideFiles.digest'])
      .where('models.removed', 'is not', null)
      .execute();
  }
}

/**
 * A training result in the format of the guide's full/: a zip with a folder that contains a SavedModel. The guide uses the folder of the
 * first file as the model. The model is in floating point; the weights of a quantized model are dequantized, because a bundle contains no
 * others. The bundle's own parts are in assets.extra, which TensorFlow ignores; the copy of the model there still expects standardized
 * inputs.
 * @param savedModel the output of `guideSavedModel`
 * @param modified ms since 1970
 */
function trainingZip(
  { info, model, golden, lineage }: Bundle | NetworkBundle,
  savedModel: Uint8Array,
  modified: number,
): Uint8Array {
  const extra = (name: string, data: Uint8Array) => ({ name: `model/assets.extra/${name}`, data });
  const json = (name: string, value: unknown) => extra(name, Buffer.from(`${canonicalJson(value)}\n`));
  return writeZip(
    [
      { name: 'model/saved_model.pb', data: savedModel },
      extra('model.tflite', model),
      json('bundle.json', info),
      json('golden.json', golden),
      json('lineage.json', lineage),
    ],
    modified,
  );
}
