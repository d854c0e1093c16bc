import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import {
  type Alarm,
  type AlarmAcknowledged,
  type AlarmDefinition,
  type AlarmFailure,
  type AlarmShown,
  type AlarmsApplied,
  type AlarmTest,
  type ApplyAlarms,
  type Incident,
  mostAlarms,
  type NewAlarm,
  newAlarmSchema,
} from '../../api/contract/alarms.js';
import type { Attention } from '../../api/contract/attention.js';
import { type PageQuery, pageOfRows } from '../../api/page.js';
import { canonicalJson } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { newId } from '../../core/names.js';
import type { Span } from '../../core/trace.js';
import type { Inference } from '../../device/protocol/messages.js';
import {
  type AlarmChange,
  type AlarmState,
  absencesIn,
  addArrival,
  alarmMessage,
  alarmStep,
  isAbsent,
  isMaintained,
  isOfAnother,
  newestStreams,
  placeInTime,
  quiet,
} from '../../fleet/alarm.js';
import { looksBack, withinWindow } from '../../fleet/alarm-window.js';
import { mayConnect } from '../../fleet/device.js';
import { parseSelector, type Selectable } from '../../fleet/selector.js';
import { compileExpression, fieldPaths } from '../../stream/decode/expression.js';
import { truth } from '../../stream/decode/expression-functions.js';
import type { Reach } from '../access/reach.js';
import type { AttentionService } from '../devices/attention.js';
import { namesIn } from '../devices/crashes.js';
import type { Devices } from '../devices/devices.js';
import type { Entry } from '../journal/entry.js';
import { positionKeys } from '../journal/positions.js';
import { fieldsOf, type Take } from '../journal/takes.js';
import { cursorOf, type PlacedEntry, type Telemetry } from '../journal/telemetry.js';
import type { Store } from '../store/database.js';
import { serially } from '../store/engine.js';
import type { Schema } from '../store/schema.js';
import type { MessageTraces } from '../traces.js';
import type { Worker } from '../workers.js';
import type { Events, NewEvent } from './events.js';
import { namesOf, planOf } from './project-plan.js';

interface Parts {
  store: Store;
  events: Events;
  telemetry: Telemetry;
  devices: Devices;
  attention: Pick<AttentionService, 'unwell'>;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
  /** Traces of messages; absent = none are recorded. */
  traces?: MessageTraces | undefined;
}

/** Number of an alarm's incidents that are stored, and number that are shown. */
const incidentsKept = 1000;
const incidentsShown = 100;
/** Number of an alarm's incidents that are examined for users whose rights are limited to some devices. */
const incidentsExamined = 2000;
/** How often to check for absences, ended silences and changed alarms, ms. */
const tickMs = 500;
/** How often the share of offline devices is evaluated, and how long devices have to reconnect after a start, ms. */
const fleetEveryMs = 5000;
const reconnectMs = 60_000;
/** Stands for the fleet in place of a device's name, which cannot contain it. */
const wholeFleet = '*';
const offlineShown = 20;
/**
 * Difference between a sample's time and its arrival beyond which the device's clock is wrong, ms. If the sample's time is ahead, the time
 * of arrival is used instead.
 */
const aheadMs = 60_000;
/** How long an alarm counts as failing after the last sample that it could not be evaluated on, ms. */
const failingMs = 600_000;
/** Limits of a test on recorded telemetry. */
const firedShown = 200;
const takesAtOnce = 500;
const streamsAtOnce = 1000;
const samplesTested = 2_000_000;

interface Acknowledgment {
  selector?: string | undefined;
  /** The devices that the selector chose; absent = all. */
  devices?: readonly string[] | undefined;
  note?: string | undefined;
}

/** Key of the position in the telemetry up to which the alarms have evaluated it. */
const positionKey = positionKeys.alarms;

type AlarmRow = Schema['alarms'];

/**
 * Alarms on telemetry. A worker of the leader follows the stored telemetry. Each batch's states, incidents, events and position are committed
 * together. After a crash at any point, evaluation therefore continues immediately after the last committed batch: no message is lost,
 * and no incident is raised twice.
 */
export class Alarms {
  /** Serializes the batches, the ticks and the removals, because they change the states. */
  private readonly inTurn = serially();
  private loaded: { version: string; alarms: LoadedAlarm[] } | null = null;
  private states = new Map<string, AlarmState>();
  /** Times when the share of offline devices, and the health of devices, were last evaluated. */
  private fleetSeen = 0;
  private healthSeen = 0;
  /** Times of the newest stored messages of alarms on absence. */
  private readonly storedAt = new Map<string, number>();
  /** Position after the last committed batch, arrival time of its last message, and whether the log contained no further messages then. */
  private at: string | null = null;
  private evaluated = 0;
  private isIdle = false;

  constructor(private readonly parts: Parts) {}

  /** @throws AIOT_ALREADY_EXISTS, AIOT_SELECTOR_INVALID, AIOT_STREAM_EXPRESSION, AIOT_REQUEST_INVALID (too many) */
  async create(request: NewAlarm, who: string): Promise<Alarm> {
    const { store, events, telemetry, now } = this.parts;
    const definition = newAlarmSchema.parse(request);
    new LoadedAlarm(definition, now());
    const end = await telemetry.reader.end();
    const row: AlarmRow = rowOf(definition, who, now());
    await store.transaction().execute(async (transaction) => {
      const known = await transaction.selectFrom('alarms').select('name').execute();
      if (known.some(({ name }) => name === row.name))
        throw new AiotError('AIOT_ALREADY_EXISTS', `the alarm ${row.name} already exists`, {
          next: `To change it, run \`aiot alarm create\` with --replace. Otherwise, choose another name.`,
        });
      await insert(transaction, [row], end);
      const { name: _, ...data } = definition;
      await events.record({ who, type: 'alarm.create', subject: row.name, data }, transaction);
    });
    return this.alarm(row.name);
  }

  /**
   * Replaces a project's alarms with a list, completely or not at all. Evaluation of a changed alarm restarts, and its open incidents end.
   * @throws AIOT_ALREADY_EXISTS (an alarm of another project), AIOT_SELECTOR_INVALID, AIOT_STREAM_EXPRESSION, AIOT_REQUEST_INVALID
   */
  async apply({ project, alarms: wanted, dryRun = false }: ApplyAlarms, who: string): Promise<AlarmsApplied> {
    const { store, telemetry, now } = this.parts;
    const rows = wanted.map((alarm) => {
      const definition = newAlarmSchema.parse({ ...alarm, project });
      new LoadedAlarm(definition, now());
      return rowOf(definition, who, now());
    });
    const end = await telemetry.reader.end();
    const carryOut = async (transaction: Store) => {
      const known = await transaction.selectFrom('alarms').selectAll().execute();
      const plan = planOf(project, rows, known, { noun: 'alarm', read: definitionOf });
      const { created, changed, removed } = plan;
      if (!dryRun) {
        for (const { name } of removed) await this.erase(name, who, transaction);
        for (const row of changed) await this.change(row, { project, who }, transaction);
        await insert(transaction, created, end);
        const told = created.map(({ name, definition }) => {
          const { name: _, ...data } = JSON.parse(definition) as AlarmDefinition;
          return { ...{ who, type: 'alarm.create' as const, subject: name }, data };
        });
        await this.parts.events.recordAll(told, transaction);
      }
      return { project, dryRun, ...namesOf(plan) };
    };
    return this.inTurn(() => store.transaction().execute(carryOut));
  }

