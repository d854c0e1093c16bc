import type { Selectable as Row } from 'kysely';
import type { z } from 'zod';
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
import { matchesGlob, parseSelector, type Selectable } from '../../fleet/selector.js';
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

interface EnrollmentParts {
  store: Store;
  batches: Batches;
  devices: Devices;
  enrolment: Enrolment;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/** New devices, and contradictions, that one replica accepts for a batch in a minute. */
const mostNew = 300;
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
  /** New devices and contradictions, by batch. */
  private readonly newcomers: Budget;

  constructor(private readonly parts: EnrollmentParts) {
    this.newcomers = new Budget(parts.now, mostNew);
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
    if (row?.state === 'waiting' && row.publicKey === asked.publicKey) return this.stillWaiting(row);
    const ask = async () => {
      // Another replica may have changed the batch since.
      const current = { ...asked, batch: await batches.row(batch.name) };
      requireNotRevoked(current.batch);
      const there = await this.find(batch.name, asked.serial);
      if (!there) return this.admit(current);
      return there.publicKey === asked.publicKey
        ? this.proceed(there, current)
        : this.contradict(there, current);
    };
    if (row?.publicKey === asked.publicKey) {
      const mac = row.mac ?? asked.mac;
      const board = mac === undefined ? {} : { mac, chipId: chipIdOf(mac) };
      return devices.inTurnOf([row.name], ask, board);
    }
    // A new device is compared with all others of its batch, whose number is limited.
    this.countNew(batch.name);
    return devices.inTurn(ask);
  }

