import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import {
  type AlarmTarget,
  type AlarmTargetDefinition,
  type AlarmTargetTest,
  type ApplyAlarmTargets,
  mostAlarmTargets,
  type NewAlarmTarget,
  newAlarmTargetSchema,
} from '../../api/contract/alarm-targets.js';
import type { AlarmsApplied, Severity } from '../../api/contract/alarms.js';
import type { PlatformEvent } from '../../api/events/api.js';
import { AiotError } from '../../core/errors.js';
import { newId } from '../../core/names.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';
import { every, type Worker } from '../workers.js';
import {
  type AlarmMessage,
  failureOf,
  isSevere,
  type Notice,
  senderFor,
  shownTarget,
} from './alarm-messages.js';
import { type Events, extentOf } from './events.js';
import { sendOn } from './outbox.js';
import { namesOf, planOf } from './project-plan.js';
import { givesUpAfterMs, waitAfter } from './webhooks.js';

interface Parts {
  store: Store;
  events: Events;
  log: Logger;
  /** Distinguishes this platform's alarms from another's. */
  platform: string;
  /** ms since 1970 */
  now: () => number;
  env?: NodeJS.ProcessEnv;
}

/** How long the first incidents of an alarm are collected into one message, ms. */
const collectMs = 1000;
const tickMs = 500;
const saveEveryMs = 1000;
/** How long messages in transit may take after the worker is stopped, ms. */
const farewellMs = 800;
/** Number of incidents in one message, and number of rows per statement. */
const together = 500;

/** Position of the alarms' events up to which notifications were queued. */
export const targetsCursor = 'alarm-targets';

type TargetRow = Schema['alarmTargets'];
type QueueRow = Schema['alarmNotices'];

/**
 * Notifies people of incidents. One worker queues a row for each target and incident, in one transaction with its position in the
 * events. Another worker sends the due rows of each alarm as one message. A message's rows and its id are stored before the first
 * attempt, so that each attempt after a crash repeats the same message.
 */
export class AlarmTargets {
  /** Messages that are being sent, by target. */
  private readonly sending = new Map<string, Promise<void>>();
  /** When the last message about an alarm was sent to a target. */
  private readonly sentAt = new Map<string, number>();

  constructor(private readonly parts: Parts) {}

  /** @throws AIOT_ALARM_TARGET, AIOT_ALREADY_EXISTS, AIOT_REQUEST_INVALID (too many) */
  async add(request: NewAlarmTarget, who: string): Promise<AlarmTarget> {
    const row = this.checked(request, who);
    const { name } = row;
    await this.parts.store.transaction().execute(async (transaction) => {
      const known = await transaction.selectFrom('alarmTargets').select('name').execute();
      if (known.some((other) => other.name === name))
        throw new AiotError('AIOT_ALREADY_EXISTS', `the alarm target ${name} already exists`, {
          next: `Choose another name, or remove it with \`aiot alarm target remove ${name}\`.`,
        });
      await this.insert([row], who, transaction);
    });
    return this.get(name);
  }

  /**
   * Replaces a project's targets with a list, completely or not at all. A changed target keeps its unsent messages.
   * @throws AIOT_ALARM_TARGET, AIOT_ALREADY_EXISTS (a target of another project), AIOT_REQUEST_INVALID
   */
  async apply({ project, targets, dryRun = false }: ApplyAlarmTargets, who: string): Promise<AlarmsApplied> {
    const { store, events } = this.parts;
    const rows = targets.map((target) => this.checked({ ...target, project }, who));
    return store.transaction().execute(async (transaction) => {
      const known = await transaction.selectFrom('alarmTargets').selectAll().execute();
      const plan = planOf(project, rows, known, { noun: 'alarm target', read: definitionOf });
      if (!dryRun) {
        for (const { name } of plan.removed) await this.erase(name, who, transaction);
        for (const { name, definition } of plan.changed) {
          const anew = { definition, failures: 0, error: null, retryAt: null };
          await transaction.updateTable('alarmTargets').set(anew).where('name', '=', name).execute();
          const data = shownDefinition({ definition });
          await events.record({ who, type: 'alarm.target.update', subject: name, data }, transaction);
        }
        await this.insert(plan.created, who, transaction);
      }
      return { project, dryRun, ...namesOf(plan) };
    });
  }

