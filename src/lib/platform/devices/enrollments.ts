import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Selectable as Row } from 'kysely';
import type { z } from 'zod';
import type { Attention } from '../../api/contract/attention.js';
import type {
  Decided,
  decisionRequestSchema,
  Enrollment,
  EnrollmentListQuery,
  EnrollmentState,
  enrollRequestSchema,
} from '../../api/contract/batches.js';
import { chipIdOf } from '../../api/fields.js';
import { pageOfRows } from '../../api/page.js';
import type { ErrorCode } from '../../core/catalogue.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { newId } from '../../core/names.js';
import { matchesGlob, parseSelector, possibleNames, type Selectable } from '../../fleet/selector.js';
import { describeCertificate } from '../../provision/authority.js';
import { requestKey } from '../../provision/certificates.js';
import { Budget } from '../access/secrets.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';
import type { Batches, BatchRow } from './batches.js';
import type { DeviceRecord, Devices } from './devices.js';
import type { Enrolled, Enrolment } from './enrolment.js';

type EnrollmentRow = Row<Schema['enrollments']>;
type EnrollRequest = z.output<typeof enrollRequestSchema>;

/** A device's request, after its signature was verified. */
interface Asked extends Pick<EnrollRequest, 'csr' | 'serial' | 'mac'> {
  batch: BatchRow;
  /** SPKI DER, base64. */
  publicKey: string;
  address: string;
}

/** The state of a device that asked: it waits, or it has been issued its identity. */
export type Answer =
  | { state: 'waiting'; name: string; retryMs: number }
  | { state: 'issued'; name: string; enrolled: Enrolled };

/** A request with the serial number or the key of another device. */
interface Contradiction {
  /** The device with the same serial number, or with the same key. */
  row: EnrollmentRow;
  /** Whether the request is signed with the device's own key. */
  isOwn: boolean;
  problem: string;
  /** Reason for the refusal. */
  why: string;
}

/** A batch, with the tags and groups that its devices get. */
interface KnownBatch {
  batch: BatchRow;
  tags: Selectable['tags'];
  groups: string[];
}

interface EnrollmentParts {
  store: Store;
  batches: Batches;
  devices: Devices;
  enrolment: Enrolment;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/** New devices that one replica accepts for a batch in a minute. */
const mostNew = 300;
/** Contradictions that one replica records for a batch in a minute: all together, and those from one address. */
const mostContradictions = { batch: 60, address: 20 };
/** States in which a device has a place in its batch, and those in which it is approved. */
const placedStates: readonly string[] = ['waiting', 'approved', 'issued'] satisfies EnrollmentState[];
const approvedStates: readonly string[] = ['approved', 'issued'] satisfies EnrollmentState[];
/** Rows that are read at once to find those that a selector matches. */
const scanned = 1000;
/** Rejected devices that are remembered for a batch. */
const mostRejected = 1000;
/** How often the time of a waiting device's last request, and a contradiction, are recorded, ms. */
const [seenMs, conflictMs] = [60_000, 3_600_000];
/** Shortest time between requests of a waiting device, ms, and the time for each waiting device of its batch, which may share one address. */
const [retryMs, retryEachMs] = [5000, 100];

/**
 * Devices that connect with the key of their batch. A device waits without any access until a rule of the batch or a user approves it. A
 * serial number belongs to the first key that asked for it. Requests are signed with that key, and each repeated request gets the same
 * answer.
 */
export class Enrollments {
  /** New devices, by batch. */
  private readonly newcomers: Budget;
  /** Contradictions, by batch, and by batch and address. They are counted apart, so that they keep no new device out. */
  private readonly contradictions: { batch: Budget; address: Budget };

  constructor(private readonly parts: EnrollmentParts) {
    this.newcomers = new Budget(parts.now, mostNew);
    this.contradictions = {
      batch: new Budget(parts.now, mostContradictions.batch),
      address: new Budget(parts.now, mostContradictions.address),
    };
  }

