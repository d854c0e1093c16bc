import { AiotError } from '../../core/index.js';
import {
  DeviceTable,
  type RolloutDevice,
  type RolloutHead,
  type RolloutState,
  type RolloutStore,
} from '../../fleet/index.js';
import type { DesiredStates } from '../services/desired.js';
import type { Events } from '../services/events.js';
import type { Store } from './database.js';
import { movedEvents, startedEvents } from './rollout-events.js';
import { saveRolloutJob } from './rollout-jobs.js';
import { deviceOf, deviceRow, headOf, headRow, releaseRows } from './rollout-rows.js';
import type { Schema } from './schema.js';

/** Values of one statement, and rows of one page. */
const [atOnce, ended] = [100, ['done', 'partly', 'failed', 'rolledBack', 'aborted']];

/** Rollouts in the database: each save is one transaction, with its events and with what the devices are to run from then on. */
export function rolloutStoreIn(store: Store, events: Events, desired: DesiredStates): RolloutStore {
  const read = async (row: Schema['rollouts'], known?: RolloutState) =>
    stateOf(row, await devicesOf(store, row.id, known?.head.revision), known);
  return {
    async insert(state, who) {
      await store.transaction().execute(async (transaction) => {
        await transaction.insertInto('rollouts').values(headRow(state.head)).execute();
        await transaction.insertInto('rolloutReleases').values(releaseRows(state.head)).execute();
        await saveDevices(transaction, state.head, [...state.devices.values()]);
        await saveRolloutJob(transaction, state.head, who);
        await events.recordAll(startedEvents(state, who), transaction);
      });
    },
    save: (before, step, who) =>
      store.transaction().execute(async (transaction) => {
        await saveHead(transaction, step.head);
        await saveDevices(transaction, step.head, step.changed);
        await saveRolloutJob(transaction, step.head, who);
        const told = await desired.write(step.wishes, transaction);
        await events.recordAll(movedEvents(before, step, who), transaction);
        return told;
      }),
    async get(id) {
      const row = await rowOf(store, id);
      return row ? read(row) : null;
    },
    async head(id) {
      const row = await rowOf(store, id);
      return row ? headOf(row) : null;
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
      return rows.map((row) => headOf(row));
    },
    async devices(id, { state, wave, after, limit }) {
      const rows = await store
        .selectFrom('rolloutDevices')
        .selectAll()
        .where('rollout', '=', id)
        .$if(after !== undefined, (query) => query.where('device', '>', after ?? ''))
        .$if(state !== undefined, (query) => query.where('state', '=', state ?? ''))
        .$if(wave !== undefined, (query) => query.where('wave', '=', wave ?? 0))
        .orderBy('device')
        .limit(limit)
        .execute();
      return rows.map(deviceOf);
    },
    async running(known) {
      const rows = await store.selectFrom('rollouts').selectAll().where('state', 'not in', ended).execute();
      const states: RolloutState[] = [];
      for (const row of rows) {
        const before = known.get(row.id);
        states.push(before?.head.revision === row.revision ? before : await read(row, before));
      }
      return states;
    },
  };
}

function rowOf(store: Store, id: string): Promise<Schema['rollouts'] | undefined> {
  return store.selectFrom('rollouts').selectAll().where('id', '=', id).executeTakeFirst();
}

/** @throws AIOT_DATABASE_UNREACHABLE when somebody else has changed it meanwhile: the turn was lost with its connection */
async function saveHead(store: Store, head: RolloutHead): Promise<void> {
  const { numUpdatedRows } = await store
    .updateTable('rollouts')
    .set(headRow(head))
    .where('id', '=', head.id)
    .where('revision', '=', head.revision - 1)
    .executeTakeFirst();
  if (numUpdatedRows > 0n) return;
  throw new AiotError('AIOT_DATABASE_UNREACHABLE', `${head.id} was changed by another process meanwhile`, {
    retryable: true,
  });
}

async function saveDevices(store: Store, head: RolloutHead, devices: RolloutDevice[]): Promise<void> {
  for (let i = 0; i < devices.length; i += atOnce) {
    const rows = devices.slice(i, i + atOnce).map((device, j) => deviceRow(head, device, i + j));
    await store
      .insertInto('rolloutDevices')
      .values(rows)
      .onConflict((conflict) =>
        conflict.columns(['rollout', 'device']).doUpdateSet(({ ref }) => ({
          state: ref('excluded.state'),
          updated: ref('excluded.updated'),
          revision: ref('excluded.revision'),
          data: ref('excluded.data'),
        })),
      )
      .execute();
  }
}

/** In their order. `since`: only those that have changed after this revision of the rollout. */
async function devicesOf(store: Store, rollout: string, since?: number): Promise<RolloutDevice[]> {
  const rows = await store
    .selectFrom('rolloutDevices')
    .selectAll()
    .where('rollout', '=', rollout)
    .$if(since !== undefined, (query) => query.where('revision', '>', since ?? 0))
    .orderBy('place')
    .orderBy('device')
    .execute();
  return rows.map(deviceOf);
}

function stateOf(row: Schema['rollouts'], read: RolloutDevice[], known?: RolloutState): RolloutState {
  if (known) return { head: headOf(row), devices: DeviceTable.of(known.devices).with(read) };
  return { head: headOf(row, read), devices: DeviceTable.from(read) };
}
