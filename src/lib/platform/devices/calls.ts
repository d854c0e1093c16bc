import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { atLeast, type Role } from '../../api/contract/access.js';
import {
  type ApplyCommands,
  type CommandDefinition,
  type CommandInfo,
  type CommandsApplied,
  type DeviceCall,
  type DeviceReply,
  newCommandSchema,
} from '../../api/contract/commands.js';
import { catalogue, type ErrorCode } from '../../core/catalogue.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { didYouMean } from '../../core/text.js';
import { formatDuration } from '../../core/time.js';
import { topicOf } from '../../device/protocol/codec.js';
import { type Reply, replySchema } from '../../device/protocol/control.js';
import { builtInCommands, compileCommand, isBuiltIn, maskSecrets } from '../../fleet/command.js';
import type { Reach } from '../access/reach.js';
import type { Broker } from '../broker/broker.js';
import type { Events } from '../events/events.js';
import type { Telemetry } from '../journal/telemetry.js';
import type { Store } from '../store/database.js';
import { serially } from '../store/engine.js';
import type { Schema } from '../store/schema.js';
import { every, type Worker } from '../workers.js';
import type { Devices } from './devices.js';
import { deviceMessages, type LiveHub } from './talk.js';

interface Parts {
  store: Store;
  events: Events;
  devices: Devices;
  broker: Broker;
  live: LiveHub;
  telemetry: Telemetry;
  /** ms since 1970 */
  now: () => number;
}

/** The caller of a command. */
export interface Caller {
  who: string;
  role: Role;
  /** Devices that the caller's rights are limited to; null = all. */
  reach: Reach | null;
  /** Idempotency-Key of the request; null = none. */
  key: string | null;
  /** Aborted when the caller no longer waits. */
  signal: AbortSignal;
}

type CallRow = Schema['calls'];

/** How a call ended: the device's result, or an error. */
type Outcome = { result: unknown; ms: number } | { code: ErrorCode; message: string };

/** How often a waiting call checks whether its device is online, and how often a command that is safe to repeat is resent, ms. */
const lookMs = 100;
const resendMs = 2000;
/** Maximum number of calls that wait for one device at the same time. */
const mostWaiting = 16;
/** How often calls without a caller are ended, how long after their deadline, and how often old calls are deleted, ms. */
const sweepMs = 2000;
const graceMs = 2000;
const pruneMs = 60_000;
/** How long a call's outcome is stored for repeated requests, ms. */
const keptMs = 86_400_000;
const rowsAtOnce = 100;

/**
 * The commands that devices support, and calls to those commands. A call is stored before it is sent, and a device runs each call's id once. A repeated request
 * with the same Idempotency-Key waits for the same reply, even after a restart or at another replica. A reply that arrived meanwhile is
 * read from the log of messages.
 */