  /**
   * Lets a device wait, or issues its certificate once it is approved.
   * @throws AIOT_BATCH_INVALID, AIOT_CSR_INVALID, AIOT_ENROLLMENT_REFUSED, AIOT_RATE_LIMITED
   */
  async ask({ key, ...request }: EnrollRequest, address: string): Promise<Answer> {
    const { batches, devices } = this.parts;
    const batch = await batches.withKey(key);
    requireNotRevoked(batch);
    const asked = { ...request, batch, address, publicKey: await requestKey(request.csr) };
    const row = await this.find(batch.name, asked.serial);
    if (row?.publicKey === asked.publicKey) {
      if (row.state === 'waiting') return this.stillWaiting(row);
      const mac = row.mac ?? asked.mac;
      const board = mac === undefined ? {} : { mac, chipId: chipIdOf(mac) };
      return devices.inTurnOf([row.name], () => this.answer(asked), board);
    }
    const contradiction = await this.contradictionOf(row, asked);
    if (contradiction) {
      this.countContradiction(batch.name, address);
      return devices.inTurnOf([contradiction.row.name], () => this.refuse(contradiction, address));
    }
    // A new device is compared with all others of its batch, whose number is limited.
    this.countNew(batch.name);
    return devices.inTurn(() => this.answer(asked));
  }

  /** Devices in a state (absent = all), of a batch, and that a selector matches, sorted by name. @throws AIOT_SELECTOR_INVALID */
  async list({ limit, after, state, batch, selector }: EnrollmentListQuery) {
    const { store, now } = this.parts;
    const fits = selector === undefined ? null : parseSelector(selector, now());
    const names = selector === undefined ? null : possibleNames(selector);
    const most = fits === null ? limit + 1 : Math.max(limit + 1, scanned);
    const known = new Map<string, KnownBatch>();
    const found: EnrollmentRow[] = [];
    for (let last = after; ; ) {
      const rows = await store
        .selectFrom('enrollments')
        .selectAll()
        .$if(state !== undefined, (query) => query.where('state', '=', state ?? ''))
        .$if(batch !== undefined, (query) => query.where('batch', '=', batch ?? ''))
        .$if(names !== null, (query) => query.where('name', 'in', names ?? []))
        .$if(last !== undefined, (query) => query.where('name', '>', last ?? ''))
        .orderBy('name')
        .limit(most)
        .execute();
      await this.learn(rows, known);
      for (const row of rows)
        if (fits === null || fits(selectableOf(row, known.get(row.batch)!))) found.push(row);
      last = rows.at(-1)?.name;
      if (rows.length < most || found.length > limit) break;
      // SQLite reads in this thread, which has other requests to answer.
      await nextTurn();
    }
    const { entries, next } = pageOfRows(found, limit, ({ name }) => name);
    return { enrollments: await this.described(entries, known), next };
  }

  /** Number of devices that wait for a decision. */
  async waiting(): Promise<number> {
    const rows = this.parts.store.selectFrom('enrollments').where('state', '=', 'waiting');
    const { count } = await rows.select((is) => is.fn.countAll().as('count')).executeTakeFirstOrThrow();
    return Number(count);
  }

  /**
   * Approves or rejects devices, each separately. @param forget called with the name of a revoked device that a new one replaces
   */
  async decide(
    { action, names, note: given }: z.output<typeof decisionRequestSchema>,
    who: string,
    forget: (name: string) => Promise<void>,
  ): Promise<Decided[]> {
    const decided: Decided[] = [];
    const note = given ?? null;
    for (const name of new Set(names)) {
      const one = await this.parts.devices.inTurn(() =>
        action === 'approve' ? this.approveNamed(name, note, who) : this.reject(name, note, who),
      );
      if (one.replaced) await forget(name);
      decided.push(one.decided);
    }
    return decided;
  }

  /** Answers a request in its turn. */
  private async answer(request: Asked): Promise<Answer> {
    // Another replica may have changed the batch since.
    const batch = await this.parts.batches.row(request.batch.name);
    requireNotRevoked(batch);
    const asked = { ...request, batch };
    const row = await this.find(batch.name, asked.serial);
    if (row?.publicKey === asked.publicKey) return this.proceed(row, asked);
    const contradiction = await this.contradictionOf(row, asked);
    if (contradiction) return this.refuse(contradiction, asked.address);
    if (batch.expires <= this.parts.now()) throw refused(`the batch ${batch.name} has expired`);
    return row ? this.askAgain(row, asked) : this.admit(asked);
  }

