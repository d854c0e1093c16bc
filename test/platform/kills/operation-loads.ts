import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { MqttClient } from 'mqtt';
import { type CallDevices, callDevices } from '../../../src/lib/api/call-devices.js';
import { createClient, type RegistryClient } from '../../../src/lib/api/client.js';
import type { NewAlarm } from '../../../src/lib/api/contract/alarms.js';
import { verifyAudit } from '../../../src/lib/api/events/audit.js';
import type { AiotError } from '../../../src/lib/core/errors.js';
import { crashesPerHour } from '../../../src/lib/platform/devices/crashes.js';
import { provisionDevice } from '../../../src/lib/provision/provision.js';
import { connectDevice } from '../../support/mqtt.js';
import { untilGone } from './api-loads.js';
import type { Load, Operated } from './harness.js';

/**
 * Creates, changes and removes alarms and their targets, and acknowledges incidents. Each acknowledged change must be present, and removed
 * alarms must not come back. Samples of `telemetryLoad` raise the incidents.
 */
export function alarmLoad(): Load {
  /** Severities of alarms; undefined = the last change was not acknowledged. */
  const known = new Map<string, string | undefined>();
  const removed = new Set<string>();
  const targets = new Set<string>();
  const incidents = new Set<string>();
  let number = 0;
  let count = 0;
  const alarm = (name: string, severity: NewAlarm['severity']): NewAlarm => ({
    ...{ name, severity, where: 'x > 1e9', stream: 'killed' },
  });
  return {
    name: 'alarms',
    async prepare({ client }) {
      await client.alarms.create({ name: 'always', where: 'x >= 0', stream: 'killed' });
    },
    run: (victim, signal) =>
      untilGone(victim, signal, async (client) => {
        const name = `k${number++}`;
        known.set(name, undefined);
        await client.alarms.create(alarm(name, 'info'));
        known.set(name, 'info');
        known.set(name, undefined);
        await client.alarms.replace(name, alarm(name, 'critical'));
        known.set(name, 'critical');
        if (number % 3 === 0) {
          known.delete(name);
          await client.alarms.remove(name);
          removed.add(name);
        }
        if (targets.size < 50) {
          // Its alarm never fires, so it sends nothing.
          const url = 'ntfy://127.0.0.1:9/alarms';
          await client.alarmTargets.add({ name, url, alarms: [name], allowPrivate: true });
          targets.add(name);
        }
        count++;
      }),
    async verify({ client }) {
      const found = new Map((await client.alarms.list()).map((each) => [each.name, each.severity]));
      for (const [name, severity] of known)
        if (severity !== undefined && found.get(name) !== severity)
          throw new Error(`the alarm ${name} was acknowledged as ${severity}, and is ${found.get(name)}`);
      for (const name of removed)
        if (found.has(name)) throw new Error(`the alarm ${name} was removed, and is back`);
      const names = new Set((await client.alarmTargets.list()).map((each) => each.name));
      for (const name of targets) if (!names.has(name)) throw new Error(`the target ${name} is gone`);
      const before = await client.alarms.get('always');
      for (const { id, acknowledged } of before.incidents)
        if (incidents.has(id) && acknowledged === null)
          throw new Error(`the incident ${id} is no longer acknowledged`);
      const { incidents: all } = await client.alarms.acknowledge('always', { note: 'seen' });
      for (const { id, acknowledged } of all) if (acknowledged) incidents.add(id);
      // There can be at most a hundred alarms.
      for (const name of known.keys()) await client.alarms.remove(name).catch(() => {});
      known.clear();
    },
    acknowledged: () => count,
  };
}

/** Sends crash reports. Each acknowledged report must be listed, once. */
export function crashLoad(): Load {
  const sent = new Set<string>();
  let number = 0;
  return {
    name: 'crashes',
    run: (victim, signal) =>
      untilGone(victim, signal, async (client) => {
        // A device may send a limited number of reports in an hour.
        if (number >= 3 * (crashesPerHour - 2)) return await delay(50);
        const id = `c${number}`;
        const device = `kill-${number++ % 3}`;
        // Numbers in a reason are ignored when crashes are grouped.
        const letters = number.toString(26).replace(/\d/g, (digit) => 'qrstuvwxyz'[Number(digit)] ?? '');
        const crash = { id, kind: 'exception' as const, reason: `fault in task ${letters}` };
        const { stored } = await client.crashes.send({ device, crash });
        if (!stored) throw new Error(`the crash ${id} was not stored`);
        sent.add(crash.reason);
      }),
    async verify({ client }) {
      const { groups } = await client.crashes.list({ limit: 100 });
      const counts = new Map(groups.map(({ reason, count }) => [reason, count]));
      for (const reason of sent)
        if (counts.get(reason) !== 1)
          throw new Error(`"${reason}" was acknowledged once, and is listed ${counts.get(reason)} times`);
    },
    acknowledged: () => sent.size,
  };
}

