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
 * Puts the registry's signed versions among the guide's files, in the forms that its clients know: under quantized/ the
 * network, under full/ the training. Looked at whenever one of the two is asked for.
 */
export class Shelf {
  /** `name@version` of those that have no such form. */
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
      // The second of the two says that both are there.
      await this.put(
        { folder: 'full', name: `${time}-model.zip`, type: 'application/zip', ...common },
        training,
      );
      const type = 'application/octet-stream';
      await this.put({ folder: 'quantized', name: `${time}-model.tflite`, type, ...common }, network);
    } catch (err) {
      this.unfit.add(subject);
      log.warn({ err, model: subject }, 'a model has no form that the clients of the guide know');
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

  /** Versions that were pushed in one second get names of the seconds after it. */
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

  /** Files of versions that were removed. */
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
 * A training as the guide's full/ has them: a SavedModel, in a folder in a zip. The guide takes the folder of the first file for
 * the model's. The network is in real numbers, of a quantized one those that its integers stand for: a bundle has no other.
 * The bundle's own parts are in assets.extra, where TensorFlow looks at nothing; the network there takes standardized inputs still.
 * @param savedModel what `guideSavedModel` made of it
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