  /** A serial number that asks for the first time. */
  private async admit(asked: Asked): Promise<Answer> {
    const { store, events, now } = this.parts;
    const { batch, serial, mac, publicKey, address } = asked;
    const name = `${batch.name}-${serial}`;
    const at = now();
    await this.requireRoom(batch);
    const taken = await this.named(name);
    if (taken) throw refused(`the name ${name} belongs to ${taken.serial} of the batch ${taken.batch}`);
    const problem = mac === undefined ? null : await this.problemOf(mac, name);
    const row: EnrollmentRow = {
      ...{ name, batch: batch.name, serial, mac: mac ?? null, publicKey, address, created: at, seen: at },
      ...{ state: 'waiting', device: null, certificate: null, who: null, decided: null, note: null },
      ...{ problem, conflicts: 0, conflictAt: null },
    };
    const insert = async (transaction: Store) => {
      await transaction.insertInto('enrollments').values(row).execute();
      const data = { batch: batch.name, serial, mac: row.mac, address, problem };
      const event = { who: `batch ${batch.name}`, type: 'enrollment.wait' as const, subject: name, data };
      await events.record(event, transaction);
    };
    if (problem === null && (await this.approves(batch, serial))) {
      try {
        const who = `batch ${batch.name}`;
        const { replaced } = await this.approve(row, batch, { who, note: null, before: insert });
        const answer = await this.proceed((await this.named(name))!, asked);
        if (answer.state === 'issued') answer.enrolled.fresh = replaced;
        return answer;
      } catch (error) {
        // The name or the board belongs to a device that did not come with this batch.
        if (!hasCode(error, 'AIOT_ALREADY_EXISTS')) throw error;
        row.problem = (error as AiotError).message;
      }
    }
    await store.transaction().execute(insert);
    return this.stillWaiting(row);
  }

  /** A repeated request with the same key. */
  private async proceed(row: EnrollmentRow, asked: Asked): Promise<Answer> {
    const { devices, enrolment } = this.parts;
    const { batch, csr } = asked;
    const { name, certificate } = row;
    if (row.state === 'waiting') return this.stillWaiting(row);
    if (row.state === 'rejected') {
      const why = row.note === null ? '' : `: ${row.note}`;
      throw refused(`${name} was rejected${why}`);
    }
    const device = await this.deviceOf(row);
    if (!device) return this.askAgain(row, asked);
    if (certificate !== null) {
      const { fingerprint } = describeCertificate(certificate);
      if (device.state === 'revoked') throw refused(`${name} was revoked`);
      if (fingerprint !== device.fingerprint) throw refused(`${name} has received another certificate since`);
      return { state: 'issued', name, enrolled: { device: devices.info(name), certificate, fresh: false } };
    }
    if (device.state !== 'registered') throw refused(`${name} is ${device.state} already`);
    const along = (transaction: Store, issued: string) =>
      transaction
        .updateTable('enrollments')
        .set({ state: 'issued', certificate: issued, seen: this.parts.now() })
        .where('name', '=', name)
        .execute();
    const board = device.mac ?? row.mac ?? undefined;
    const enrolled = await enrolment.certify(device, { csr, mac: board, along }, `batch ${batch.name}`);
    return { state: 'issued', name, enrolled };
  }

  /** @param row the device with the same serial number and another key, if there is one */
  private async contradictionOf(
    row: EnrollmentRow | undefined,
    { publicKey, batch, serial }: Asked,
  ): Promise<Contradiction | null> {
    // A device that was rejected or removed may come back with a new key, if a user approves it.
    if (row && (row.state === 'waiting' || (await this.deviceOf(row)))) {
      const why = `the serial number ${serial} of ${batch.name} belongs to another key`;
      return { row, isOwn: false, problem: 'another key asked for its serial number', why };
    }
    const other = await this.holderOf(publicKey);
    // A request of the same device may have been admitted since its row was looked for.
    if (!other || (other.batch === batch.name && other.serial === serial)) return null;
    const problem = `its key also asked for the serial number ${serial} of ${batch.name}`;
    const why = `the key belongs to the serial number ${other.serial} of ${other.batch}`;
    return { row: other, isOwn: true, problem, why };
  }