export class DeviceCommands {
  private readonly inTurn = serially();
  private readonly waiting = new Map<string, number>();
  private prunedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly parts: Parts) {}

  /** Commands that projects define. */
  async list(): Promise<CommandInfo[]> {
    const { store } = this.parts;
    const rows = await store.selectFrom('commands').selectAll().orderBy('type').orderBy('name').execute();
    return rows.map(infoOf);
  }

  /** The commands of a device: those of protocol v1, and those of its type. @throws AIOT_NOT_FOUND */
  async of(device: string): Promise<CommandInfo[]> {
    const { store, devices } = this.parts;
    const { type } = devices.record(device);
    const own = store.selectFrom('commands').selectAll().where('type', '=', type).orderBy('name');
    return [...builtInCommands(type), ...(await own.execute()).map(infoOf)];
  }

  /**
   * Replaces the commands of a project with a list.
   * @throws AIOT_ALREADY_EXISTS (a command of protocol v1 or of another project, or two with the same name), AIOT_COMMAND_SCHEMA
   */
  async apply({ project, commands, dryRun = false }: ApplyCommands, who: string): Promise<CommandsApplied> {
    const { store, events, now } = this.parts;
    const wanted = new Map<string, CommandDefinition>();
    for (const each of commands) {
      const command = newCommandSchema.parse(each);
      const id = `${command.type}/${command.name}`;
      if (isBuiltIn(command.name))
        throw new AiotError(
          'AIOT_ALREADY_EXISTS',
          `${id}: ${command.name} is a built-in command of every device`,
        );
      if (wanted.has(id)) throw new AiotError('AIOT_ALREADY_EXISTS', `${id} is defined twice`);
      await compileCommand(command);
      wanted.set(id, command);
    }
    const carryOut = async (transaction: Store) => {
      const known = await transaction.selectFrom('commands').selectAll().execute();
      const before = new Map(known.map((row) => [`${row.type}/${row.name}`, row]));
      const result: CommandsApplied = {
        project,
        dryRun,
        created: [],
        changed: [],
        removed: [],
        unchanged: [],
      };
      for (const [id, command] of wanted) {
        const old = before.get(id);
        if (old && old.project !== project)
          throw new AiotError(
            'AIOT_ALREADY_EXISTS',
            `the command ${id} is already defined by the project ${old.project}`,
          );
        const definition = JSON.stringify(command);
        const list = old === undefined ? 'created' : old.definition === definition ? 'unchanged' : 'changed';
        result[list].push(id);
        if (dryRun || list === 'unchanged') continue;
        const row = { type: command.type, name: command.name, project, definition, created: now(), who };
        await transaction
          .insertInto('commands')
          .values(row)
          .onConflict((conflict) => conflict.columns(['type', 'name']).doUpdateSet({ definition, who }))
          .execute();
      }
      for (const [id, row] of before) {
        if (row.project !== project || wanted.has(id)) continue;
        result.removed.push(id);
        if (dryRun) continue;
        await transaction
          .deleteFrom('commands')
          .where('type', '=', row.type)
          .where('name', '=', row.name)
          .execute();
      }
      const { created, changed, removed } = result;
      for (const list of [created, changed, removed, result.unchanged]) list.sort();
      if (!dryRun && created.length + changed.length + removed.length > 0) {
        const data = { created, changed, removed };
        await events.record({ who, type: 'commands.apply', subject: project, data }, transaction);
      }
      return result;
    };
    return this.inTurn(() => store.transaction().execute(carryOut));
  }

  /**
   * Sends a command to a device and waits for its reply.
   * @throws AIOT_NOT_FOUND, AIOT_COMMAND_UNKNOWN, AIOT_NOT_ALLOWED, AIOT_COMMAND_PARAMS and AIOT_DEVICE_OFFLINE before anything is sent;
   * AIOT_COMMAND_FAILED, AIOT_COMMAND_REPLY, AIOT_COMMAND_UNANSWERED
   */
  async call(device: string, asked: DeviceCall, caller: Caller): Promise<DeviceReply> {
    const command = await this.permitted(device, asked.command, caller.role);
    const params = asked.params ?? {};
    (await compileCommand(command)).checkParams(params);
    if (command.name === 'log-level') this.requireLogLevel(device);
    const waiting = this.waiting.get(device) ?? 0;
    if (waiting >= mostWaiting) {
      throw new AiotError('AIOT_RATE_LIMITED', `${waiting} commands are already waiting for ${device}`, {
        retryable: true,
      });
    }
    this.waiting.set(device, waiting + 1);
    try {
      const row = await this.accept(device, command, asked, caller);
      const outcome = outcomeOf(row) ?? (await this.run(row, command, params, caller));
      if ('code' in outcome) throw new AiotError(outcome.code, outcome.message);
      return { device, command: command.name, ...outcome };
    } finally {
      const left = (this.waiting.get(device) ?? 1) - 1;
      if (left === 0) this.waiting.delete(device);
      else this.waiting.set(device, left);
    }
  }

  /** Ends calls whose caller is gone, for example because the platform was restarted; and deletes old ones. */
  worker(): Worker {
    return { name: 'calls', run: (signal) => every(sweepMs, signal, () => this.sweep()) };
  }

  private async sweep(): Promise<void> {
    const { store, now } = this.parts;
    const open = store
      .selectFrom('calls')
      .selectAll()
      .where('outcome', 'is', null)
      .where('deadline', '<', now() - graceMs);
    for (const row of await open.limit(rowsAtOnce).execute()) {
      const reply = await this.storedReply(row);
      await this.end(row, reply === null ? lateOutcome(row) : await this.judge(row, reply));
    }
    if (now() < this.prunedAt + pruneMs) return;
    this.prunedAt = now();
    await store
      .deleteFrom('calls')
      .where('created', '<', now() - keptMs)
      .execute();
  }

  /** @throws AIOT_COMMAND_UNKNOWN if the device has reported, but no level of its log */
  private requireLogLevel(device: string): void {
    const reported = this.parts.devices.record(device).reported;
    if (reported === null || reported.log) return;
    throw new AiotError('AIOT_COMMAND_UNKNOWN', `${device}: its firmware does not support log-level`, {
      next: 'Update the firmware. A device that supports it reports its level: see `aiot device show NAME`.',
    });
  }

  private async permitted(device: string, name: string, role: Role): Promise<CommandInfo> {
    const known = await this.of(device);
    const command = known.find((each) => each.name === name);
    if (!command) {
      const names = known.map((each) => each.name);
      throw new AiotError(
        'AIOT_COMMAND_UNKNOWN',
        `${device} (type ${known[0]?.type}): expected one of ${names.join(', ')}, got ${name}${didYouMean(name, names)}`,
      );
    }
    if (atLeast(role, command.role)) return command;
    const message = `${name} requires the role ${command.role}; this token has the role ${role}`;
    throw new AiotError('AIOT_NOT_ALLOWED', message);
  }

  /** The stored call: a new one, or that of an earlier request with the same key. */
  private async accept(
    device: string,
    command: CommandInfo,
    asked: DeviceCall,
    { who, key }: Caller,
  ): Promise<CallRow> {
    const { store, devices, now } = this.parts;
    const id = key === null ? randomUUID() : sha256Hex(`${who}\n${key}`).slice(0, 32);
    const request = sha256Hex(JSON.stringify([device, command.name, asked.params ?? {}]));
    const find = () => store.selectFrom('calls').selectAll().where('id', '=', id).executeTakeFirst();
    let row = key === null ? undefined : await find();
    if (!row) {
      if (asked.offline !== 'wait' && !devices.isHere(device))
        throw new AiotError('AIOT_DEVICE_OFFLINE', `${device} is not connected to the platform`);
      const created = now();
      const deadline = created + (asked.timeoutMs ?? command.timeoutMs);
      const fresh = { id, device, command: command.name, request, who, created, deadline };
      await store
        .insertInto('calls')
        .values({ ...fresh, sent: null, outcome: null })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      row = (await find()) as CallRow;
    }
    if (row.request === request) return row;
    throw new AiotError('AIOT_IDEMPOTENCY_REUSED', `the Idempotency-Key ${key} was used by another request`);
  }

  /** Sends the call unless it was sent before, and waits for its reply until the deadline. */
  private async run(
    row: CallRow,
    command: CommandInfo,
    params: Record<string, unknown>,
    { reach, signal }: Caller,
  ): Promise<Outcome> {
    const { live, devices, broker, now } = this.parts;
    const { device, id, deadline } = row;
    let reply: Reply | null = null;
    const arrived = new AbortController();
    const unlisten = live.listen(device, ({ channel, payload }) => {
      if (channel !== 'reply' || payload.id !== id) return;
      reply ??= replySchema.safeParse(payload).data ?? null;
      if (reply !== null) arrived.abort();
    });
    const woken = AbortSignal.any([signal, arrived.signal]);
    try {
      // The listener must be reading before the command is sent, or it could miss the reply.
      await live.ready();
      let sent = row.sent;
      if (sent !== null) reply ??= await this.storedReply(row);
      let publishedAt = Number.NEGATIVE_INFINITY;
      while (reply === null && now() < deadline && !signal.aborted) {
        const due = sent === null || (command.repeatable && now() - publishedAt >= resendMs);
        // A device that has just connected may not be subscribed yet, and would miss the command.
        // The device may have left the caller's limits while the command was waiting.
        if (sent === null && reach !== null && !reach.has(device))
          return await this.end(row, beyondReach(device));
        if (due && devices.isHere(device) && broker.hears(device, topicOf(device, 'command'))) {
          const isFirst = sent === null && (await this.claim(row, command, params));
          sent ??= now();
          publishedAt = now();
          if (isFirst || command.repeatable) await this.publish(row, params);
        }
        await delay(Math.max(1, Math.min(lookMs, deadline - now())), undefined, { signal: woken }).catch(
          () => {},
        );
      }
      // The call stays open: a repeat with its key continues to wait, or the worker ends it.
      if (reply === null && signal.aborted)
        return { code: 'AIOT_COMMAND_UNANSWERED', message: 'the caller did not wait for the reply' };
      const current = { ...row, sent };
      const outcome = reply === null ? lateOutcome(current) : await this.judge(current, reply);
      return await this.end(current, outcome);
    } finally {
      unlisten();
    }
  }

  /** Records that the call is being sent; false = another request has already sent it. */
  private async claim({ id, device, who }: CallRow, command: CommandInfo, params: object): Promise<boolean> {
    const { store, events, now } = this.parts;
    return store.transaction().execute(async (transaction) => {
      const update = transaction.updateTable('calls').set({ sent: now() }).where('id', '=', id);
      const { numUpdatedRows } = await update.where('sent', 'is', null).executeTakeFirstOrThrow();
      if (Number(numUpdatedRows) === 0) return false;
      const data = { call: id, command: command.name, params: maskSecrets(params, command.params ?? {}) };
      await events.record({ who, type: 'device.call', subject: device, data }, transaction);
      return true;
    });
  }

  private async publish({ id, device, command, deadline }: CallRow, params: object): Promise<void> {
    const args = Object.keys(params).length > 0 ? { args: params } : {};
    const payload = Buffer.from(JSON.stringify({ id, command, ...args, expires: deadline }));
    await this.parts.broker.publish({ topic: topicOf(device, 'command'), payload });
  }

  /** The reply if the device has sent it already; null = it has not. */
  private async storedReply({ device, id, sent }: CallRow): Promise<Reply | null> {
    if (sent === null || this.parts.devices.find(device) === null) return null;
    const query = { channel: 'reply' as const, since: sent, limit: 5000 };
    const { messages } = await deviceMessages(this.parts.telemetry, device, query, this.parts.now());
    const found = messages.find(({ payload }) => payload.id === id);
    return found ? (replySchema.safeParse(found.payload).data ?? null) : null;
  }

  private async judge({ device, command, sent }: CallRow, { ok, error, result }: Reply): Promise<Outcome> {
    if (!ok) {
      const message = `${device}: ${error?.code ?? ''} ${error?.message ?? ''}`;
      return { code: 'AIOT_COMMAND_FAILED', message: message.slice(0, 1000) };
    }
    try {
      const definition = (await this.of(device)).find(({ name }) => name === command);
      if (definition) (await compileCommand(definition)).checkReply(device, result);
    } catch (err) {
      if (!(err instanceof AiotError)) throw err;
      return { code: err.code, message: err.message };
    }
    return { result, ms: this.parts.now() - (sent ?? this.parts.now()) };
  }

  /** Stores how a call ended, once. @returns the stored outcome, which another replica may have stored before */
  private async end(row: CallRow, outcome: Outcome): Promise<Outcome> {
    const { store, events } = this.parts;
    const { id, device, who, command } = row;
    return store.transaction().execute(async (transaction) => {
      const update = transaction.updateTable('calls').set({ outcome: JSON.stringify(outcome) });
      const { numUpdatedRows } = await update
        .where('id', '=', id)
        .where('outcome', 'is', null)
        .executeTakeFirstOrThrow();
      if (Number(numUpdatedRows) > 0) {
        const isError = 'code' in outcome;
        const data = {
          ...{ call: id, command, ok: !isError },
          ...{ code: isError ? outcome.code : null, ms: isError ? null : outcome.ms },
        };
        await events.record({ who, type: 'device.call-ended', subject: device, data }, transaction);
        return outcome;
      }
      const stored = transaction.selectFrom('calls').selectAll().where('id', '=', id);
      const known = await stored.executeTakeFirst();
      return (known && outcomeOf(known)) ?? outcome;
    });
  }
}

/** The outcome of a call whose device left the caller's limits before anything was sent. */
function beyondReach(device: string): Outcome {
  const message = `${device} is no longer among the devices of this token: nothing was sent`;
  return { code: 'AIOT_NOT_ALLOWED', message };
}

/** The outcome of a call without a reply at its deadline. */
function lateOutcome({ device, command, created, deadline, sent }: CallRow): Outcome {
  const wait = formatDuration(deadline - created);
  if (sent === null)
    return {
      code: 'AIOT_DEVICE_OFFLINE',
      message: `${device} was not online within ${wait}: nothing was sent`,
    };
  const message = `${device} did not reply to ${command} within ${wait}; it may have run the command`;
  return { code: 'AIOT_COMMAND_UNANSWERED', message };
}

function outcomeOf({ outcome }: CallRow): Outcome | null {
  if (outcome === null) return null;
  const stored = JSON.parse(outcome) as Outcome;
  return 'code' in stored && !Object.hasOwn(catalogue, stored.code)
    ? { ...stored, code: 'AIOT_COMMAND_FAILED' }
    : stored;
}

function infoOf({ definition, project }: Schema['commands']): CommandInfo {
  return { ...newCommandSchema.parse(JSON.parse(definition)), project };
}
