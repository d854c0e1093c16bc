import { setTimeout as delay } from 'node:timers/promises';
import type { NewAlarm } from '../../../src/lib/api/contract/alarms.js';
import { verifyAudit } from '../../../src/lib/api/events/audit.js';
import { crashesPerHour } from '../../../src/lib/platform/devices/crashes.js';
import { untilGone } from './api-loads.js';
import type { Load } from './harness.js';

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