  /**
   * Replaces the definition of an alarm, which keeps its project.
   * @throws AIOT_NOT_FOUND, AIOT_SELECTOR_INVALID, AIOT_STREAM_EXPRESSION, AIOT_REQUEST_INVALID (another name)
   */
  async replace(name: string, request: NewAlarm, who: string): Promise<Alarm> {
    const { store, now } = this.parts;
    if (request.name !== name)
      throw new AiotError('AIOT_REQUEST_INVALID', `expected the name ${name}, got ${request.name}`, {
        next: 'An alarm cannot be renamed: create another one, and remove this one.',
      });
    const { project } = definitionOf(
      await this.row(name, 'To create it, run `aiot alarm create` without --replace.'),
    );
    const { project: _, ...own } = request;
    const definition = newAlarmSchema.parse(project === undefined ? own : { ...own, project });
    new LoadedAlarm(definition, now());
    const carryOut = async (transaction: Store) => {
      const known = transaction.selectFrom('alarms').selectAll().where('name', '=', name);
      const before = await known.executeTakeFirst();
      // Another process may have removed it meanwhile.
      if (!before || canonicalJson(definitionOf(before)) === canonicalJson(definition)) return;
      await this.change(rowOf(definition, who, now()), { project: project ?? null, who }, transaction);
    };
    await this.inTurn(() => store.transaction().execute(carryOut));
    return this.alarm(name);
  }

  /** Replaces an alarm's definition. Its evaluation restarts, so its open incidents end. */
  private async change(
    { name, definition }: AlarmRow,
    { project, who }: { project: string | null; who: string },
    store: Store,
  ): Promise<void> {
    const { events, now } = this.parts;
    const cleared = now();
    const open = await store
      .selectFrom('incidents')
      .selectAll()
      .where('alarm', '=', name)
      .where('cleared', 'is', null)
      .execute();
    const row = { definition, who, revision: newId('rev', cleared) };
    await store.updateTable('alarms').set(row).where('name', '=', name).execute();
    await store.deleteFrom('alarmFailures').where('alarm', '=', name).execute();
    await store
      .updateTable('incidents')
      .set({ cleared })
      .where('alarm', '=', name)
      .where('cleared', 'is', null)
      .execute();
    const states = await store.selectFrom('alarmStates').selectAll().where('alarm', '=', name).execute();
    for (const { device, state } of states) {
      // The time of the last message is kept, because a device that is absent now would otherwise never count as absent.
      const { last } = JSON.parse(state) as AlarmState;
      const anew = JSON.stringify({ ...quiet, last });
      const kept = store.updateTable('alarmStates').set({ state: anew }).where('alarm', '=', name);
      await kept.where('device', '=', device).execute();
    }
    const { severity } = definitionOf({ definition });
    const ended = open
      .filter(({ notified }) => Number(notified) !== 0)
      .map(({ id, device }) => ({
        ...{ who: 'platform', type: 'alarm.clear' as const, subject: name },
        data: { incident: id, device, severity, cleared },
      }));
    await events.recordAll(
      [...ended, { who, type: 'alarm.update', subject: name, data: { project } }],
      store,
    );
  }

