import {
  type ModelVersion,
  type RemovedModel,
  type Stage,
  type StageRequest,
  stages,
} from '../../api/api.js';
import { requireTrusted } from '../../api/vouched.js';
import { AiotError } from '../../core/errors.js';
import type { Leases } from '../blobs/leases.js';
import type { BlobStore } from '../blobs/store.js';
import { references } from '../datasets/orphans.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';
import type { Models } from './models.js';

interface StageParts {
  store: Store;
  models: Models;
  events: Events;
}

/**
 * Moves a version from dev to staging to production, or back. Promotion is one stage at a time, and each stage has a
 * gate. Staging requires the evaluation to meet its limits; production requires a rollout that succeeded on every
 * device. A reason can replace a gate, and is recorded. Only one version of each model is in production; the previous
 * one returns to staging.
 */
export class Stages {
  constructor(private readonly parts: StageParts) {}

  /** @throws AIOT_NOT_FOUND, AIOT_MODEL_UNTRUSTED, AIOT_GATE_FAILED, AIOT_REQUEST_INVALID (a skipped or the current stage) */
  move(name: string, version: number, { to, reason }: StageRequest, who: string): Promise<ModelVersion> {
    const { models, store, events } = this.parts;
    return models.inTurn(async () => {
      const card = await models.get(name, version);
      requireTrusted(card);
      const subject = `${name}@${version}`;
      const steps = stages.indexOf(to) - stages.indexOf(card.stage);
      if (steps === 0) throw invalid(`${subject} is already in ${to}`, `aiot model show ${subject}`);
      if (steps > 1) {
        throw invalid(
          `${subject} is in ${card.stage} and must go to staging first`,
          `aiot model promote ${subject} --to staging`,
        );
      }
      const refusal = steps > 0 ? await this.refusal(card, to) : null;
      if (refusal && reason === undefined) throw refusal;
      // Read before the transaction, because there is only one connection, and a separate query inside would wait for it forever.
      const before = to === 'production' ? await this.inProduction(name) : [];
      await store.transaction().execute(async (transaction) => {
        const put = (of: number, stage: Stage) =>
          transaction
            .updateTable('models')
            .set({ stage })
            .where('name', '=', name)
            .where('version', '=', of)
            .execute();
        for (const other of before) {
          await put(other, 'staging');
          const data = { from: 'production', to: 'staging', replacedBy: version };
          await events.record({ who, type: 'model.demote', subject: `${name}@${other}`, data }, transaction);
        }
        await put(version, to);
        const gate = steps > 0 ? { gate: refusal ? refusal.message : 'passed' } : {};
        const data = { from: card.stage, to, ...gate, ...(reason === undefined ? {} : { reason }) };
        const type = steps > 0 ? 'model.promote' : 'model.demote';
        await events.record({ who, type, subject, data }, transaction);
      });
      return models.get(name, version);
    });
  }

  private async refusal(card: ModelVersion, to: Stage): Promise<AiotError | null> {
    const gate = to === 'production' ? await this.canary(card) : evaluation(card);
    if (gate === null) return null;
    return new AiotError('AIOT_GATE_FAILED', gate.message, { next: gate.next });
  }

  private async canary({ name, version }: ModelVersion) {
    const done = await this.parts.store
      .selectFrom('rolloutReleases')
      .innerJoin('rollouts', 'rollouts.id', 'rolloutReleases.rollout')
      .select('id')
      .where('kind', '=', 'model')
      .where('name', '=', name)
      .where('version', '=', version)
      .where('place', '>=', 0)
      .where('state', '=', 'done')
      .executeTakeFirst();
    if (done) return null;
    return {
      message: `${name}@${version}: expected a rollout that succeeded on all its devices, got none`,
      next: `Run \`aiot model deploy ${name}@${version} --selector name=DEVICE\`, or give a reason: --reason TEXT`,
    };
  }

  private async inProduction(name: string): Promise<number[]> {
    const rows = await this.parts.store
      .selectFrom('models')
      .select('version')
      .where('name', '=', name)
      .where('stage', '=', 'production')
      .where('removed', 'is', null)
      .execute();
    return rows.map(({ version }) => version);
  }
}

/**
 * Reason why the signed evaluation does not allow promotion, or null. An evaluation without limits proves nothing, so
 * it does not allow promotion.
 */