/** Registers schemas. Each acknowledged version must keep its number, its id and its text, and no id may have two texts. */
export function schemaLoad(): Load {
  const registered = new Map<string, { id: number; schema: string }>();
  const ids = new Map<number, string>();
  let number = 0;
  return {
    name: 'schemas',
    run: (victim, signal) =>
      untilGone(victim, signal, async (client) => {
        const schema = JSON.stringify({ type: 'record', name: `r${number++}`, fields: [] });
        const subject = `killed-${number}`;
        const { id, version } = await client.schemas.register(subject, {
          ...{ schema, schemaType: 'AVRO', references: [] },
        });
        if (version !== 1) throw new Error(`${subject} is new, and has version ${version}`);
        if (ids.has(id)) throw new Error(`the id ${id} was assigned twice`);
        ids.set(id, schema);
        registered.set(subject, { id, schema });
      }),
    async verify({ client }) {
      const listed = new Map((await client.schemas.list()).map((each) => [each.subject, each]));
      for (const [subject, { id }] of registered)
        if (listed.get(subject)?.id !== id)
          throw new Error(`${subject} was acknowledged with id ${id}, and has ${listed.get(subject)?.id}`);
      const [last] = [...registered].slice(-1);
      if (!last) return;
      const { schema } = await client.schemas.show(last[0], 1);
      if (JSON.parse(schema).name !== JSON.parse(last[1].schema).name)
        throw new Error(`${last[0]} has another text`);
    },
    acknowledged: () => registered.size,
  };
}

/**
 * Checks the chain of the audit log after each restart, on from the head that the previous check has seen. It must contain an entry for each
 * acknowledged change of `changes`.
 */
export function auditLoad(type: string, changes: () => number): Load {
  let seen = 0;
  return {
    name: 'audit',
    async verify({ client }) {
      let entries = 0;
      // Entries are sealed a moment after the change that they record.
      for (const until = Date.now() + 10_000; entries < changes() && Date.now() < until; await delay(100)) {
        entries = 0;
        for (let after: number | null = 0; after !== null; ) {
          const page = await client.audit.log({ type, after, limit: 1000, newest: false });
          entries += page.entries.length;
          after = page.next === null ? null : Number(page.next);
        }
      }
      if (entries < changes())
        throw new Error(`${changes()} changes were acknowledged, ${entries} ${type} are in the log`);
      const verified = await verifyAudit(client);
      if (verified.entries < seen) throw new Error(`${verified.entries} entries, and ${seen} before`);
      seen = verified.entries;
    },
    acknowledged: () => seen,
  };
}

/** How long a call of `callLoad` waits for its reply, ms. */
const callMs = 5000;
const callers = ['caller-0', 'caller-1', 'caller-2'];

/**
 * Calls commands of one device and of a selection. The calls continue through the kill. Each must be answered with the device's reply, or
 * fail with a reason that agrees with what the device did. A device runs a command that is not marked safe to repeat at most once, and each
 * call in the audit log has one end.
 */