  /** Lets a device wait again. No rule applies to it, because a user has rejected or removed it. */
  private async askAgain(
    row: EnrollmentRow,
    { batch: requested, publicKey, mac, address }: Asked,
  ): Promise<Answer> {
    const { store, events, now } = this.parts;
    const { name, batch, serial } = row;
    await this.requireRoom(requested, row);
    const was = row.state === 'rejected' ? 'it was rejected before' : 'its device was removed';
    const board = mac === undefined ? null : await this.problemOf(mac, name);
    const problem = [was, ...(board === null ? [] : [board])].join('; ');
    const change = {
      ...{ state: 'waiting', publicKey, mac: mac ?? row.mac, address, seen: now(), problem },
      ...{ device: null, certificate: null, who: null, decided: null, note: null },
    };
    await store.transaction().execute(async (transaction) => {
      await transaction.updateTable('enrollments').set(change).where('name', '=', name).execute();
      const data = { batch, serial, mac: change.mac, address, problem };
      const event = { who: `batch ${batch}`, type: 'enrollment.wait' as const, subject: name, data };
      await events.record(event, transaction);
    });
    return this.stillWaiting({ ...row, ...change });
  }

  private async approveNamed(name: string, note: string | null, who: string) {
    const row = await this.named(name);
    if (!row) return { decided: unknown(name), replaced: false };
    const state = row.state as EnrollmentState;
    if (await this.deviceOf(row))
      return { decided: { name, outcome: 'same' as const, state, error: null }, replaced: false };
    try {
      const batch = await this.parts.batches.row(row.batch);
      requireNotRevoked(batch);
      // A device that waits has a place, unless an earlier version of aiot let too many in.
      await this.requireRoom(batch, row, state === 'waiting' ? approvedStates : placedStates);
      const { replaced } = await this.approve(row, batch, { who, note });
      const decided = { name, outcome: 'changed' as const, state: 'approved' as const, error: null };
      return { decided, replaced };
    } catch (error) {
      return { decided: refusal(name, state, error), replaced: false };
    }
  }

  /** Registers the device. @param before additional writes at the beginning of the transaction */
  private async approve(
    { name, batch, serial, mac }: EnrollmentRow,
    { type, tags, groups }: BatchRow,
    { who, note, before }: { who: string; note: string | null; before?: (store: Store) => Promise<unknown> },
  ): Promise<{ replaced: boolean }> {
    const { devices, events, now } = this.parts;
    const at = now();
    const device = {
      ...{ name, type, mac, id: newId('dev', at), created: at, state: 'registered' as const },
      ...{ fingerprint: null, expires: null, chipId: mac === null ? null : chipIdOf(mac) },
      tags: JSON.parse(tags) as DeviceRecord['tags'],
      groups: JSON.parse(groups) as DeviceRecord['groups'],
    };
    devices.requireFree(device);
    const change = {
      ...{ state: 'approved', device: device.id, certificate: null, who, decided: at, note, problem: null },
    };
    return devices.insert(device, async (transaction) => {
      await before?.(transaction);
      await transaction.updateTable('enrollments').set(change).where('name', '=', name).execute();
      const approved = { who, type: 'enrollment.approve' as const, subject: name, data: { batch, serial } };
      await events.record(approved, transaction);
      const registered = { who, type: 'device.register' as const, subject: name, data: { type, mac } };
      await events.record(registered, transaction);
    });
  }

