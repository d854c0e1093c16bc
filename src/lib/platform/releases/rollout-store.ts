import { rolloutHasEnded, rolloutPolicySchema } from '../../api/rollouts/schema.js';
import { AiotError } from '../../core/errors.js';
import { isOfSettings } from '../../fleet/rollout/draft.js';
import { DeviceTable } from '../../fleet/rollout/table.js';
import type {
  RolloutDevice,
  RolloutHead,
  RolloutState,
  RolloutStep,
  RolloutStore,
  RolloutWave,
} from '../../fleet/rollout/types.js';
import { noDevices, waveOutcome } from '../../fleet/rollout/waves.js';
import type { DesiredStates } from '../devices/desired.js';
import type { SettingsRollouts } from '../devices/settings-rollouts.js';
import type { Events, NewEvent } from '../events/events.js';
import { locksRows, type Store } from '../store/database.js';
import { localTurns, type Turns } from '../store/engine.js';
import type { Schema } from '../store/schema.js';

/** Number of rows per statement, and the final states of a rollout. */
const [atOnce, ended] = [100, ['done', 'partly', 'failed', 'rolledBack', 'aborted']];

/**
 * Rollouts in the database. Each save is one transaction that includes events and the devices' new desired states or settings. The transaction locks the
 * rollout's row, so any replica may advance any rollout at any time.
 * @param moved called after each step is saved
 * @param settings writes the settings that rollouts change; absent = there are no such rollouts
 */
export function rolloutStoreIn(
  store: Store,
  events: Events,
  desired: DesiredStates,
  turns: Turns = localTurns(),
  moved: (before: RolloutState, step: RolloutStep) => void = () => {},
  settings?: SettingsRollouts,
): RolloutStore {
  const read = async (row: Schema['rollouts'], known?: RolloutState, from = store) =>
    stateOf(row, await devicesOf(from, row.id, known?.head.revision), known);
  /** Earlier versions of aiot advance all rollouts in this turn, and expect that nothing else changes them meanwhile. */
  const begin = (transaction: Store) => turns.join('rollouts', transaction);
  const write = async (transaction: Store, before: RolloutState, step: RolloutStep, who: string) => {
    await saveHead(transaction, step.head);
    await saveDevices(transaction, step.head, step.changed);
    await saveRolloutJob(transaction, step.head, who);
    const ofSettings = isOfSettings(step.head);
    const told = ofSettings ? [] : await desired.write(step.wishes, transaction);
    const updates = (ofSettings && (await settings?.write(step.head, step.wishes, transaction))) || [];
    await events.recordAll(movedEvents(before, step, who), transaction);
    return { told, updates };
  };
  return {
    async insert(state, who) {
      await store.transaction().execute(async (transaction) => {
        await begin(transaction);
        await transaction.insertInto('rollouts').values(headRow(state.head)).execute();
        const rows = releaseRows(state.head);
        if (rows.length > 0) await transaction.insertInto('rolloutReleases').values(rows).execute();
        await saveDevices(transaction, state.head, [...state.devices.values()]);
        await saveRolloutJob(transaction, state.head, who);
        await events.recordAll(startedEvents(state, who), transaction);
      });
    },
    async save(before, step, who) {
      const { told, updates } = await store.transaction().execute(async (transaction) => {
        await begin(transaction);
        return write(transaction, before, step, who);
      });
      await settings?.written(updates);
      moved(before, step);
      return told;
    },
    async advance(id, known, decide, who) {
      const advanced = await store.transaction().execute(async (transaction) => {
        await begin(transaction);
        const row = await transaction
          .selectFrom('rollouts')
          .selectAll()
          .where('id', '=', id)
          .$if(locksRows(store), (query) => query.forUpdate())
          .executeTakeFirst();
        if (!row) return null;
        const isKnown = known?.head.revision === row.revision;
        const before = isKnown ? known : await read(row, known, transaction);
        const step = decide(before);
        const written = step ? await write(transaction, before, step, who) : { told: [], updates: [] };
        return { before, step, ...written };
      });
      if (!advanced) return null;
      const { updates, ...result } = advanced;
      await settings?.written(updates);
      if (result.step) moved(result.before, result.step);
      return result;
    },
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
      // Ids increase with time.
      const rows = await store
        .selectFrom('rollouts')
        .selectAll()
        .$if(after !== undefined, (query) => query.where('id', '<', after ?? ''))
        .orderBy('id', 'desc')
        .limit(limit)
        .execute();
      return rows.map((row) => headOf(row));
    },
    async devices(id, { state, wave, crashed, after, limit }) {
      const rows = await store
        .selectFrom('rolloutDevices')
        .selectAll()
        .where('rollout', '=', id)
        .$if(after !== undefined, (query) => query.where('device', '>', after ?? ''))
        .$if(state !== undefined, (query) => query.where('state', '=', state ?? ''))
        .$if(wave !== undefined, (query) => query.where('wave', '=', wave ?? 0))
        // A key of `times`. In a value, JSON would escape its quotation marks.
        .$if(crashed === true, (query) => query.where('data', 'like', '%"crashed":%'))
        .orderBy('device')
        .limit(limit)
        .execute();
      return rows.map(deviceOf);
    },
    async running(known) {
      const rows = await store
        .selectFrom('rollouts')
        .select(['id', 'revision'])
        .where('state', 'not in', ended)
        .execute();
      const states: RolloutState[] = [];
      for (const { id, revision } of rows) {
        const before = known.get(id);
        const row = before?.head.revision === revision ? undefined : await rowOf(store, id);
        if (row) states.push(await read(row, before));
        else if (before) states.push(before);
      }
      return states;
    },
  };
}