  /** The row of a new target. @throws AIOT_ALARM_TARGET */
  private checked(request: NewAlarmTarget, who: string): TargetRow {
    const { now, env = process.env } = this.parts;
    const definition = newAlarmTargetSchema.parse(request);
    const { name, url, allowPrivate } = definition;
    senderFor(url, { allowPrivate, env });
    return {
      ...{ name, definition: JSON.stringify(definition), created: now(), who },
      ...{ delivered: null, failures: 0, error: null, retryAt: null },
    };
  }

  /** @throws AIOT_REQUEST_INVALID (too many) */
  private async insert(rows: readonly TargetRow[], who: string, store: Store): Promise<void> {
    const known = await store.selectFrom('alarmTargets').select('name').execute();
    if (known.length + rows.length > mostAlarmTargets)
      throw new AiotError('AIOT_REQUEST_INVALID', `expected at most ${mostAlarmTargets} alarm targets`);
    if (rows.length === 0) return;
    await store.insertInto('alarmTargets').values(rows).execute();
    // Notifications for the first target begin with the next event.
    const position = (await extentOf(store)).latest;
    await store
      .insertInto('cursors')
      .values({ name: targetsCursor, position })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const told = rows.map((row) => ({
      ...{ who, type: 'alarm.target.add' as const, subject: row.name, data: shownDefinition(row) },
    }));
    await this.parts.events.recordAll(told, store);
  }