  private async reject(name: string, note: string | null, who: string) {
    const { store, events, now } = this.parts;
    const row = await this.named(name);
    if (!row) return { decided: unknown(name), replaced: false };
    const state = row.state as EnrollmentState;
    const same = { decided: { name, outcome: 'same' as const, state, error: null }, replaced: false };
    if (state === 'rejected') return same;
    if (await this.deviceOf(row)) {
      const error = new AiotError(
        'AIOT_DEVICE_STATE',
        `${name} was approved already: to end its access, run \`aiot device revoke ${name}\``,
      );
      return { decided: refusal(name, state, error), replaced: false };
    }
    const { batch, serial } = row;
    await store.transaction().execute(async (transaction) => {
      const change = { state: 'rejected', device: null, certificate: null, who, note, decided: now() };
      await transaction.updateTable('enrollments').set(change).where('name', '=', name).execute();
      const data = { batch, serial, note };
      await events.record({ who, type: 'enrollment.reject', subject: name, data }, transaction);
      await forgetRejected(transaction, batch);
    });
    return {
      decided: { name, outcome: 'changed' as const, state: 'rejected' as const, error: null },
      replaced: false,
    };
  }

  private async stillWaiting({ name, batch, seen }: EnrollmentRow): Promise<Answer> {
    const { store, now } = this.parts;
    const at = now();
    if (at - seen >= seenMs) {
      await store.updateTable('enrollments').set({ seen: at }).where('name', '=', name).execute();
    }
    const waiting = await this.countOf(batch, ['waiting']);
    return { state: 'waiting', name, retryMs: Math.max(retryMs, waiting * retryEachMs) };
  }

  /** @throws AIOT_ENROLLMENT_REFUSED */
  private async refuse(contradiction: Contradiction, address: string): Promise<never> {
    const row = await this.named(contradiction.row.name);
    if (row) await this.noteConflict({ ...contradiction, row }, address);
    throw refused(contradiction.why);
  }

  /**
   * Records that a request contradicts the device. Events are limited, because a lying device repeats its request. Anyone with the key of
   * the batch can ask for the serial number of a device with a certificate, so this is no reason not to trust that device.
   */
  private async noteConflict({ row, isOwn, problem: found }: Contradiction, address: string): Promise<void> {
    const { store, events, now } = this.parts;
    const { name, batch, serial, conflictAt } = row;
    const at = now();
    const problem = row.problem ?? (isOwn || row.state !== 'issued' ? found : null);
    const isNews = conflictAt === null || at - conflictAt >= conflictMs;
    await store.transaction().execute(async (transaction) => {
      await transaction
        .updateTable('enrollments')
        .set((is) => ({
          ...{ problem, conflicts: is('conflicts', '+', 1) },
          ...(isNews ? { conflictAt: at } : {}),
        }))
        .where('name', '=', name)
        .execute();
      if (!isNews) return;
      const data = { batch, serial, problem: found, address };
      const event = { who: `batch ${batch}`, type: 'enrollment.conflict' as const, subject: name, data };
      await events.record(event, transaction);
    });
  }

  /** @throws AIOT_RATE_LIMITED */
  private countNew(batch: string): void {
    requireBudget(this.newcomers.wait(batch), `new devices of the batch ${batch}`);
    this.newcomers.note(batch);
  }

  /** @throws AIOT_RATE_LIMITED */
  private countContradiction(batch: string, address: string): void {
    const budgets = this.contradictions;
    const from = `${batch} ${address}`;
    const seconds = Math.max(budgets.batch.wait(batch), budgets.address.wait(from));
    requireBudget(seconds, `requests that contradict devices of the batch ${batch}`);
    budgets.batch.note(batch);
    budgets.address.note(from);
  }

  /** Whether a rule of the batch approves the serial number. */
  private async approves({ name, pattern }: BatchRow, serial: string): Promise<boolean> {
    if (pattern !== null && matchesGlob(serial, pattern)) return true;
    const listed = this.parts.store.selectFrom('batchSerials').select('serial').where('batch', '=', name);
    return (await listed.where('serial', '=', serial).executeTakeFirst()) !== undefined;
  }

  /**
   * @param row the device if it has asked before; it needs no second place
   * @param states of the devices that count
   * @throws AIOT_ENROLLMENT_REFUSED if the batch has no place for another device
   */
  private async requireRoom(
    { name, size }: BatchRow,
    row?: EnrollmentRow,
    states = placedStates,
  ): Promise<void> {
    const own = row !== undefined && states.includes(row.state) ? 1 : 0;
    if ((await this.countOf(name, states)) - own < size) return;
    throw refused(`the batch ${name} is full: it has ${size} devices`);
  }