  /** With a `reach`, alarms show only the incidents of these devices. */
  async list(
    { limit, after }: PageQuery,
    reach: Reach | null = null,
  ): Promise<{ alarms: Alarm[]; next: string | null }> {
    const rows = await this.parts.store
      .selectFrom('alarms')
      .selectAll()
      .$if(after !== undefined, (query) => query.where('name', '>', after ?? ''))
      .orderBy('name')
      .limit(limit + 1)
      .execute();
    const { entries, next } = pageOfRows(rows, limit, ({ name }) => name);
    const alarms: Alarm[] = [];
    for (const row of entries) alarms.push(await this.alarmOf(row, reach));
    return { alarms, next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(name: string, reach: Reach | null = null): Promise<AlarmShown> {
    const alarm = await this.alarmOf(await this.row(name), reach);
    const rows = await this.parts.store
      .selectFrom('incidents')
      .selectAll()
      .where('alarm', '=', name)
      .orderBy('raised', 'desc')
      .orderBy('id', 'desc')
      // Incidents of other devices are left out afterward.
      .limit(reach === null ? incidentsShown : incidentsExamined)
      .execute();
    const shown =
      reach === null ? rows : rows.filter(({ device }) => reach.has(device)).slice(0, incidentsShown);
    return { alarm, incidents: shown.map(incidentOf) };
  }

  /**
   * Acknowledges the open incidents, of some devices or of all. `selector` is how the user chose the devices.
   * @throws AIOT_NOT_FOUND (the alarm, or an open incident)
   */
  async acknowledge(
    name: string,
    { selector, devices, note }: Acknowledgment,
    who: string,
    reach: Reach | null = null,
  ): Promise<AlarmAcknowledged> {
    const { store, events, now } = this.parts;
    await this.row(name);
    const acknowledged = JSON.stringify({ who, at: now(), note: note ?? null });
    const count = await store.transaction().execute(async (transaction) => {
      const open = await transaction
        .selectFrom('incidents')
        .select('device')
        .distinct()
        .where('alarm', '=', name)
        .where('cleared', 'is', null)
        .$if(devices !== undefined, (query) => query.where('device', 'in', namesIn(transaction, devices)))
        .execute();
      if (open.length === 0)
        throw new AiotError(
          'AIOT_NOT_FOUND',
          `the alarm ${name} has no open incident${selector === undefined ? '' : ` on ${selector}`}`,
          { next: `To see its incidents, run \`aiot alarm show ${name}\`.` },
        );
      const changed = await transaction
        .updateTable('incidents')
        .set({ acknowledged })
        .where('alarm', '=', name)
        .where('cleared', 'is', null)
        .where('acknowledged', 'is', null)
        .$if(devices !== undefined, (query) => query.where('device', 'in', namesIn(transaction, devices)))
        .executeTakeFirst();
      const incidents = Number(changed.numUpdatedRows);
      if (incidents === 0) return 0;
      const whose = devices === undefined ? null : open.map(({ device }) => device);
      const data = { devices: whose, note: note ?? null, incidents };
      await events.record({ who, type: 'alarm.acknowledge', subject: name, data }, transaction);
      return incidents;
    });
    return { ...(await this.get(name, reach)), acknowledged: count };
  }

  /** @throws AIOT_NOT_FOUND */
  async silence(
    name: string,
    { forMs, note }: { forMs: number; note?: string },
    who: string,
  ): Promise<Alarm> {
    const { store, events, now } = this.parts;
    await this.row(name);
    const silencedUntil = forMs === 0 ? null : now() + forMs;
    await store.transaction().execute(async (transaction) => {
      await transaction.updateTable('alarms').set({ silencedUntil }).where('name', '=', name).execute();
      const data = { until: silencedUntil, note: note ?? null };
      await events.record({ who, type: 'alarm.silence', subject: name, data }, transaction);
    });
    return this.alarm(name);
  }

  /** @throws AIOT_NOT_FOUND */
  remove(name: string, who: string): Promise<Alarm> {
    return this.inTurn(async () => {
      const alarm = await this.alarm(name);
      await this.parts.store.transaction().execute((transaction) => this.erase(name, who, transaction));
      return alarm;
    });
  }

  private async erase(name: string, who: string, store: Store): Promise<void> {
    await store.deleteFrom('alarms').where('name', '=', name).execute();
    await store.deleteFrom('alarmStates').where('alarm', '=', name).execute();
    await store.deleteFrom('alarmFailures').where('alarm', '=', name).execute();
    await store.deleteFrom('incidents').where('alarm', '=', name).execute();
    const left = await store.selectFrom('alarms').select('name').limit(1).execute();
    if (left.length === 0) await store.deleteFrom('meta').where('key', '=', positionKey).execute();
    await this.parts.events.record({ who, type: 'alarm.remove', subject: name }, store);
  }

  /** Ends the incidents of a removed device, and deletes its states, so that another device with its name starts without any state. */
  forget(device: string): Promise<void> {
    return this.inTurn(async () => {
      const { store, now } = this.parts;
      const alarms = await this.load();
      if (alarms.length === 0) return;
      const work = new Work();
      work.gone.add(device);
      const open = store.selectFrom('incidents').select(['id', 'alarm']).where('cleared', 'is', null);
      for (const row of await open.where('device', '=', device).execute()) {
        const alarm = alarms.find(({ definition }) => definition.name === row.alarm);
        if (alarm) work.clear(alarm, device, row.id, now());
      }
      await store.transaction().execute((transaction) => this.commit(work, transaction));
      this.keep(work);
    });
  }

  /**
   * Replays recorded telemetry or predictions, device by device, with all streams of a device in chronological order. Nothing is stored.
   * @param signal ends the test early, with the result so far
   * @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID (the alarm is on offline or unwell devices)
   */
  async test(name: string, sinceMs: number, signal?: AbortSignal): Promise<AlarmTest> {
    const { now } = this.parts;
    const loaded = new LoadedAlarm(definitionOf(await this.row(name)), now());
    const { channel } = loaded;
    if (channel === null)
      throw new AiotError(
        'AIOT_REQUEST_INVALID',
        `the alarm ${name} reports ${loaded.definition.unwell ? 'unwell' : 'offline'} devices, but recordings do not show the state of devices`,
        { next: 'To try the alarm, lower its limit and disconnect a device.' },
      );
    const from = now() - sinceMs;
    if (loaded.definition.absentMs !== undefined) return this.testAbsence(loaded, from, signal);
    const counted = { messages: 0, samples: 0, total: 0, truncated: false };
    let fired: AlarmTest['fired'] = [];
    const newest = () => fired.sort((a, b) => a.raised - b.raised).slice(-firedShown);
    for (const [device, takes] of await this.recorded(loaded, from, signal)) {
      let state = quiet;
      let open: AlarmTest['fired'][number] | null = null;
      for await (const sample of inTimeOrder(takes.map((some) => this.replayed(some, from, counted)))) {
        counted.truncated = counted.samples >= samplesTested || signal?.aborted === true;
        if (counted.truncated) break;
        counted.samples++;
        const { state: after, change } = await loaded.step(state, sample);
        state = change === 'raised' ? { ...after, incident: 'test' } : after;
        if (change === 'cleared' && open) open.cleared = sample.t;
        if (change !== 'raised') continue;
        open = { device, raised: sample.t, cleared: null, message: alarmMessage(loaded.definition, after) };
        counted.total++;
        fired.push(open);
        if (fired.length > 2 * firedShown) fired = newest();
      }
      if (counted.truncated) break;
    }
    return { alarm: name, from, ...counted, fired: newest() };
  }

  /** The recordings that a test reads: for each device, one list per stream. */
  private async recorded(loaded: LoadedAlarm, from: number, signal?: AbortSignal) {
    const { telemetry, devices } = this.parts;
    const found = new Map<string, Take[][]>();
    const channel = loaded.channel ?? 'telemetry';
    for await (const stream of streamsOf(telemetry, channel, loaded.definition.stream)) {
      const byDevice = new Map<string, Take[]>();
      for await (const take of takesOf(telemetry, stream, channel)) {
        if (signal?.aborted) return found;
        if (Math.max(take.endedAt ?? 0, take.lastAt ?? 0) < from || !loaded.wants(take.device, devices))
          continue;
        const known = byDevice.get(take.device);
        if (known) known.push(take);
        else byDevice.set(take.device, [take]);
      }
      for (const [device, takes] of byDevice) found.set(device, [...(found.get(device) ?? []), takes]);
    }
    return found;
  }

  /** Samples of one stream's recordings that have arrived since a given time, and the number of messages that contained them. */
  private async *replayed(takes: Take[], from: number, counted: { messages: number }) {
    for (const take of takes.sort((a, b) => (a.startedAt ?? 0) - (b.startedAt ?? 0))) {
      const since = from - behindBy(take);
      for await (const entry of this.parts.telemetry.read(take, { from: since })) {
        const samples = [...samplesOf(entry)].filter(({ t }) => t >= since);
        if (samples.length > 0) counted.messages++;
        yield* samples;
      }
    }
  }

  /** The absences since a given time, of all devices that have sent telemetry since then. */
  private async testAbsence(loaded: LoadedAlarm, from: number, signal?: AbortSignal): Promise<AlarmTest> {
    const { telemetry, store, now } = this.parts;
    const { name, absentMs = 0 } = loaded.definition;
    const counted = { messages: 0, truncated: false };
    const fired: AlarmTest['fired'] = [];
    const begun = store.selectFrom('events').select('at').where('type', '=', 'platform.start');
    const starts = (await begun.where('at', '>=', from).execute()).map(({ at }) => Number(at));
    for (const [device, takes] of await this.recorded(loaded, from, signal)) {
      const spans: [number, number][] = [];
      for (const take of takes.flat()) {
        for await (const { at } of telemetry.read(take, { from: from - behindBy(take) })) {
          counted.truncated = counted.messages >= samplesTested || signal?.aborted === true;
          if (counted.truncated) break;
          counted.messages++;
          addArrival(spans, at, absentMs);
        }
      }
      if (counted.truncated) break;
      if (spans.length === 0) continue;
      for (const { last, raised, cleared } of absencesIn(loaded.definition, spans, starts, now()))
        fired.push({
          ...{ device, raised, cleared, message: alarmMessage(loaded.definition, { ...quiet, last }) },
        });
    }
    const newest = fired.sort((a, b) => a.raised - b.raised).slice(-firedShown);
    const { messages } = counted;
    return { alarm: name, from, ...counted, samples: messages, total: fired.length, fired: newest };
  }

  worker(): Worker {
    return { name: 'alarms', run: (signal) => this.run(signal) };
  }

  private async run(signal: AbortSignal): Promise<void> {
    // Another process may have been the leader since this one last was.
    this.reset();
    const started = this.parts.now();
    const ended = new AbortController();
    const both = AbortSignal.any([signal, ended.signal]);
    const ticking = this.keepTicking(started, both).catch((error: unknown) => {
      ended.abort();
      throw error;
    });
    // The error of `ticking` is thrown below, once the telemetry is no longer followed.
    ticking.catch(() => {});
    try {
      await this.followTelemetry(both);
    } finally {
      ended.abort();
      await ticking;
    }
  }

  /** Forgets everything that another process may have changed. */
  private reset(): void {
    this.loaded = null;
    this.states = new Map();
    this.storedAt.clear();
    this.at = null;
    this.evaluated = 0;
    this.isIdle = false;
  }

  private async keepTicking(started: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.inTurn(() => this.tick(started));
      await delay(tickMs, undefined, { signal }).catch(() => {});
    }
  }

  private async followTelemetry(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const position = await this.position();
      if (position === null) {
        await delay(tickMs, undefined, { signal }).catch(() => {});
        continue;
      }
      this.at = position;
      const idle = (isIdle: boolean) => {
        this.isIdle = isIdle;
      };
      for await (const batch of this.parts.telemetry.reader.from(position, signal, idle)) {
        const more = await this.inTurn(() => this.take(batch));
        if (!more || signal.aborted) break;
      }
    }
  }