  async list(): Promise<{ targets: AlarmTarget[]; next: string | null }> {
    const rows = await this.parts.store.selectFrom('alarmTargets').selectAll().orderBy('name').execute();
    return { targets: await Promise.all(rows.map((row) => this.targetOf(row))), next: null };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(name: string): Promise<AlarmTarget> {
    return this.targetOf(await this.row(name));
  }

  /** Sends a test message, once. @throws AIOT_NOT_FOUND */
  async test(name: string, signal: AbortSignal): Promise<AlarmTargetTest> {
    const { now, platform, env = process.env } = this.parts;
    const { url, allowPrivate } = definitionOf(await this.row(name));
    const at = now();
    const incident = { incident: newId('inc', at), device: 'no device', at, message: 'this is a test' };
    const message: AlarmMessage = {
      ...{ id: newId('ntf', at), event: 'raise', alarm: 'test', severity: 'info', at, open: 1 },
      ...{ key: `aiot/${platform}/test/${name}`, next: 'Nothing needs to be done.', incidents: [incident] },
    };
    const began = performance.now();
    let error: string | null = null;
    try {
      const send = senderFor(url, { allowPrivate, env });
      error = await send(message, signal);
      // Otherwise, the test's incident would stay open at a pager service.
      if (url.startsWith('pagerduty:')) await send({ ...message, event: 'clear', open: 0 }, signal);
    } catch (failure) {
      error = failureOf(failure);
    }
    return { name, delivered: error === null, ms: Math.round(performance.now() - began), error };
  }

  /** @throws AIOT_NOT_FOUND */
  async remove(name: string, who: string): Promise<AlarmTarget> {
    const target = await this.get(name);
    await this.parts.store.transaction().execute((transaction) => this.erase(name, who, transaction));
    return target;
  }

  private async erase(name: string, who: string, store: Store): Promise<void> {
    await store.deleteFrom('alarmTargets').where('name', '=', name).execute();
    await store.deleteFrom('alarmNotices').where('target', '=', name).execute();
    const left = await store.selectFrom('alarmTargets').select('name').limit(1).execute();
    if (left.length === 0) await store.deleteFrom('cursors').where('name', '=', targetsCursor).execute();
    await this.parts.events.record({ who, type: 'alarm.target.remove', subject: name }, store);
  }

  workers(): Worker[] {
    return [
      { name: 'alarm-notices', run: (signal) => this.keepQueueing(signal) },
      {
        name: 'alarm-targets',
        isBusy: () => this.sending.size > 0,
        run: async (signal) => {
          await every(tickMs, signal, () => this.sendDue(signal));
          // The outcome of messages in transit must be stored before another process resends them.
          await Promise.race([
            Promise.all(this.sending.values()),
            delay(farewellMs, undefined, { ref: false }),
          ]);
        },
      },
    ];
  }

  private async keepQueueing(signal: AbortSignal): Promise<void> {
    const { store, events } = this.parts;
    const cursor = {
      read: async () => {
        const row = store.selectFrom('cursors').select('position').where('name', '=', targetsCursor);
        const found = await row.executeTakeFirst();
        const { latest, pruned } = await extentOf(store);
        return found === undefined ? latest : Math.max(Number(found.position), pruned);
      },
      save: (position: number) => this.passed(position, store),
    };
    const lane = {
      cursor,
      source: (after: number | null, ended: AbortSignal) =>
        events.feed.follow(after ?? 0, ended, { types: ['alarm.*'] }),
      deliver: async (
        page: { events: readonly PlatformEvent[]; last: number },
        arrived: (at: number) => void,
      ) => {
        if (page.events.length > 0)
          await store.transaction().execute(async (transaction) => {
            const targets = (await transaction.selectFrom('alarmTargets').selectAll().execute()).map(
              definitionOf,
            );
            for (const event of page.events) await this.queue(event, targets, transaction);
            await this.passed(page.last, transaction);
          });
        arrived(page.last);
        return true;
      },
      saveEveryMs,
    };
    await sendOn(lane, signal);
  }

  /** Moves the position, if there are targets. */
  private async passed(position: number, store: Store): Promise<void> {
    await store
      .updateTable('cursors')
      .set({ position })
      .where('name', '=', targetsCursor)
      .where('position', '<', position)
      .execute();
  }

  private async queue(
    { type, subject: alarm, data, at }: PlatformEvent,
    targets: readonly AlarmTargetDefinition[],
    store: Store,
  ): Promise<void> {
    if (type === 'alarm.raise') {
      const { incident, device, severity } = data as { incident: string; device: string; severity: string };
      const wanted = targets.filter(
        (target) =>
          isSevere(severity, target.severity) &&
          (target.alarms.length === 0 || target.alarms.includes(alarm)),
      );
      const rows = wanted.map(({ name, afterMs }) => ({
        ...{ target: name, incident, event: 'raise', alarm, device, batch: null, sent: null },
        ...{ due: at + afterMs + collectMs, data: JSON.stringify(data) },
      }));
      if (rows.length === 0) return;
      const insert = store.insertInto('alarmNotices').values(rows);
      await insert.onConflict((conflict) => conflict.doNothing()).execute();
    } else if (type === 'alarm.clear') {
      await this.end((query) => query.where('incident', '=', String(data.incident)), data, store);
    } else if (type === 'alarm.remove') {
      await this.end((query) => query.where('alarm', '=', alarm), { cleared: at }, store);
    } else if (type === 'alarm.acknowledge') {
      const escalations = targets.filter(({ afterMs }) => afterMs > 0).map(({ name }) => name);
      if (escalations.length === 0) return;
      const devices = data.devices as string[] | null;
      await store
        .deleteFrom('alarmNotices')
        .where('target', 'in', escalations)
        .where('alarm', '=', alarm)
        .where('batch', 'is', null)
        .$if(devices !== null, (query) => query.where('device', 'in', devices ?? []))
        .execute();
    }
  }

  /** Queues the ends of incidents whose beginning was sent, and drops the other incidents. */
  private async end(
    which: (query: RaisedQuery) => RaisedQuery,
    data: Record<string, unknown>,
    store: Store,
  ): Promise<void> {
    const raised = await which(raisedIn(store)).execute();
    for (const { target, incident, alarm, device, batch, data: raise } of raised) {
      if (batch === null) {
        await store
          .deleteFrom('alarmNotices')
          .where('target', '=', target)
          .where('incident', '=', incident)
          .execute();
        continue;
      }
      const { severity } = JSON.parse(raise) as { severity: string };
      await store
        .insertInto('alarmNotices')
        .values({
          ...{ target, incident, event: 'clear', alarm, device, batch: null, sent: null },
          ...{ due: this.parts.now() + collectMs, data: JSON.stringify({ severity, ...data }) },
        })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    }
  }

  /** Sends to each target whose messages are due. Does not wait for them, because a slow target must not delay the others. */
  private async sendDue(signal: AbortSignal): Promise<void> {
    const { store, now, log } = this.parts;
    const rows = await store.selectFrom('alarmTargets').selectAll().execute();
    for (const row of rows) {
      if (this.sending.has(row.name) || (row.retryAt !== null && Number(row.retryAt) > now())) continue;
      const done = this.sendTo(row, signal)
        .catch((err: unknown) => log.error({ err, target: row.name }, 'could not process an alarm target'))
        .finally(() => this.sending.delete(row.name));
      this.sending.set(row.name, done);
    }
  }

  private async sendTo(row: TargetRow, signal: AbortSignal): Promise<void> {
    const { now, env = process.env } = this.parts;
    const definition = definitionOf(row);
    for (let more = true; more && !signal.aborted; ) {
      const rows = await this.nextBatch(definition);
      const [first] = rows;
      if (!first) return;
      const message = await this.messageOf(rows);
      let error: string | null = null;
      let partly: string | null = null;
      try {
        partly = await senderFor(definition.url, { ...definition, env })(message, signal);
      } catch (failure) {
        if (signal.aborted) return;
        error = failureOf(failure);
      }
      if (error === null) this.sentAt.set(`${row.name}/${first.alarm}`, now());
      more = await this.settled(row, rows, { error, partly });
    }
  }

  /** The message whose delivery has begun, or else the due rows of one alarm, which become the next message. */
  private async nextBatch({ name, groupMs }: AlarmTargetDefinition): Promise<QueueRow[]> {
    const { store, now } = this.parts;
    const unsent = store
      .selectFrom('alarmNotices')
      .selectAll()
      .where('target', '=', name)
      .where('sent', 'is', null);
    const [begun] = await unsent.where('batch', 'is not', null).orderBy('batch').limit(1).execute();
    if (begun) return unsent.where('batch', '=', begun.batch).orderBy('due').orderBy('incident').execute();
    const due = await unsent.where('due', '<=', now()).orderBy('due').orderBy('incident').execute();
    const isFree = (alarm: string) =>
      (this.sentAt.get(`${name}/${alarm}`) ?? Number.NEGATIVE_INFINITY) + groupMs <= now();
    // A beginning and its end within the same interval are two messages, because the targets treat them differently.
    const first = due.find(({ alarm, event }) => isFree(alarm) || event === 'clear');
    if (!first) return [];
    const chosen = due
      .filter(({ alarm, event }) => alarm === first.alarm && event === first.event)
      .slice(0, together);
    const batch = newId('ntf', now());
    for (const { incident, event } of chosen)
      await store
        .updateTable('alarmNotices')
        .set({ batch })
        .where('target', '=', name)
        .where('incident', '=', incident)
        .where('event', '=', event)
        .execute();
    return chosen.map((each) => ({ ...each, batch }));
  }

  private async messageOf(rows: readonly QueueRow[]): Promise<AlarmMessage> {
    const { store, platform, now } = this.parts;
    const { alarm, event, target, batch, due } = rows[0]!;
    const read = rows.map((row) => ({ row, data: JSON.parse(row.data) as Record<string, unknown> }));
    const incidents = read.map(({ row, data }): Notice => {
      const at = Number(data.raised ?? data.cleared ?? now());
      return {
        incident: row.incident,
        device: row.device,
        at,
        message: String(data.message ?? 'it has ended'),
      };
    });
    const severity = String(read[0]?.data.severity ?? 'warning') as Severity;
    const next = String(read[0]?.data.next ?? `To see its incidents, run \`aiot alarm show ${alarm}\`.`);
    const known = raisedIn(store).where('target', '=', target).where('alarm', '=', alarm);
    const open = (await known.where('batch', 'is not', null).execute()).filter(
      ({ incident }) => event === 'raise' || !rows.some((row) => row.incident === incident),
    ).length;
    return {
      ...{ id: batch ?? '', event: event as AlarmMessage['event'], alarm, severity, next, incidents, open },
      ...{ key: `aiot/${platform}/${alarm}`, at: Number(due) },
    };
  }

  /**
   * Stores the outcome of an attempt. Returns whether the next message may be sent.
   * @param outcome.partly why some of the recipients of a delivered message will never receive it
   */
  private async settled(
    row: TargetRow,
    rows: readonly QueueRow[],
    { error, partly }: { error: string | null; partly: string | null },
  ): Promise<boolean> {
    const { store, now, log } = this.parts;
    const at = now();
    const failures = error === null ? 0 : Number(row.failures) + 1;
    const retryAt = error === null ? null : at + waitAfter(failures);
    const isGivenUp = error !== null && rows.every(({ due }) => Number(due) < at - givesUpAfterMs);
    if (error !== null)
      log.warn({ target: row.name, failures, error }, 'could not send a message about an alarm');
    await store.transaction().execute(async (transaction) => {
      const delivered = error === null ? { delivered: at } : {};
      const set = { failures, retryAt, error: error ?? partly, ...delivered };
      await transaction.updateTable('alarmTargets').set(set).where('name', '=', row.name).execute();
      if (error !== null && !isGivenUp) return;
      for (const { incident, event } of rows) {
        const own = { target: row.name, incident };
        if (event === 'raise' && !isGivenUp)
          await transaction
            .updateTable('alarmNotices')
            .set({ sent: at })
            .where('target', '=', own.target)
            .where('incident', '=', incident)
            .where('event', '=', 'raise')
            .execute();
        else
          await transaction
            .deleteFrom('alarmNotices')
            .where('target', '=', own.target)
            .where('incident', '=', incident)
            .execute();
      }
    });
    row.failures = failures;
    return error === null || isGivenUp;
  }

  private async row(name: string): Promise<TargetRow> {
    const query = this.parts.store.selectFrom('alarmTargets').selectAll().where('name', '=', name);
    const row = await query.executeTakeFirst();
    if (row) return row;
    throw new AiotError('AIOT_NOT_FOUND', `the alarm target ${name} does not exist`, {
      next: 'To see the targets, run `aiot alarm target list`.',
    });
  }

  private async targetOf(row: TargetRow): Promise<AlarmTarget> {
    const definition = definitionOf(row);
    const waiting = this.parts.store.selectFrom('alarmNotices').select(({ fn }) => fn.countAll().as('count'));
    const found = await waiting
      .where('target', '=', row.name)
      .where('sent', 'is', null)
      .executeTakeFirstOrThrow();
    const time = (value: number | null) => (value === null ? null : Number(value));
    return {
      ...{ ...definition, url: shownTarget(definition.url), created: Number(row.created), by: row.who },
      ...{ pending: Number(found.count), failures: Number(row.failures), error: row.error },
      ...{ delivered: time(row.delivered), retryAt: time(row.retryAt) },
    };
  }
}

function raisedIn(store: Store) {
  return store.selectFrom('alarmNotices').selectAll().where('event', '=', 'raise');
}
type RaisedQuery = ReturnType<typeof raisedIn>;

/** The definition for an event, without credentials and without its name. */
function shownDefinition(row: Pick<TargetRow, 'definition'>) {
  const { name: _, url, ...data } = definitionOf(row);
  return { ...data, url: shownTarget(url) };
}

function definitionOf({ definition }: Pick<TargetRow, 'definition'>): AlarmTargetDefinition {
  return newAlarmTargetSchema.parse(JSON.parse(definition));
}