  /** Why a board cannot belong to a new device: another device has its MAC address. */
  private async problemOf(mac: string, name: string): Promise<string | null> {
    const { devices, store } = this.parts;
    const device = devices.withBoard({ mac }).find((each) => each.name !== name && each.state !== 'revoked');
    if (device) return `its MAC address ${mac} belongs to ${device.name}`;
    const others = store.selectFrom('enrollments').select('name').where('mac', '=', mac);
    const other = await others.where('name', '!=', name).where('state', '=', 'waiting').executeTakeFirst();
    return other ? `${other.name} also has its MAC address ${mac}` : null;
  }

  private find(batch: string, serial: string): Promise<EnrollmentRow | undefined> {
    const rows = this.parts.store.selectFrom('enrollments').selectAll().where('batch', '=', batch);
    return rows.where('serial', '=', serial).executeTakeFirst();
  }

  private named(name: string): Promise<EnrollmentRow | undefined> {
    const rows = this.parts.store.selectFrom('enrollments').selectAll();
    return rows.where('name', '=', name).executeTakeFirst();
  }

  /** The device that has asked with this key. */
  private holderOf(publicKey: string): Promise<EnrollmentRow | undefined> {
    const rows = this.parts.store.selectFrom('enrollments').selectAll();
    return rows.where('publicKey', '=', publicKey).where('state', '!=', 'rejected').executeTakeFirst();
  }

  /** The registered device of an approved row; null = none yet, or it was removed. */
  private async deviceOf({ device }: EnrollmentRow): Promise<DeviceRecord | null> {
    return device === null ? null : this.parts.devices.withId(device);
  }

  private async countOf(batch: string, states: readonly string[]): Promise<number> {
    const rows = this.parts.store.selectFrom('enrollments').where('batch', '=', batch);
    const counted = rows.where('state', 'in', states).select((is) => is.fn.countAll().as('count'));
    return Number((await counted.executeTakeFirstOrThrow()).count);
  }

  /** Reads the batches of the rows that are not known yet. */
  private async learn(rows: readonly EnrollmentRow[], known: Map<string, KnownBatch>): Promise<void> {
    const names = [...new Set(rows.map(({ batch }) => batch))].filter((name) => !known.has(name));
    if (names.length === 0) return;
    const all = this.parts.store.selectFrom('batches').selectAll();
    for (const batch of await all.where('name', 'in', names).execute()) {
      const tags = JSON.parse(batch.tags) as Selectable['tags'];
      known.set(batch.name, { batch, tags, groups: JSON.parse(batch.groups) as string[] });
    }
  }

  private async described(
    rows: readonly EnrollmentRow[],
    known: ReadonlyMap<string, KnownBatch>,
  ): Promise<Enrollment[]> {
    if (rows.length === 0) return [];
    const { store } = this.parts;
    const expecting = await store
      .selectFrom('batches')
      .select('name')
      .where('name', 'in', [...new Set(rows.map(({ batch }) => batch))])
      .where(({ exists, selectFrom }) =>
        exists(
          selectFrom('batchSerials')
            .select('batchSerials.serial')
            .whereRef('batchSerials.batch', '=', 'batches.name'),
        ),
      )
      .execute();
    const withList = new Set(expecting.map(({ name }) => name));
    const names = rows.filter(({ batch }) => withList.has(batch)).map(({ name }) => name);
    const listed = names.length === 0 ? new Set<string>() : await this.listedAmong(names);
    return rows.map((row) => {
      const { publicKey, device: _, certificate: __, conflictAt: ___, ...rest } = row;
      const { type, pattern } = known.get(row.batch)!.batch;
      const hasRule = pattern !== null || withList.has(row.batch);
      const isExpected = listed.has(row.name) || (pattern !== null && matchesGlob(row.serial, pattern));
      const key = sha256Hex(Buffer.from(publicKey, 'base64'));
      const expected = hasRule ? isExpected : null;
      return { ...rest, type, expected, key, state: row.state as EnrollmentState };
    });
  }