  private async position(): Promise<string | null> {
    const { store } = this.parts;
    const found = store.selectFrom('meta').select('value').where('key', '=', positionKey);
    return (await found.executeTakeFirst())?.value ?? null;
  }

  /**
   * Evaluates a batch, and commits its results with the position. False = no alarms are left, or another process has moved the
   * position.
   */
  private async take(batch: readonly PlacedEntry[]): Promise<boolean> {
    const { store, devices, now } = this.parts;
    this.isIdle = false;
    const alarms = await this.load();
    if (alarms.length === 0) return false;
    const work = new Work();
    const spans = this.traced(batch);
    for (const { entry } of batch) {
      if (entry.channel !== 'telemetry' && entry.channel !== 'inference') continue;
      for (const alarm of alarms) {
        const { stream } = alarm.definition;
        if (alarm.channel !== entry.channel) continue;
        if ((stream !== undefined && stream !== entry.stream) || entry.at < alarm.created) continue;
        if (!alarm.wants(entry.device, devices)) continue;
        const before = work.raised.length;
        await this.evaluate(alarm, entry, work);
        const own = spans.get(entry);
        if (!own) continue;
        own.alarms.push(alarm.definition.name);
        if (work.raised.length > before) own.raised.push(alarm.definition.name);
      }
    }
    const last = batch.at(-1)!;
    for (const alarm of alarms) work.failure(alarm, now());
    const isCurrent = await store.transaction().execute(async (transaction) => {
      const moved = await this.move(last.position, transaction);
      if (moved) await this.commit(work, transaction);
      return moved;
    });
    if (!isCurrent) {
      this.reset();
      return false;
    }
    this.at = last.position;
    this.evaluated = last.entry.at;
    this.keep(work);
    for (const { span, alarms: names, raised } of spans.values()) {
      if (names.length > 0)
        span.end({ 'aiot.alarms': names.join(','), 'aiot.alarms.raised': raised.join(',') });
    }
    return true;
  }

  /** Spans for the evaluation of those messages whose traces are recorded. */
  private traced(batch: readonly PlacedEntry[]) {
    const { traces } = this.parts;
    const spans = new Map<Entry, { span: Span; alarms: string[]; raised: string[] }>();
    if (!traces) return spans;
    for (const { entry } of batch) {
      const context = traces.recall(entry);
      if (context)
        spans.set(entry, { span: traces.tracer.step('evaluate alarms', context), alarms: [], raised: [] });
    }
    return spans;
  }

  /** Moves the stored position. False = another process has moved it, so that this one must not store results. */
  private async move(position: string, transaction: Store): Promise<boolean> {
    const moved = await transaction
      .updateTable('meta')
      .set({ value: position })
      .where('key', '=', positionKey)
      .where('value', '=', this.at ?? '')
      .executeTakeFirst();
    return Number(moved.numUpdatedRows) > 0;
  }

  private async evaluate(alarm: LoadedAlarm, entry: Entry, work: Work): Promise<void> {
    const key = keyOf(alarm.definition.name, entry.device);
    for (const sample of samplesOf(entry)) {
      if (alarm.definition.where === undefined) {
        const before = work.states.get(key) ?? this.states.get(key) ?? quiet;
        const { incident, last } = before;
        const newest = Math.max(last, entry.at);
        if (incident !== null) work.clear(alarm, entry.device, incident, entry.at);
        // Stored only occasionally, because after a restart an absence counts from the platform's start anyway.
        this.states.set(key, { ...before, last: newest });
        const stored = this.storedAt.get(key) ?? 0;
        const isDue = incident !== null || newest - stored > (alarm.definition.absentMs ?? 0) / 10;
        if (isDue) {
          work.states.set(key, { ...quiet, last: newest });
          this.storedAt.set(key, newest);
        }
        continue;
      }
      await this.advance(alarm, entry.device, sample, work);
    }
  }

  /** Evaluates a condition on the next sample of a device, or of the fleet. */
  private async advance(alarm: LoadedAlarm, device: string, sample: Sample, work: Work): Promise<void> {
    const key = keyOf(alarm.definition.name, device);
    const before = work.states.get(key) ?? this.states.get(key) ?? quiet;
    const { state, change } = await alarm.step(before, sample);
    const after = change === 'raised' ? work.raise(alarm, device, state, sample.t) : state;
    if (change === 'cleared' && before.incident !== null)
      work.clear(alarm, device, before.incident, sample.t);
    // A window is stored with each batch, because it would otherwise lose messages in a crash.
    if (!isQuiet(before) || !isQuiet(after) || looksBack(alarm.definition)) work.states.set(key, after);
    else this.states.set(key, after);
  }