  /** Devices in a state (absent = all), of a batch, and that a selector matches, sorted by name. @throws AIOT_SELECTOR_INVALID */
  async list({ limit, after, state, batch, selector }: EnrollmentListQuery) {
    const fits = selector === undefined ? () => true : parseSelector(selector, this.parts.now());
    const found: Enrollment[] = [];
    for (let last = after; ; ) {
      const rows = await this.parts.store
        .selectFrom('enrollments')
        .selectAll()
        .$if(state !== undefined, (query) => query.where('state', '=', state ?? ''))
        .$if(batch !== undefined, (query) => query.where('batch', '=', batch ?? ''))
        .$if(last !== undefined, (query) => query.where('name', '>', last ?? ''))
        .orderBy('name')
        .limit(limit + 1)
        .execute();
      const listed = await this.described(rows);
      found.push(...listed.filter(({ selectable }) => fits(selectable)).map(({ entry }) => entry));
      last = rows.at(-1)?.name;
      if (rows.length <= limit || found.length > limit) break;
    }
    const { entries, next } = pageOfRows(found, limit, ({ name }) => name);
    return { enrollments: entries, next };
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

  /** A serial number that asks for the first time. */
  private async admit(asked: Asked): Promise<Answer> {
    const { store, events, now } = this.parts;
    const { batch, serial, mac, publicKey, address } = asked;
    const name = `${batch.name}-${serial}`;
    const at = now();
    if (batch.expires <= at) throw refused(`the batch ${batch.name} has expired`);
    const other = await this.holderOf(publicKey);
    if (other) {
      const problem = `its key also asked for the serial number ${serial} of ${batch.name}`;
      await this.noteConflict(other, problem, address);
      throw refused(`the key belongs to the serial number ${other.serial} of ${other.batch}`);
    }
    if ((await this.countOf(batch.name, ['waiting', 'approved', 'issued'])) >= batch.size)
      throw refused(`the batch ${batch.name} is full: it has ${batch.size} devices`);
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
    if (problem === null && (await this.expects(batch, serial)) === true) {
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
  private async proceed(row: EnrollmentRow, { batch, csr, mac, address, publicKey }: Asked): Promise<Answer> {
    const { devices, enrolment } = this.parts;
    const { name, certificate } = row;
    if (row.state === 'waiting') return this.stillWaiting(row);
    if (row.state === 'rejected') {
      const why = row.note === null ? '' : `: ${row.note}`;
      throw refused(`${name} was rejected${why}`);
    }
    const device = row.device === null ? null : await devices.withId(row.device);
    if (!device) return this.askAgain(row, { publicKey, mac, address });
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

  /** A request for a serial number with another key than the one that it belongs to. */
  private async contradict(
    row: EnrollmentRow,
    { publicKey, mac, address, batch, serial }: Asked,
  ): Promise<Answer> {
    const device = row.device === null ? null : await this.parts.devices.withId(row.device);
    const other = await this.holderOf(publicKey);
    // A device that was rejected or removed may come back with a new key, if a user approves it.
    const isFree = row.state === 'rejected' || (row.state !== 'waiting' && !device);
    if (isFree && !other) {
      if (batch.expires <= this.parts.now()) throw refused(`the batch ${batch.name} has expired`);
      return this.askAgain(row, { publicKey, mac, address });
    }
    await this.noteConflict(row, 'another key asked for its serial number', address);
    throw refused(`the serial number ${serial} of ${batch.name} belongs to another key`);
  }

  /** Lets a device wait again. No rule applies to it, because a user has rejected or removed it. */
  private async askAgain(
    row: EnrollmentRow,
    { publicKey, mac, address }: Pick<Asked, 'publicKey' | 'mac' | 'address'>,
  ): Promise<Answer> {
    const { store, events, now } = this.parts;
    const { name, batch, serial } = row;
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
    const device = row.device === null ? null : await this.parts.devices.withId(row.device);
    if (device && (state === 'approved' || state === 'issued'))
      return { decided: { name, outcome: 'same' as const, state, error: null }, replaced: false };
    try {
      const batch = await this.parts.batches.row(row.batch);
      requireNotRevoked(batch);
      if (
        state === 'rejected' &&
        (await this.countOf(batch.name, ['waiting', 'approved', 'issued'])) >= batch.size
      )
        throw refused(`the batch ${batch.name} is full: it has ${batch.size} devices`);
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
    const device = row.device === null ? null : await this.parts.devices.withId(row.device);
    if (state !== 'waiting' && device) {
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

  /** Records that a request contradicts the device. Events are limited, because a lying device repeats its request. */
  private async noteConflict(row: EnrollmentRow, problem: string, address: string): Promise<void> {
    const { store, events, now } = this.parts;
    const { name, batch, serial, conflictAt } = row;
    const at = now();
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
      const data = { batch, serial, problem, address };
      const event = { who: `batch ${batch}`, type: 'enrollment.conflict' as const, subject: name, data };
      await events.record(event, transaction);
    });
  }

  /** @throws AIOT_RATE_LIMITED */
  private countNew(batch: string): void {
    const seconds = this.newcomers.wait(batch);
    if (seconds > 0) {
      const message = `too many new devices of the batch ${batch}: send the next request in ${seconds} s`;
      throw new AiotError('AIOT_RATE_LIMITED', message, { retryable: true });
    }
    this.newcomers.note(batch);
  }

  /** Whether a rule of the batch approves the serial number; null = the batch has no rule. */
  private async expects({ name, pattern }: BatchRow, serial: string): Promise<boolean | null> {
    if (pattern !== null && matchesGlob(serial, pattern)) return true;
    const listed = this.parts.store.selectFrom('batchSerials').select('serial').where('batch', '=', name);
    if (await listed.where('serial', '=', serial).executeTakeFirst()) return true;
    if (pattern !== null) return false;
    return (await listed.limit(1).executeTakeFirst()) ? false : null;
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

  private async countOf(batch: string, states: EnrollmentState[]): Promise<number> {
    const rows = this.parts.store.selectFrom('enrollments').where('batch', '=', batch);
    const counted = rows.where('state', 'in', states).select((is) => is.fn.countAll().as('count'));
    return Number((await counted.executeTakeFirstOrThrow()).count);
  }

  private async described(rows: readonly EnrollmentRow[]) {
    const known = new Map<string, BatchRow>();
    const all: { entry: Enrollment; selectable: Selectable }[] = [];
    for (const row of rows) {
      const batch = known.get(row.batch) ?? (await this.parts.batches.row(row.batch));
      known.set(row.batch, batch);
      const { publicKey, device, certificate: _, conflictAt: __, ...rest } = row;
      const expected = await this.expects(batch, row.serial);
      const { type } = batch;
      const key = sha256Hex(Buffer.from(publicKey, 'base64'));
      const entry = { ...rest, type, expected, key, state: row.state as EnrollmentState };
      all.push({ entry, selectable: selectableOf(row, batch, device) });
    }
    return all;
  }
}

/** A device that asks, as seen by selectors: with the tags and groups that it gets. */
function selectableOf(row: EnrollmentRow, batch: BatchRow, device: string | null): Selectable {
  const { name, state, mac, created, seen } = row;
  return {
    ...{ name, state, mac, created, lastSeen: seen, id: device ?? '', type: batch.type },
    ...{ tags: JSON.parse(batch.tags) as Selectable['tags'], groups: JSON.parse(batch.groups) as string[] },
    ...{ online: false, model: null, firmware: null },
  };
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