  /** Those of the named devices whose serial numbers are in the lists of their batches. */
  private async listedAmong(names: readonly string[]): Promise<Set<string>> {
    const rows = await this.parts.store
      .selectFrom('enrollments')
      .innerJoin('batchSerials', (join) =>
        join
          .onRef('batchSerials.batch', '=', 'enrollments.batch')
          .onRef('batchSerials.serial', '=', 'enrollments.serial'),
      )
      .select('enrollments.name')
      .where('enrollments.name', 'in', names)
      .execute();
    return new Set(rows.map(({ name }) => name));
  }
}

/** Number of waiting devices in the list of what needs attention. */
const mostWaitingListed = 20;

/** Devices that wait for approval, with the time of the first request of all of them, for the list of what needs attention. */
export async function waitingDevices(store: Store): Promise<Attention['waiting']> {
  const rows = store.selectFrom('enrollments').where('enrollments.state', '=', 'waiting');
  const { count, since } = await rows
    .select((is) => [is.fn.countAll().as('count'), is.fn.min('enrollments.created').as('since')])
    .executeTakeFirstOrThrow();
  if (Number(count) === 0) return { count: 0, since: null, devices: [] };
  const first = await rows
    .innerJoin('batches', 'batches.name', 'enrollments.batch')
    .select(['enrollments.name', 'batch', 'type', 'problem', 'enrollments.created'])
    .orderBy(({ eb }) => eb.case().when('problem', 'is', null).then(1).else(0).end())
    .orderBy('enrollments.created')
    .orderBy('enrollments.name')
    .limit(mostWaitingListed)
    .execute();
  const devices = first.map(({ name, batch, type, problem, created }) => ({
    ...{ name, batch, type, since: Number(created), suspicious: problem !== null },
    message: `it waits for approval${problem === null ? '' : `, but ${problem}`}`,
    next:
      problem === null
        ? `Approve it: \`aiot device approve ${name}\`.`
        : `Find out which device is genuine. Then approve it, or refuse it: \`aiot device reject ${name}\`.`,
  }));
  return { count: Number(count), since: Number(since), devices };
}

/** A device that asks, as seen by selectors: with the tags and groups that it gets. */
function selectableOf(row: EnrollmentRow, { batch, tags, groups }: KnownBatch): Selectable {
  const { name, state, mac, created, seen, device } = row;
  return {
    ...{ name, state, mac, created, lastSeen: seen, id: device ?? '', type: batch.type, tags, groups },
    ...{ online: false, model: null, firmware: null },
  };
}

/** @param seconds time to wait; 0 = none @throws AIOT_RATE_LIMITED */
function requireBudget(seconds: number, what: string): void {
  if (seconds === 0) return;
  throw new AiotError('AIOT_RATE_LIMITED', `too many ${what}: send the next request in ${seconds} s`, {
    ...{ retryable: true, retryAfterMs: seconds * 1000 },
  });
}

/** Deletes the rejected devices that were rejected first, beyond the number that is remembered. */
async function forgetRejected(store: Store, batch: string): Promise<void> {
  const rejected = store.selectFrom('enrollments').where('batch', '=', batch).where('state', '=', 'rejected');
  const kept = rejected.select('decided').orderBy('decided', 'desc').offset(mostRejected).limit(1);
  const oldest = await kept.executeTakeFirst();
  if (oldest === undefined) return;
  await store
    .deleteFrom('enrollments')
    .where('batch', '=', batch)
    .where('state', '=', 'rejected')
    .where('decided', '<=', oldest.decided)
    .execute();
}

function requireNotRevoked({ name, revoked }: BatchRow): void {
  if (revoked !== null) throw refused(`the batch ${name} was revoked`);
}

function refused(message: string): AiotError {
  return new AiotError('AIOT_ENROLLMENT_REFUSED', message);
}

function unknown(name: string): Decided {
  const error = { code: 'AIOT_NOT_FOUND', message: `no device waits with the name ${name}` };
  return { name, outcome: 'refused', state: null, error };
}

function refusal(name: string, state: EnrollmentState, error: unknown): Decided {
  if (!(error instanceof AiotError)) throw error;
  const { code, message }: { code: ErrorCode; message: string } = error;
  return { name, outcome: 'refused', state, error: { code, message } };
}