function rowOf(store: Store, id: string): Promise<Schema['rollouts'] | undefined> {
  return store.selectFrom('rollouts').selectAll().where('id', '=', id).executeTakeFirst();
}

/**
 * @throws AIOT_DATABASE_UNREACHABLE if another process has changed the rollout in the meantime, because this process lost its database
 * connection and the lock
 */
async function saveHead(store: Store, head: RolloutHead): Promise<void> {
  const { numUpdatedRows } = await store
    .updateTable('rollouts')
    .set(headRow(head))
    .where('id', '=', head.id)
    .where('revision', '=', head.revision - 1)
    .executeTakeFirst();
  if (numUpdatedRows > 0n) return;
  throw new AiotError(
    'AIOT_DATABASE_UNREACHABLE',
    `${head.id} was changed by another process at the same time`,
    {
      retryable: true,
      next: 'Repeat the command.',
    },
  );
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

/** Devices in rollout order. @param since limits the result to devices changed after this revision of the rollout */
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

/** Stored form of a rollout from before waves existed. */
interface OldHead {
  releases: RolloutHead['releases'];
  deadlineMs: number;
  selector: string;
}

function headRow(head: RolloutHead): Schema['rollouts'] {
  const { id, state, created, ended, revision, ...rest } = head;
  return { id, state, created, ended, revision, head: JSON.stringify(rest) };
}

/** @param devices all devices, if available; a rollout from before waves existed stores no counts */
function headOf(row: Schema['rollouts'], devices: readonly RolloutDevice[] = []): RolloutHead {
  const { head: json, ...columns } = row;
  const kept = JSON.parse(json) as Omit<RolloutHead, keyof typeof columns> | OldHead;
  const state = columns.state as RolloutHead['state'];
  if ('waves' in kept) {
    // Adds counts of states that were introduced after the rollout was stored.
    const waves = kept.waves.map((wave) => ({ ...wave, counts: { ...noDevices(), ...wave.counts } }));
    const policy = { ...rolloutPolicySchema.parse({}), ...kept.policy };
    return { ...kept, waves, policy, ...columns, state };
  }
  const { releases, selector, deadlineMs } = kept;
  return {
    ...{ releases, selector, rollback: null, by: 'platform', reason: null, approvals: [], budget: null },
    policy: { ...rolloutPolicySchema.parse({ maxFailures: '100%', minSuccess: 0 }), deadlineMs },
    wave: 0,
    waves: [waveOf(devices, columns)],
    ...{ ...columns, state },
  };
}

function waveOf(devices: readonly RolloutDevice[], { created, ended }: Times): RolloutWave {
  const counts = noDevices();
  for (const { state } of devices) counts[state]++;
  const state = ended === null ? 'open' : 'passed';
  return {
    ...{ devices: devices.length, state, counts, opened: created, settled: null, ended },
    ...{ forgiven: 0, waived: false },
  };
}

type Times = Pick<Schema['rollouts'], 'created' | 'ended'>;

function releaseRows({ id, releases, rollback }: RolloutHead): Schema['rolloutReleases'][] {
  const all = [...releases.entries(), ...(rollback ? [[-1, rollback] as const] : [])];
  // Settings are not stored as releases.
  return all.flatMap(([place, release]) => {
    if (release.kind === 'settings') return [];
    const { kind, name, version } = release;
    return [{ rollout: id, place, kind, name, version }];
  });
}

/** @param place position in the rollout's order, written only on the first save */
function deviceRow(
  { id, revision }: RolloutHead,
  device: RolloutDevice,
  place: number,
): Schema['rolloutDevices'] {
  const { name, wave, state, updated, ...rest } = device;
  return { rollout: id, device: name, wave, place, state, updated, revision, data: JSON.stringify(rest) };
}

function deviceOf(row: Schema['rolloutDevices']): RolloutDevice {
  const { device: name, wave, updated } = row;
  const state = row.state as RolloutDevice['state'];
  const offer = state === 'pending' ? 0 : 1;
  return {
    ...{ item: 0, offer, attempts: offer, step: null, error: null, retryAt: null, times: {} },
    offered: offer === 0 ? null : updated,
    ...(JSON.parse(row.data) as Partial<RolloutDevice>),
    ...{ name, wave, state, updated },
  };
}

/** Events for a started rollout: one for each model, for the model's history, and one for the rollout. */
function startedEvents({ head, devices }: RolloutState, who: string): NewEvent[] {
  const { id, releases, selector, waves } = head;
  const count = { selector, devices: devices.size };
  const models = releases.flatMap((release): NewEvent[] => {
    if (release.kind !== 'model') return [];
    const subject = `${release.name}@${release.version}`;
    return [{ ...{ who, type: 'model.deploy', subject }, data: { rollout: id, ...count } }];
  });
  return [
    ...models,
    {
      ...{ who, type: 'rollout.start', subject: id },
      data: { releases, waves: waves.map(({ devices }) => devices), ...count },
    },
  ];
}

/** Events for each device whose state changed, each wave, and the rollout. */
export function movedEvents(before: RolloutState, { head, changed }: RolloutStep, who: string): NewEvent[] {
  const { id: subject } = head;
  const told: NewEvent[] = [];
  for (const { name, wave, state, step, error, proof } of changed) {
    const old = before.devices.get(name);
    const refused = proof?.refused ?? null;
    const sameProof = old?.proof?.state === proof?.state && old?.proof?.refused?.code === refused?.code;
    if (old?.state === state && old.error?.code === error?.code && sameProof) continue;
    const shown = proof ? { proof: { state: proof.state, refused } } : {};
    const data = { device: name, wave, state, step, error, ...shown };
    told.push({ who, type: 'rollout.move', subject, data });
  }
  head.waves.forEach(({ devices }, index) => {
    const state = waveOutcome(head, index);
    if (state === waveOutcome(before.head, index)) return;
    told.push({ who, type: 'rollout.wave', subject, data: { wave: index, state, devices } });
  });
  if (head.state !== before.head.state) {
    const { state, reason } = head;
    const type = rolloutHasEnded(head) ? 'rollout.end' : 'rollout.change';
    told.push({ who, type, subject, data: { state, reason } });
  }
  return told;
}

/** Stores a rollout as a job, so that `aiot job wait` and similar commands work with its id. */
async function saveRolloutJob(store: Store, head: RolloutHead, who: string): Promise<void> {
  const { id, created, ended, releases, selector, waves } = head;
  const total = waves.reduce((sum, { devices }) => sum + devices, 0);
  const committed = waves.reduce((sum, { counts }) => sum + counts.committed, 0);
  const progress = {
    state: jobState(head),
    ended,
    updated: ended ?? created,
    done: committed,
    ...errorOf(head, total - committed, total),
  };
  await store
    .insertInto('jobs')
    .values({
      ...{ id, kind: 'rollout', who, created, started: created, total, ...progress },
      request: JSON.stringify({ releases, selector }),
      ...{ step: null, result: null, leaseUntil: null, cancelled: null },
    })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(progress))
    .execute();
}

/** The job state that corresponds to the rollout's state. */
function jobState(head: RolloutHead): 'running' | 'done' | 'failed' {
  if (!rolloutHasEnded(head)) return 'running';
  return head.state === 'done' ? 'done' : 'failed';
}

function errorOf(head: RolloutHead, left: number, total: number): { error: string | null } {
  if (jobState(head) !== 'failed') return { error: null };
  const message = `${left} of ${total} devices failed`;
  return { error: JSON.stringify(head.reason ?? { code: 'AIOT_ROLLOUT_FAILED', message }) };
}