export function callLoad(): Load {
  /** Arrivals of each number at each device. */
  const runs = new Map<string, number>();
  /** Replies that no PUBACK has confirmed, by call. Devices send them again. */
  const replies = new Map<string, { device: string; payload: string }>();
  const open = new Set<Promise<void>>();
  const online: MqttClient[] = [];
  const clients: RegistryClient[] = [];
  const faults: string[] = [];
  let number = 0;
  let answered = 0;
  const connect = async ({ mqtts, folder }: Operated, device: string) => {
    const client = await connectDevice(mqtts, join(folder, device)).catch(() => null);
    if (!client) return;
    online.push(client);
    client.on('error', () => {});
    const send = (id: string, payload: string) =>
      client.publishAsync(`aiot/v1/${device}/reply`, payload, { qos: 1 }).then(
        () => replies.delete(id),
        () => {},
      );
    client.on('message', (_topic, payload) => {
      const { id, args } = JSON.parse(payload.toString()) as { id: string; args: { n: number } };
      const run = `${device} ${args.n}`;
      runs.set(run, (runs.get(run) ?? 0) + 1);
      const reply = JSON.stringify({ id, t: Date.now(), ok: true, result: { n: args.n } });
      replies.set(id, { device, payload: reply });
      // A reply that takes longer than a network's round trip, so that kills happen meanwhile.
      setTimeout(() => void send(id, reply), 20);
    });
    await client.subscribeAsync(`aiot/v1/${device}/command`, { qos: 1 }).catch(() => {});
    for (const [id, reply] of replies) if (reply.device === device) void send(id, reply.payload);
  };
  const disconnect = async () => {
    for (const client of online.splice(0)) await client.endAsync(true).catch(() => {});
  };
  /** Checks the outcome of the number `n` at a device. */
  const judge = (
    device: string,
    command: string,
    n: number,
    outcome: { code: string } | { result?: unknown },
  ) => {
    const count = runs.get(`${device} ${n}`) ?? 0;
    const what = `${command} ${n} at ${device}`;
    if (command === 'once' && count > 1) faults.push(`${what}: ran ${count} times`);
    if ('code' in outcome) {
      if (outcome.code === 'AIOT_COMMAND_UNANSWERED') return;
      const isUnsent = outcome.code === 'AIOT_DEVICE_OFFLINE' || outcome.code === 'AIOT_PLATFORM_UNREACHABLE';
      if (!isUnsent || count > 0) faults.push(`${what}: ${outcome.code}, and it ran ${count} times`);
      return;
    }
    answered++;
    if (count === 0 || (outcome.result as { n?: number } | undefined)?.n !== n)
      faults.push(`${what}: answered with ${JSON.stringify(outcome.result)}, and it ran ${count} times`);
  };
  const call = async (client: RegistryClient, command: string, target: CallDevices['target']) => {
    const n = number++;
    const options = { client, target, command, params: [`n=${n}`], timeoutMs: callMs, waits: n % 2 === 0 };
    try {
      const called = await callDevices(options);
      if (!('devices' in called)) return judge(called.device, command, n, called);
      if (called.devices.length !== callers.length)
        faults.push(`${command} ${n} has ${called.devices.length} outcomes`);
      for (const { device, error, result } of called.devices) judge(device, command, n, error ?? { result });
    } catch (error) {
      const code = (error as AiotError).code ?? String(error);
      for (const device of 'name' in target ? [target.name] : callers) judge(device, command, n, { code });
    }
  };
  return {
    name: 'calls',
    async prepare({ client, folder }) {
      for (const name of callers)
        await provisionDevice({ client, name, type: 'caller', out: join(folder, name) });
      const params = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] };
      await client.commands.apply({
        project: 'kills',
        commands: [
          { type: 'caller', name: 'once', params },
          { type: 'caller', name: 'often', params, repeatable: true },
        ],
      });
    },
    async run(victim, signal) {
      await Promise.all(callers.map((name) => connect(victim, name)));
      const ended = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      const { http: url, ca, token } = victim;
      const repeat = async (command: string, target: CallDevices['target']) => {
        const client = createClient({ url, ca, token });
        clients.push(client);
        while (!signal.aborted) {
          const one: Promise<void> = call(client, command, target).finally(() => open.delete(one));
          open.add(one);
          await Promise.race([one, ended]);
        }
      };
      await Promise.all([
        ...callers.map((name) => repeat('once', { name })),
        repeat('often', { name: callers[0]! }),
        repeat('once', { selector: 'type=caller' }),
      ]);
    },
    async verify(victim) {
      await disconnect();
      await Promise.all(callers.map((name) => connect(victim, name)));
      await Promise.all(open);
      await disconnect();
      for (const client of clients.splice(0)) await client.close();
      // Calls without a caller are ended some seconds after their deadline.
      for (const until = Date.now() + callMs + 10_000; ; await delay(200)) {
        const [sent, ended] = await Promise.all([
          callsIn(victim.client, 'device.call'),
          callsIn(victim.client, 'device.call-ended'),
        ]);
        if (new Set(sent).size < sent.length) throw new Error('a call was sent twice');
        if (new Set(ended).size < ended.length) throw new Error('a call ended twice');
        const known = new Set(ended);
        const lost = sent.filter((id) => !known.has(id));
        if (lost.length === 0) break;
        if (Date.now() > until) throw new Error(`${lost.length} calls have no end, such as ${lost[0]}`);
      }
      if (faults.length > 0) throw new Error(faults.slice(0, 5).join('; '));
    },
    acknowledged: () => answered,
    async close() {
      await disconnect();
      for (const client of clients.splice(0)) await client.close();
    },
  };
}

/** The ids of the calls in all events of a type. */
async function callsIn(client: RegistryClient, type: 'device.call' | 'device.call-ended'): Promise<string[]> {
  const ids: string[] = [];
  for (let from = 0; ; ) {
    const { events } = await client.events.page({ types: [type], from, limit: 1000 });
    ids.push(...events.map(({ data }) => String(data.call)));
    const last = events.at(-1);
    if (!last || events.length < 1000) return ids;
    from = last.id;
  }
}
