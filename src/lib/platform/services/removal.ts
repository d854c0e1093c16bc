import { AiotError } from '../../core/index.js';
import type { ModelVersion, RemovedModel } from '../../registry/index.js';
import type { BlobStore } from '../blobs/store.js';
import type { Store } from '../store/database.js';
import type { Audit } from './audit.js';
import type { Models } from './models.js';

interface Parts {
  store: Store;
  blobs: BlobStore;
  models: Models;
  audit: Audit;
  /** ms since 1970 */
  now: () => number;
}

/** What removes versions, and then the blobs that nobody refers to any more. */
export class Removal {
  constructor(private readonly parts: Parts) {}

  /**
   * Takes a version away for good; its number is never given again. The database comes first: what is cut short after it
   * is ended by `sweep` at the next start.
   * @throws AIOT_NOT_FOUND, AIOT_MODEL_IN_USE
   */
  remove(name: string, version: number, who: string): Promise<RemovedModel> {
    const { models, store, audit, now } = this.parts;
    return models.inTurn(async () => {
      const card = await models.get(name, version);
      const users = await this.users(card);
      if (users.length > 0) {
        const subject = `${name}@${version}`;
        // To demote it helps where the stage alone holds it.
        const next =
          users.length > 1 || card.stage !== 'production'
            ? `Give the devices that have it another version, or revoke them: aiot model deploy ${name}@VERSION --to all`
            : `aiot model promote ${subject} --to dev`;
        throw new AiotError('AIOT_MODEL_IN_USE', `${subject} cannot be removed: ${users.join(', ')}`, {
          next,
        });
      }
      const { digest } = card;
      await store.transaction().execute(async (transaction) => {
        await transaction
          .updateTable('models')
          .set({ removed: now() })
          .where('name', '=', name)
          .where('version', '=', version)
          .execute();
        await transaction
          .insertInto('doomedBlobs')
          .values({ digest })
          .onConflict((conflict) => conflict.doNothing())
          .execute();
        const act = { who, action: 'model.remove', subject: `${name}@${version}`, detail: { digest } };
        await audit.note(act, transaction);
      });
      const removed = await this.sweep();
      return { name, version, digest, blobRemoved: removed.includes(digest) };
    });
  }

  /** Deletes the blobs that were given up, unless a version has them again. Returns those that are gone. */
  async sweep(): Promise<string[]> {
    const { store, blobs } = this.parts;
    const gone: string[] = [];
    for (const { digest } of await store.selectFrom('doomedBlobs').selectAll().execute()) {
      const used = await store
        .selectFrom('models')
        .select('name')
        .where('digest', '=', digest)
        .where('removed', 'is', null)
        .executeTakeFirst();
      const firmware = await store
        .selectFrom('firmware')
        .select('name')
        .where('digest', '=', digest)
        .executeTakeFirst();
      if (!used && !firmware) {
        await blobs.remove(digest);
        gone.push(digest);
      }
      await store.deleteFrom('doomedBlobs').where('digest', '=', digest).execute();
    }
    return gone;
  }

  /** Who runs it or is to run it, in words. */
  private async users({ name, version, stage }: ModelVersion): Promise<string[]> {
    const { store } = this.parts;
    const users = stage === 'production' ? ['it is in production'] : [];
    const devices = await store.selectFrom('devices').selectAll().where('state', '!=', 'revoked').execute();
    const isIt = (text: string | null, pick: (value: never) => unknown) => {
      const it =
        text === null ? null : (pick(JSON.parse(text) as never) as { name: string; version: number } | null);
      return it?.name === name && it.version === version;
    };
    for (const device of devices) {
      if (isIt(device.reported, ({ model }: { model: unknown }) => model))
        users.push(`${device.name} runs it`);
      else if (isIt(device.desired, (desired) => desired)) users.push(`${device.name} is to run it`);
    }
    const running = await store
      .selectFrom('rollouts')
      .select('id')
      .where('name', '=', name)
      .where('version', '=', version)
      .where('state', '=', 'running')
      .execute();
    return [...users, ...running.map(({ id }) => `the rollout ${id} is under way`)];
  }
}