  /** Evaluates the alarms on the share of offline devices. Each has a single state, for the whole fleet. */
  private async watchFleet(alarms: readonly LoadedAlarm[], started: number, work: Work): Promise<void> {
    const { devices, now } = this.parts;
    const at = now();
    if (at - started < reconnectMs || at - this.fleetSeen < fleetEveryMs) return;
    this.fleetSeen = at;
    for (const alarm of alarms) {
      if (!alarm.definition.offline) continue;
      const away: string[] = [];
      let [offline, total] = [0, 0];
      await devices.visit(({ name, state, lastSeen }) => {
        if (!mayConnect(state) || lastSeen === null) return;
        total++;
        if (devices.online(name)) return;
        offline++;
        if (away.length < offlineShown) away.push(name);
      }, alarm.definition.selector);
      const share = total === 0 ? 0 : offline / total;
      const values = { share, offline, total, devices: away };
      await this.advance(
        alarm,
        wholeFleet,
        { topic: '', stream: '', t: at, at, device: wholeFleet, values },
        work,
      );
    }
  }

  /** Evaluates the alarms on the health of devices: unwell devices, and devices for which the condition was true before. */
  private async watchHealth(alarms: readonly LoadedAlarm[], work: Work): Promise<void> {
    const { devices, attention, now } = this.parts;
    const at = now();
    const own = alarms.filter(({ definition }) => definition.unwell);
    if (own.length === 0 || at - this.healthSeen < fleetEveryMs) return;
    this.healthSeen = at;
    const unwell = new Map((await attention.unwell()).map((health) => [health.name, health]));
    for (const alarm of own) {
      const { name: of } = alarm.definition;
      const before = [...this.states].filter(([key, state]) => key.startsWith(`${of}/`) && !isQuiet(state));
      const names = new Set([...unwell.keys(), ...before.map(([key]) => key.slice(of.length + 1))]);
      for (const device of names) {
        if (!alarm.wants(device, devices)) continue;
        const { state = 'ok', causes = [] } = unwell.get(device) ?? {};
        const values = {
          ...{ state, causes: causes.map(({ code }) => code) },
          message: causes.map(({ message }) => message).join('; '),
        };
        await this.advance(alarm, device, { topic: '', stream: '', t: at, at, device, values }, work);
      }
    }
  }

  /** Raises incidents for absent devices, ends those of devices that no longer match, and reports incidents whose silence has ended. */
  private async tick(started: number): Promise<void> {
    const { store, now } = this.parts;
    const alarms = await this.load();
    const work = new Work();
    this.examine(alarms, started, work);
    await this.watchFleet(alarms, started, work);
    await this.watchHealth(alarms, work);
    const silenced = await store
      .selectFrom('incidents')
      .selectAll()
      .where('notified', '=', 0)
      .where('cleared', 'is', null)
      .execute();
    const due = silenced.filter(
      ({ alarm }) => alarms.find((one) => one.definition.name === alarm)?.isSilent(now()) === false,
    );
    if (work.isEmpty && due.length === 0) return;
    const isCurrent = await store.transaction().execute(async (transaction) => {
      const held = work.isEmpty || (await this.move(this.at ?? '', transaction));
      if (held) await this.commit(work, transaction);
      for (const row of due) {
        // Without a row, a user has removed the alarm with its incidents, or another process has reported the incident.
        const told = await transaction
          .updateTable('incidents')
          .set({ notified: 1 })
          .where('id', '=', row.id)
          .where('notified', '=', 0)
          .executeTakeFirst();
        const alarm = alarms.find((one) => one.definition.name === row.alarm);
        if (alarm && Number(told.numUpdatedRows) > 0)
          await this.parts.events.record(raiseEvent(alarm, incidentOf(row)), transaction);
      }
      return held;
    });
    if (isCurrent) this.keep(work);
    else this.loaded = null;
  }

  /** Finds absent devices, and devices that were removed or that no longer match. */
  private examine(alarms: readonly LoadedAlarm[], started: number, work: Work): void {
    const { devices, now } = this.parts;
    const byName = new Map(alarms.map((alarm) => [alarm.definition.name, alarm]));
    // While messages wait to be evaluated, absence is known only up to the last evaluated one.
    const until = this.isIdle ? now() : this.evaluated;
    for (const [key, state] of this.states) {
      const slash = key.indexOf('/');
      const alarm = byName.get(key.slice(0, slash));
      if (!alarm || (alarm.definition.where !== undefined && isQuiet(state))) continue;
      const device = key.slice(slash + 1);
      if (device === wholeFleet) continue;
      if (!alarm.wants(device, devices)) {
        if (state.incident !== null) work.clear(alarm, device, state.incident, now());
        if (!devices.find(device)) work.gone.add(device);
        else if (!isQuiet(state)) work.states.set(key, { ...quiet, last: state.last });
      } else if (
        alarm.definition.where === undefined &&
        isAbsent(alarm.definition, state, Math.max(started, alarm.created), until)
      )
        work.states.set(key, work.raise(alarm, device, state, now()));
    }
  }

  private keep(work: Work): void {
    for (const [key, state] of work.states) this.states.set(key, state);
    for (const device of work.gone) {
      for (const { definition } of this.loaded?.alarms ?? []) {
        this.states.delete(keyOf(definition.name, device));
        this.storedAt.delete(keyOf(definition.name, device));
      }
    }
  }

  /**
   * Drops results whose alarm a user has removed or changed since the evaluation began; they would leave incidents without an alarm. The
   * update locks the rows, because PostgreSQL would otherwise let the removal overtake this transaction.
   */
  private async dropOutdated(work: Work, store: Store): Promise<void> {
    const names = work.alarms();
    if (names.length === 0) return;
    const lock = store.updateTable('alarms').set(({ ref }) => ({ who: ref('who') }));
    await lock.where('name', 'in', names).execute();
    const rows = await store.selectFrom('alarms').selectAll().where('name', 'in', names).execute();
    const versions = new Map(rows.map((row) => [row.name, versionOf(row)]));
    const evaluated = this.loaded?.alarms ?? [];
    work.keep((name) => {
      const version = evaluated.find(({ definition }) => definition.name === name)?.version;
      return version !== undefined && version === versions.get(name);
    });
  }

