import { AiotError } from '../../core/index.js';
import type { RolloutDevice, RolloutState, RolloutStore } from '../../fleet/index.js';
import type { Events, NewEvent } from '../services/events.js';
import type { Store } from './database.js';
import { saveRolloutJob } from './rollout-jobs.js';
import type { Schema } from './schema.js';

/** Rollouts in the database: each save is one transaction, with the events of what it changes. */
export function rolloutStoreIn(store: Store, events: Events): RolloutStore {
  const withDevices = async (rows: Schema['rollouts'][]) => {
    const states: RolloutState[] = [];
    for (const row of rows) states.push(stateOf(row, await devicesOf(store, row.id)));
    return states;
  };
  return {
    async save(rollout, changed, who) {
      await store.transaction().execute(async (transaction) => {
        const fresh = rollout.revision === 1;
        if (fresh) await transaction.insertInto('rollouts').values(rowOf(rollout)).execute();
        else await saveAgain(transaction, rollout);
        await saveDevices(transaction, rollout, changed);
        await saveRolloutJob(transaction, rollout, who);
        for (const event of fresh ? started(rollout, who) : moved(rollout, changed, who)) {
          await events.record(event, transaction);
        }
      });
    },
    async get(id) {
      const rows = await store.selectFrom('rollouts').selectAll().where('id', '=', id).execute();
      return (await withDevices(rows))[0] ?? null;
    },
    async count() {
      const { count } = await store
        .selectFrom('rollouts')
        .select(({ fn }) => fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow();
      return count;
    },
    async list({ after, limit }) {
      // Ids rise with time.
      const rows = await store
        .selectFrom('rollouts')
        .selectAll()
        .$if(after !== undefined, (query) => query.where('id', '<', after ?? ''))
        .orderBy('id', 'desc')
        .limit(limit)
        .execute();
      return withDevices(rows);
    },
    async running(known) {
      const running = store.selectFrom('rollouts').selectAll().where('state', '=', 'running');
      const states: RolloutState[] = [];
      for (const row of await running.execute()) {
        const before = known.get(row.id);
        if (before?.revision === row.revision) states.push(before);
        else states.push(stateOf(row, merged(before, await devicesOf(store, row.id, before?.revision))));
      }
      return states;
    },
  };
}

/** @throws AIOT_DATABASE_UNREACHABLE when somebody else has changed it meanwhile: the turn was lost with its connection */
async function saveAgain(store: Store, { id, state, ended, revision }: RolloutState): Promise<void> {
  const { numUpdatedRows } = await store
    .updateTable('rollouts')
    .set({ state, ended, revision })
    .where('id', '=', id)
    .where('revision', '=', revision - 1)
    .executeTakeFirst();
  if (numUpdatedRows > 0n) return;
  throw new AiotError('AIOT_DATABASE_UNREACHABLE', `${id} was changed by another process meanwhile`, {
    retryable: true,
  });
}

async function saveDevices(store: Store, { id, revision }: RolloutState, changed: RolloutDevice[]) {
  // A statement takes so many values and no more.
  for (let i = 0; i < changed.length; i += 500) {
    const rows = changed.slice(i, i + 500).map((device) => deviceRow(id, revision, device));
    await store
      .insertInto('rolloutDevices')
      .values(rows)
      .onConflict((conflict) =>
        conflict.columns(['rollout', 'device']).doUpdateSet(({ ref }) => ({
          state: ref('excluded.state'),
          step: ref('excluded.step'),
          error: ref('excluded.error'),
          updated: ref('excluded.updated'),
          revision: ref('excluded.revision'),
        })),
      )
      .execute();
  }
}

/** All devices of a rollout: those that were known, and in their place those that have changed. */
function merged(before: RolloutState | undefined, changed: RolloutDevice[]): RolloutDevice[] {
  if (!before) return changed;
  const found = new Map(changed.map((device) => [device.name, device]));
  return before.devices.map((device) => found.get(device.name) ?? device);
}

/** One event of the model, whose history it is, and one of the rollout. */
function started({ id, kind, model, sequence, selector, devices }: RolloutState, who: string): NewEvent[] {
  const subject = `${model.name}@${model.version}`;
  const count = { selector, devices: devices.length };
  const start: NewEvent = {
    ...{ who, type: 'rollout.start', subject: id },
    data: { ...(kind === 'model' ? {} : { kind }), model, sequence, ...count },
  };
  if (kind !== 'model') return [start];
  return [{ who, type: 'model.deploy', subject, data: { rollout: id, ...count } }, start];
}

function moved({ id, state }: RolloutState, changed: RolloutDevice[], who: string): NewEvent[] {
  const moves = changed.map((device): NewEvent => {
    const { name, state: to, step, error } = device;
    return { who, type: 'rollout.move', subject: id, data: { device: name, state: to, step, error } };
  });
  return state === 'running' ? moves : [...moves, { who, type: 'rollout.end', subject: id, data: { state } }];
}

/** `since`: only those that have changed after this revision of the rollout. */
async function devicesOf(store: Store, rollout: string, since?: number): Promise<RolloutDevice[]> {
  const rows = await store
    .selectFrom('rolloutDevices')
    .selectAll()
    .where('rollout', '=', rollout)
    .$if(since !== undefined, (query) => query.where('revision', '>', since ?? 0))
    .orderBy('device')
    .execute();
  return rows.map(({ device, state, step, error, updated }) => ({
    name: device,
    state: state as RolloutDevice['state'],
    step,
    error: error === null ? null : (JSON.parse(error) as RolloutDevice['error']),
    updated,
  }));
}

function deviceRow(rollout: string, revision: number, device: RolloutDevice): Schema['rolloutDevices'] {
  const { name, state, step, error, updated } = device;
  return { rollout, device: name, state, step, error: error && JSON.stringify(error), updated, revision };
}

function rowOf({ devices: _, model, ...rollout }: RolloutState): Schema['rollouts'] {
  return { ...rollout, ...model };
}

function stateOf(row: Schema['rollouts'], devices: RolloutDevice[]): RolloutState {
  const { name, version, kind, state, ...rest } = row;
  return {
    ...rest,
    kind: kind as RolloutState['kind'],
    model: { name, version },
    state: state as RolloutState['state'],
    devices,
  };
}
