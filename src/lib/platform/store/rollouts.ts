import type { RolloutDevice, RolloutState, RolloutStore } from '../../fleet/index.js';
import type { Store } from './database.js';
import type { Schema } from './schema.js';

/** Rollouts in the database: each save is one transaction. */
export function rolloutStoreIn(store: Store): RolloutStore {
  const withDevices = async (rows: Schema['rollouts'][]) => {
    const states: RolloutState[] = [];
    for (const row of rows) states.push(stateOf(row, await devicesOf(store, row.id)));
    return states;
  };
  return {
    async save(rollout, changed) {
      const { id, model, sequence, selector, state, created, deadline, ended } = rollout;
      const row = { id, ...model, sequence, selector, state, created, deadline, ended };
      const devices = changed.map((device) => deviceRow(id, device));
      await store.transaction().execute(async (transaction) => {
        await transaction
          .insertInto('rollouts')
          .values(row)
          .onConflict((conflict) => conflict.column('id').doUpdateSet({ state, ended }))
          .execute();
        for (const device of devices) {
          const { state, step, error, updated } = device;
          await transaction
            .insertInto('rolloutDevices')
            .values(device)
            .onConflict((conflict) =>
              conflict.columns(['rollout', 'device']).doUpdateSet({ state, step, error, updated }),
            )
            .execute();
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
    async list() {
      return withDevices(
        await store
          .selectFrom('rollouts')
          .selectAll()
          .orderBy('created', 'desc')
          .orderBy('id', 'desc')
          .execute(),
      );
    },
    async running() {
      return withDevices(
        await store.selectFrom('rollouts').selectAll().where('state', '=', 'running').execute(),
      );
    },
  };
}

async function devicesOf(store: Store, rollout: string): Promise<RolloutDevice[]> {
  const rows = await store
    .selectFrom('rolloutDevices')
    .selectAll()
    .where('rollout', '=', rollout)
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

function deviceRow(rollout: string, device: RolloutDevice): Schema['rolloutDevices'] {
  const { name, state, step, error, updated } = device;
  return { rollout, device: name, state, step, error: error && JSON.stringify(error), updated };
}

function stateOf(row: Schema['rollouts'], devices: RolloutDevice[]): RolloutState {
  const { name, version, state, ...rest } = row;
  return { ...rest, model: { name, version }, state: state as RolloutState['state'], devices };
}