  private async commit(work: Work, store: Store): Promise<void> {
    if (work.isEmpty) return;
    const { events, now } = this.parts;
    const told: NewEvent[] = [];
    await this.dropOutdated(work, store);
    for (const { alarm, incident } of work.raised) {
      const notified = !alarm.isSilent(now());
      await store
        .insertInto('incidents')
        .values({
          ...incident,
          notified: notified ? 1 : 0,
          samples: JSON.stringify(incident.samples),
          acknowledged: null,
        })
        .execute();
      if (notified) told.push(raiseEvent(alarm, incident));
      await forgetOld(store, incident.alarm);
    }
    for (const { alarm, device, incident, at } of work.cleared) {
      const open = store.updateTable('incidents').set({ cleared: at }).where('id', '=', incident);
      const ending = await open.where('cleared', 'is', null).executeTakeFirst();
      if (Number(ending.numUpdatedRows) === 0) continue;
      const ended = store.selectFrom('incidents').select('notified').where('id', '=', incident);
      // An incident that began and ended within a silence causes no notification.
      if (Number((await ended.executeTakeFirst())?.notified ?? 0) === 0) continue;
      const { severity } = alarm.definition;
      told.push({
        ...{ who: 'platform', type: 'alarm.clear', subject: alarm.definition.name },
        data: { incident, device, severity, cleared: at },
      });
    }
    for (const [key, state] of work.states) {
      const slash = key.indexOf('/');
      const row = { alarm: key.slice(0, slash), device: key.slice(slash + 1), state: JSON.stringify(state) };
      await store
        .insertInto('alarmStates')
        .values(row)
        .onConflict((conflict) => conflict.columns(['alarm', 'device']).doUpdateSet({ state: row.state }))
        .execute();
    }
    for (const [alarm, failure] of work.failures) await writeFailure(store, alarm, failure);
    for (const device of work.gone)
      await store.deleteFrom('alarmStates').where('device', '=', device).execute();
    await events.recordAll(told, store);
  }

  /** The alarms, reread with their states if a user has changed any. */
  private async load(): Promise<LoadedAlarm[]> {
    const { store, now } = this.parts;
    const rows = await store.selectFrom('alarms').selectAll().orderBy('name').execute();
    const version = JSON.stringify(rows.map((row) => [row.name, versionOf(row), row.silencedUntil]));
    if (this.loaded?.version === version) return this.loaded.alarms;
    const alarms = rows.map(
      (row) =>
        new LoadedAlarm(definitionOf(row), now(), {
          created: Number(row.created),
          silencedUntil: silencedOf(row),
          version: versionOf(row),
        }),
    );
    for (const { alarm, at } of await store.selectFrom('alarmFailures').select(['alarm', 'at']).execute()) {
      const failing = alarms.find(({ definition }) => definition.name === alarm);
      if (failing) failing.failedAt = Number(at);
    }
    const states = await store.selectFrom('alarmStates').selectAll().execute();
    const known = this.states;
    this.states = new Map(
      states.map(({ alarm, device, state: text }) => {
        const key = keyOf(alarm, device);
        const state = JSON.parse(text) as AlarmState;
        const last = Math.max(state.last, known.get(key)?.last ?? 0);
        return [key, { ...state, last }];
      }),
    );
    this.loaded = { version, alarms };
    return alarms;
  }

  private async alarm(name: string): Promise<Alarm> {
    return this.alarmOf(await this.row(name));
  }

  private async alarmOf(row: AlarmRow, reach: Reach | null = null): Promise<Alarm> {
    const incidents = await this.parts.store
      .selectFrom('incidents')
      .select(['device', 'acknowledged'])
      .where('alarm', '=', row.name)
      .where('cleared', 'is', null)
      .execute();
    const failure = this.parts.store.selectFrom('alarmFailures').selectAll().where('alarm', '=', row.name);
    const failing = await failure.executeTakeFirst();
    const silencedUntil = silencedOf(row);
    const open = incidents.filter(({ device }) => reach?.has(device) !== false);
    return {
      ...{ ...definitionOf(row), created: Number(row.created), by: row.who },
      silencedUntil: silencedUntil !== null && silencedUntil > this.parts.now() ? silencedUntil : null,
      open: open.length,
      unacknowledged: open.filter(({ acknowledged }) => acknowledged === null).length,
      failing: failing === undefined || reach?.has(failing.device) === false ? null : failureOf(failing),
    };
  }

  private async row(name: string, next = 'To see the alarms, run `aiot alarm list`.'): Promise<AlarmRow> {
    const query = this.parts.store.selectFrom('alarms').selectAll().where('name', '=', name);
    const row = await query.executeTakeFirst();
    if (row) return row;
    throw new AiotError('AIOT_NOT_FOUND', `the alarm ${name} does not exist`, { next });
  }
}

/** An alarm whose expressions and selector are compiled. */
class LoadedAlarm {
  private readonly where;
  private readonly clear;
  /** Fields that the expressions read. */
  private readonly whereFields;
  private readonly clearFields;
  private readonly matches: (device: Selectable) => boolean;
  readonly created: number;
  private readonly silencedUntil: number | null;
  /** When a sample last could not be evaluated, ms since 1970; null = not recently. */
  failedAt: number | null = null;
  /** Samples of the current batch that could not be evaluated; null = none. */
  failure: AlarmFailure | null = null;
  /** Changes with the definition, and if an alarm is created again under the name. */
  readonly version: string;

  /** @throws AIOT_SELECTOR_INVALID, AIOT_STREAM_EXPRESSION */
  constructor(
    readonly definition: AlarmDefinition,
    now: number,
    {
      created,
      silencedUntil,
      version,
    }: { created: number; silencedUntil: number | null; version: string } = unstored,
  ) {
    this.created = created;
    this.silencedUntil = silencedUntil;
    this.version = version;
    const { where, clear, selector } = definition;
    this.where = where === undefined ? null : compileExpression(where);
    this.clear = clear === undefined ? null : compileExpression(clear);
    this.whereFields = where === undefined ? [] : fieldPaths(where);
    this.clearFields = clear === undefined ? this.whereFields : fieldPaths(clear);
    this.matches = parseSelector(selector, now);
  }

  /** Channel of the messages that the alarm evaluates; null = none. */
  get channel(): 'telemetry' | 'inference' | null {
    const { class: label, offline, unwell } = this.definition;
    if (offline || unwell) return null;
    return label === undefined ? 'telemetry' : 'inference';
  }

  isSilent(now: number): boolean {
    if (this.silencedUntil !== null && this.silencedUntil > now) return true;
    return isMaintained(this.definition.maintenance ?? [], now);
  }

  wants(name: string, devices: Devices): boolean {
    const device = devices.find(name);
    if (!device) return false;
    return this.definition.selector === 'all' || this.matches(devices.selectable(device));
  }

  async step(before: AlarmState, sample: Sample): Promise<{ state: AlarmState; change: AlarmChange }> {
    const { state, isLate } = placeInTime(before, sample);
    if (isLate) return { state, change: null };
    const { clocks } = state;
    const { state: after, change } = await this.look(state, sample);
    return { state: { ...after, clocks }, change };
  }