function evaluation({ name, version, kind, gates }: ModelVersion): { message: string; next: string } | null {
  const next = 'Set limits in model.accept, then evaluate and push again; or give a reason: --reason TEXT';
  const subject = `${name}@${version}`;
  if (kind === 'network') {
    return {
      message: `${subject}: a model without a project has no evaluation`,
      next: 'Evaluate and push its project (aiot model push --project DIR), or give a reason: --reason TEXT',
    };
  }
  if (gates.length === 0)
    return { message: `${subject}: expected an evaluation with limits, got none`, next };
  const failed = gates
    .filter(({ passed }) => !passed)
    .map((gate) => `${gate.name} ${gate.got} (limit ${gate.limit})`);
  return failed.length === 0 ? null : { message: `${subject}: ${failed.join(', ')}`, next };
}

function invalid(message: string, next?: string): AiotError {
  return new AiotError('AIOT_REQUEST_INVALID', message, next === undefined ? {} : { next });
}

interface RemovalParts {
  store: Store;
  blobs: BlobStore;
  leases: Leases;
  models: Models;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/** Removes versions, and then blobs that are no longer referenced. */
export class Removal {
  constructor(private readonly parts: RemovalParts) {}

  /**
   * Removes a version permanently; its number is never reused. The database is changed first, so that `sweep` can complete an interrupted
   * removal at the next start.
   * @throws AIOT_NOT_FOUND, AIOT_MODEL_IN_USE
   */
  remove(name: string, version: number, who: string): Promise<RemovedModel> {
    const { models, store, events, now } = this.parts;
    return models.inTurn(async () => {
      const card = await models.get(name, version);
      const users = await this.users(card);
      if (users.length > 0) {
        const subject = `${name}@${version}`;
        // Advice to demote the version is useful only if nothing but its stage prevents the removal.
        const next =
          users.length > 1 || card.stage !== 'production'
            ? `Deploy another version to the devices that have it, or revoke the devices: \`aiot model deploy ${name}@VERSION --selector all\`.`
            : `Take it out of production with \`aiot model promote ${subject} --to dev\`.`;
        throw new AiotError('AIOT_MODEL_IN_USE', `${subject} cannot be removed: ${users.join(', ')}`, {
          next,
        });
      }
      const { digest, origin } = card;
      const doomed = [...new Set([digest, ...(origin ? [origin.digest] : [])])].map((each) => ({
        digest: each,
      }));
      await store.transaction().execute(async (transaction) => {
        await transaction
          .updateTable('models')
          .set({ removed: now() })
          .where('name', '=', name)
          .where('version', '=', version)
          .execute();
        await transaction
          .insertInto('doomedBlobs')
          .values(doomed)
          .onConflict((conflict) => conflict.doNothing())
          .execute();
        const event = { who, type: 'model.remove' as const, subject: `${name}@${version}`, data: { digest } };
        await events.record(event, transaction);
      });
      const removed = await this.sweep();
      return { name, version, digest, blobRemoved: removed.includes(digest) };
    });
  }

  /**
   * Deletes the blobs in `doomedBlobs`, unless something refers to them again or is about to. Returns the deleted
   * digests.
   */
  async sweep(): Promise<string[]> {
    const { store, blobs } = this.parts;
    const doomed = await store.selectFrom('doomedBlobs').select('digest').execute();
    if (doomed.length === 0) return [];
    const used = await this.parts.leases.current();
    for (const { digest } of await references(store)) used.add(digest);
    const gone: string[] = [];
    for (const { digest } of doomed) {
      if (!used.has(digest)) {
        await blobs.remove(digest);
        gone.push(digest);
      }
      await store.deleteFrom('doomedBlobs').where('digest', '=', digest).execute();
    }
    return gone;
  }

  /** Describes the uses that prevent removal: production, devices, and rollouts. */
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
      else if (isIt(device.desired, (desired) => desired)) users.push(`it is assigned to ${device.name}`);
    }
    const running = await store
      .selectFrom('rolloutReleases')
      .innerJoin('rollouts', 'rollouts.id', 'rolloutReleases.rollout')
      .select('id')
      .distinct()
      .where('kind', '=', 'model')
      .where('name', '=', name)
      .where('version', '=', version)
      .where('ended', 'is', null)
      .execute();
    return [...users, ...running.map(({ id }) => `the rollout ${id} is in progress`)];
  }
}