  private async look(state: AlarmState, sample: Sample): Promise<{ state: AlarmState; change: AlarmChange }> {
    if (!looksBack(this.definition)) return this.judge(state, sample);
    const { stream, t } = sample;
    const { [stream]: own = [], ...others } = state.windows ?? {};
    const { window, values } = withinWindow(this.definition, own, sample);
    const windows = window.length === 0 ? others : { ...newestStreams(others), [stream]: window };
    if (values === null) return { state: { ...state, last: t, windows }, change: null };
    if (isOfAnother(this.definition, state, sample)) return { state: { ...state, windows }, change: null };
    const judged = await this.judge(state, { ...sample, values });
    return { ...judged, state: { ...judged.state, windows } };
  }

  private async judge(state: AlarmState, sample: Sample) {
    const holds = await this.isTrue(this.where, sample);
    const isOpen = state.incident !== null;
    const clears = isOpen && (await this.isTrue(this.clear, sample));
    const told = isOpen && this.clear !== null ? clears : holds;
    // Another stream's sample without the fields does not show that the condition has ended.
    if (!told && this.definition.stream === undefined && sample.stream !== state.stream) {
      const fields = isOpen ? this.clearFields : this.whereFields;
      if (fields.some((path) => !hasField(sample.values, path))) return { state, change: null };
    }
    return alarmStep(this.definition, state, sample, { holds, clears });
  }

  /** Whether the expression is true for the sample. A sample that it cannot be evaluated on counts as false, and as a failure. */
  private async isTrue(
    expression: typeof this.where,
    { topic, t, at, values, device }: Sample,
  ): Promise<boolean> {
    if (expression === null) return false;
    const message = { topic, payload: noBytes, time: t, source: 'telemetry' };
    try {
      return truth(await expression.evaluate(message, () => values));
    } catch (error) {
      const { count = 0, since = at } = this.failure ?? {};
      const reason = error instanceof Error ? error.message : String(error);
      this.failure = { count: count + 1, since, at, device, error: reason.slice(0, mostReason) };
      return false;
    }
  }
}

const mostReason = 500;
const noBytes = Buffer.alloc(0);
const unstored = { created: 0, silencedUntil: null, version: '' };

/** Results of a batch, which are committed together. */
class Work {
  readonly states = new Map<string, AlarmState>();
  readonly raised: { alarm: LoadedAlarm; incident: Incident }[] = [];
  readonly cleared: { alarm: LoadedAlarm; device: string; incident: string; at: number }[] = [];
  /** Devices that were removed, and whose states are deleted. */
  readonly gone = new Set<string>();
  /** New evaluation failures by alarm; null = evaluation no longer fails. */
  readonly failures = new Map<string, AlarmFailure | null>();

  get isEmpty(): boolean {
    const { states, raised, cleared, gone, failures } = this;
    return states.size + raised.length + cleared.length + gone.size + failures.size === 0;
  }

  raise(alarm: LoadedAlarm, device: string, state: AlarmState, at: number): AlarmState {
    const id = newId('inc', at);
    const { since, samples, last } = state;
    const message = alarmMessage(alarm.definition, state);
    const incident = {
      ...{ id, alarm: alarm.definition.name, device, since: since ?? last, raised: at, cleared: null },
      ...{ notified: false, message, samples, acknowledged: null },
    };
    this.raised.push({ alarm, incident });
    return { ...state, incident: id, samples: [] };
  }

  /** Records an alarm's failures from a batch. An alarm that failed earlier counts as working again after a while without failures. */
  failure(alarm: LoadedAlarm, now: number): void {
    const { failure, failedAt, definition } = alarm;
    alarm.failure = null;
    if (failure) {
      this.failures.set(definition.name, failure);
      alarm.failedAt = failure.at;
    } else if (failedAt !== null && now - failedAt > failingMs) {
      this.failures.set(definition.name, null);
      alarm.failedAt = null;
    }
  }

  clear(alarm: LoadedAlarm, device: string, incident: string, at: number): void {
    this.cleared.push({ alarm, device, incident, at });
  }

  /** Names of the alarms that have results. */
  alarms(): string[] {
    const ofStates = [...this.states.keys()].map((key) => key.slice(0, key.indexOf('/')));
    const ofIncidents = [...this.raised, ...this.cleared].map(({ alarm }) => alarm.definition.name);
    return [...new Set([...ofStates, ...ofIncidents, ...this.failures.keys()])];
  }

  /** Keeps only the results of the alarms that pass the test. */
  keep(passes: (alarm: string) => boolean): void {
    for (const key of this.states.keys())
      if (!passes(key.slice(0, key.indexOf('/')))) this.states.delete(key);
    for (const alarm of this.failures.keys()) if (!passes(alarm)) this.failures.delete(alarm);
    for (const list of [this.raised, this.cleared] as { alarm: LoadedAlarm }[][]) {
      const kept = list.filter(({ alarm }) => passes(alarm.definition.name));
      list.splice(0, list.length, ...kept);
    }
  }
}

interface Sample {
  /** Arrival of the message, ms since 1970. */
  at: number;
  device: string;
  topic: string;
  stream: string;
  t: number;
  values: Record<string, unknown>;
}

/**
 * A message's samples, oldest first: a single sample, or the samples of a batch in columns. Their times are the device's. If the device's
 * clock is ahead, or the message has no time, the newest sample gets the time of arrival.
 */
function* samplesOf({ at, device, channel, stream = '', payload }: Entry): Generator<Sample> {
  if (channel === 'inference') {
    const { t: predicted = at, label, voted } = payload as Partial<Inference>;
    const values = { class: voted ?? label ?? null };
    yield {
      ...{ at, device, topic: `aiot/v1/${device}/inference` },
      stream: '',
      t: predicted > at + aheadMs ? at : predicted,
      values,
    };
    return;
  }
  const { t, rate } = payload as { t?: number; rate?: number };
  const topic = `aiot/v1/${device}/telemetry/${stream}`;
  const columns = fieldsOf(payload);
  const count = Math.max(1, ...columns.map(([, column]) => column.length));
  const stepMs = typeof rate === 'number' && rate > 0 ? 1000 / rate : 0;
  const lengthMs = (count - 1) * stepMs;
  const first = typeof t === 'number' && t + lengthMs <= at + aheadMs ? t : at - lengthMs;
  const isBatch = columns.some(([name]) => Array.isArray(payload[name]));
  for (let i = 0; i < count; i++) {
    const values = isBatch
      ? { ...payload, ...Object.fromEntries(columns.map(([name, column]) => [name, column[i]])) }
      : payload;
    yield { at, device, topic, stream, t: Math.round(first + i * stepMs), values: withoutFrame(values) };
  }
}

/** A sample's own fields, without the members that describe its message. */
function withoutFrame({ seq: _seq, t: _t, rate: _rate, ...values }: Record<string, unknown>) {
  return values;
}

/** Whether the condition does not hold, and there is no incident. */
function isQuiet({ since, incident }: AlarmState): boolean {
  return since === null && incident === null;
}

function hasField(values: Record<string, unknown>, path: readonly string[]): boolean {
  let value: unknown = values;
  for (const step of path) {
    // A path into an array refers to its items, which the expression has already examined.
    if (Array.isArray(value)) return true;
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return false;
    value = (value as Record<string, unknown>)[step];
  }
  return true;
}

/** Lag of the clock of a recording's device, ms: the time of its last sample is before the last arrival. */
function behindBy({ endedAt, lastAt }: Take): number {
  const behind = (lastAt ?? 0) - (endedAt ?? lastAt ?? 0);
  return behind > aheadMs ? behind : 0;
}

/** Merges the samples of several sources, each of which is in chronological order. */
async function* inTimeOrder(sources: readonly AsyncGenerator<Sample>[]): AsyncGenerator<Sample> {
  const heads: { source: AsyncGenerator<Sample>; sample: Sample }[] = [];
  for (const source of sources) {
    const { value, done } = await source.next();
    if (!done) heads.push({ source, sample: value });
  }
  while (heads.length > 0) {
    const first = heads.reduce((one, other) => (other.sample.t < one.sample.t ? other : one));
    yield first.sample;
    const { value, done } = await first.source.next();
    if (done) heads.splice(heads.indexOf(first), 1);
    else first.sample = value;
  }
}

/** Names of all streams, or only the given one. */
async function* streamsOf(
  telemetry: Telemetry,
  channel: 'telemetry' | 'inference',
  only: string | undefined,
): AsyncGenerator<string> {
  // Predictions have no stream.
  if (channel === 'inference') return yield '';
  if (only !== undefined) yield only;
  for (let after: string | undefined; only === undefined; ) {
    const page = await telemetry.streams({ after, limit: streamsAtOnce });
    for (const { name } of page) yield name;
    if (page.length < streamsAtOnce) return;
    after = page.at(-1)?.name;
  }
}

async function* takesOf(telemetry: Telemetry, stream: string, channel: 'telemetry' | 'inference') {
  for (let after: string | undefined; ; ) {
    const page = await telemetry.takes({ channel, stream, limit: takesAtOnce, after });
    yield* page;
    if (page.length < takesAtOnce) return;
    const last = page.reduce((one, other) => (cursorOf(one) > cursorOf(other) ? one : other));
    after = cursorOf(last);
  }
}

function raiseEvent(alarm: LoadedAlarm, incident: Incident): NewEvent {
  const { severity, todo } = alarm.definition;
  const { id, device, since, raised, message } = incident;
  const next = todo ?? `To see its samples, run \`aiot alarm show ${incident.alarm}\`.`;
  const data = { incident: id, device, severity, since, raised, message, next };
  return { who: 'platform', type: 'alarm.raise', subject: incident.alarm, data };
}

async function forgetOld(store: Store, alarm: string): Promise<void> {
  const oldest = await store
    .selectFrom('incidents')
    .select('raised')
    .where('alarm', '=', alarm)
    .orderBy('raised', 'desc')
    .offset(incidentsKept)
    .limit(1)
    .executeTakeFirst();
  if (!oldest) return;
  const old = store.deleteFrom('incidents').where('alarm', '=', alarm).where('cleared', 'is not', null);
  await old.where('raised', '<=', oldest.raised).execute();
}

function rowOf(definition: AlarmDefinition, who: string, created: number): AlarmRow {
  return {
    name: definition.name,
    definition: JSON.stringify(definition),
    created,
    who,
    silencedUntil: null,
    revision: null,
  };
}

async function writeFailure(store: Store, alarm: string, failure: AlarmFailure | null): Promise<void> {
  if (failure === null) {
    await store.deleteFrom('alarmFailures').where('alarm', '=', alarm).execute();
    return;
  }
  const { count, at, device, error } = failure;
  await store
    .insertInto('alarmFailures')
    .values({ alarm, ...failure })
    .onConflict((conflict) =>
      conflict.column('alarm').doUpdateSet((row) => ({
        ...{ at, device, error },
        count: row('alarmFailures.count', '+', count),
      })),
    )
    .execute();
}

function failureOf({ count, since, at, device, error }: Schema['alarmFailures']): AlarmFailure {
  return { count: Number(count), since: Number(since), at: Number(at), device, error };
}

/** Alarms whose expressions could not be evaluated on recent telemetry, for the list of what needs attention. */
export async function failingAlarms(store: Store): Promise<Attention['alarms']> {
  const rows = await store.selectFrom('alarmFailures').selectAll().orderBy('alarm').execute();
  return rows.map((row) => {
    const { count, since, device, error } = failureOf(row);
    const message = `cannot be evaluated on ${plural(count, 'sample')}, most recently of ${device}: ${error}`;
    const next = `Correct its expression; see \`aiot alarm show ${row.alarm}\`.`;
    return { alarm: row.alarm, message, since, count, next };
  });
}

/** Adds alarms. @param end position in the telemetry from which the first alarm reads @throws AIOT_REQUEST_INVALID (too many) */
async function insert(store: Store, rows: readonly AlarmRow[], end: string): Promise<void> {
  const known = await store.selectFrom('alarms').select('name').execute();
  if (known.length + rows.length > mostAlarms)
    throw new AiotError('AIOT_REQUEST_INVALID', `expected at most ${mostAlarms} alarms`);
  if (rows.length === 0) return;
  await store.insertInto('alarms').values(rows).execute();
  // The first alarm starts with the next message. Later alarms start at the existing position.
  await store
    .insertInto('meta')
    .values({ key: positionKey, value: end })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

function versionOf({ definition, created, revision }: AlarmRow): string {
  return `${created} ${revision ?? ''} ${definition}`;
}

function definitionOf({ definition }: Pick<AlarmRow, 'definition'>): AlarmDefinition {
  return newAlarmSchema.parse(JSON.parse(definition));
}

function silencedOf({ silencedUntil }: AlarmRow): number | null {
  return silencedUntil === null ? null : Number(silencedUntil);
}

function incidentOf(row: Schema['incidents']): Incident {
  return {
    ...{ id: row.id, alarm: row.alarm, device: row.device, message: row.message },
    ...{ since: Number(row.since), raised: Number(row.raised) },
    cleared: row.cleared === null ? null : Number(row.cleared),
    notified: Number(row.notified) !== 0,
    samples: JSON.parse(row.samples) as Incident['samples'],
    acknowledged:
      row.acknowledged === null ? null : (JSON.parse(row.acknowledged) as Incident['acknowledged']),
  };
}

function keyOf(alarm: string, device: string): string {
  return `${alarm}/${device}`;
}
