import { type Reported, reportedSchema } from '../protocol/messages.js';
import { type Bench, type Check, ends, isReplyTo, NotHeld, NotLooked, newId, wishOf } from './bench.js';

const section = 'desired';

export const wishChecks: Check[] = [
  {
    id: 'desired-malformed',
    section,
    rule: 'logs an invalid desired with AIOT_MESSAGE_MALFORMED, and changes nothing',
    async run(bench) {
      await unchanged(bench, async () => {
        const { name: _, ...nameless } = wishOf({});
        const wrong = [nameless, { ...wishOf({}), sequence: 'first' }].map((value) => JSON.stringify(value));
        for (const payload of ['{', 'null', ...wrong])
          await hearMalformed(bench, 'desired', Buffer.from(payload));
      });
    },
  },
  {
    id: 'desired-kind',
    section,
    rule: 'rejects a kind that it cannot update with AIOT_UPDATE_INTERFACE',
    async run(bench) {
      const { result } = await bench.ask('status');
      if ((result as Partial<Reported>).firmware?.release !== undefined)
        throw new NotLooked('it supports firmware updates over the air');
      const from = bench.listener.seen.length;
      await bench.send('desired', wishOf({ kind: 'firmware' }));
      const heard = await bench.hear(
        'a rejection in its log or in reported',
        ({ channel, value }) =>
          (channel === 'log' && value?.code !== undefined) ||
          (channel === 'reported' && value?.error !== null),
        from,
        bench.patienceMs,
      );
      const { value } = heard;
      const code = heard.channel === 'log' ? value?.code : (value as Reported).error?.code;
      if (code !== 'AIOT_UPDATE_INTERFACE') throw new NotHeld(`expected AIOT_UPDATE_INTERFACE, got ${code}`);
    },
  },
  {
    id: 'desired-unknown-members',
    section: 'transport',
    rule: 'ignores unknown members of a desired',
    async run(bench) {
      const { error } = await bench.wish({ 'x-conform': { list: [1, { deep: null }] } } as object);
      if (error?.code === 'AIOT_MESSAGE_MALFORMED') throw new NotHeld('expected them to be ignored');
    },
  },
  {
    id: 'desired-repeated',
    section,
    rule: 'only repeats its report for a rollout that has ended',
    async run(bench) {
      const rollout = newId();
      await bench.wish({ rollout });
      const from = bench.listener.seen.length;
      await bench.send('desired', wishOf({ rollout }));
      await bench.hear('the end of the rollout again', (seen) => ends(seen, rollout), from);
      await bench.ask('ping');
      const begun = bench.listener.seen
        .slice(from)
        .find(({ channel, value }) => channel === 'reported' && value?.state === 'DOWNLOADING');
      if (begun) throw new NotHeld('expected the same report again, got DOWNLOADING');
    },
  },
  {
    id: 'desired-withdrawn',
    section,
    rule: 'accepts an empty desired as a withdrawal, and keeps its software',
    async run(bench) {
      await unchanged(bench, async () => {
        const from = bench.listener.seen.length;
        await bench.send('desired', Buffer.alloc(0));
        await bench.ask('ping');
        const logged = bench.listener.seen
          .slice(from)
          .find(({ channel, value }) => channel === 'log' && value?.code === 'AIOT_MESSAGE_MALFORMED');
        if (logged) throw new NotHeld(`expected no error, got ${logged.value?.message}`);
      });
    },
  },
  {
    id: 'desired-running',
    section: 'update',
    rule: 'reports COMMITTED at once for a release that it already runs',
    async run(bench) {
      const { result } = await bench.ask('status');
      const { model } = result as Reported;
      if (!model) throw new NotLooked('it has no active model');
      const { name, version, sequence } = model;
      const rollout = newId();
      const from = bench.listener.seen.length;
      const report = await bench.wish({ rollout, name, version, sequence });
      if (report.state !== 'COMMITTED')
        throw new NotHeld(`expected COMMITTED, got ${report.state} with ${report.error?.code}`);
      const states = bench.listener.seen
        .slice(from)
        .filter(({ channel, value }) => channel === 'reported' && value?.rollout === rollout)
        .map(({ value }) => value?.state);
      if (states.includes('DOWNLOADING'))
        throw new NotHeld(`expected COMMITTED at once, got ${states.join(', ')}`);
    },
  },
];

/** Checks that the device runs the same release before and after `run`. @throws NotHeld */
export async function unchanged(bench: Bench, run: () => Promise<void>): Promise<void> {
  const runs = async () => {
    const { model, firmware, floor } = ((await bench.ask('status')).result ?? {}) as Partial<Reported>;
    return JSON.stringify({ model, firmware, floor });
  };
  const before = await runs();
  await run();
  const after = await runs();
  if (before !== after) throw new NotHeld(`expected it to keep running ${before}, got ${after}`);
}

const commandSection = 'command-and-reply';

export const commandChecks: Check[] = [
  {
    id: 'command-ping',
    section: commandSection,
    rule: 'replies to ping with its time',
    async run(bench) {
      const { ok, result } = await bench.ask('ping');
      if (!ok || typeof result?.t !== 'number')
        throw new NotHeld(`expected ok and result.t, got ${JSON.stringify({ ok, result })}`);
    },
  },
  {
    id: 'command-status',
    section: commandSection,
    rule: 'replies to status with its id and the members of reported',
    async run(bench) {
      const { ok, result } = await bench.ask('status');
      const status = reportedSchema.safeParse(result);
      if (!ok || !status.success)
        throw new NotHeld(`expected the fields of reported, got ${JSON.stringify(result)}`);
      if (result?.id !== bench.device.id)
        throw new NotHeld(`expected the id ${bench.device.id}, got ${result?.id}`);
    },
  },
  {
    id: 'command-unknown',
    section: commandSection,
    rule: 'rejects an unknown command with AIOT_COMMAND_UNKNOWN',
    async run(bench) {
      const { ok, error } = await bench.ask('conform-dance');
      if (ok || error?.code !== 'AIOT_COMMAND_UNKNOWN')
        throw new NotHeld(`expected AIOT_COMMAND_UNKNOWN, got ${ok ? 'ok' : error?.code}`);
    },
  },
  {
    id: 'command-expired',
    section: commandSection,
    rule: 'ignores an expired command',
    async run(bench) {
      await answersNot(bench, { command: 'ping', expires: 1 }, 0);
    },
  },
  {
    id: 'command-repeated',
    section: commandSection,
    rule: 'replies only once to an id',
    async run(bench) {
      await answersNot(bench, { command: 'ping' }, 1);
    },
  },
  {
    id: 'command-unknown-members',
    section: 'transport',
    rule: 'ignores unknown members of a command',
    async run(bench) {
      const more = { args: { depth: [1, { of: null }] }, 'x-conform': { list: [true, 'é', -1.5e-3] } };
      const { ok } = await bench.ask('ping', more);
      if (!ok) throw new NotHeld('expected ok, got a rejection');
    },
  },
  {
    id: 'command-malformed',
    section: 'log',
    rule: 'logs an invalid command with AIOT_MESSAGE_MALFORMED, and continues',
    async run(bench) {
      for (const payload of ['{"id":', '[1,2]', '{"command":"ping"}', '{"id":7,"command":"ping"}'])
        await hearMalformed(bench, 'command', Buffer.from(payload));
      await bench.ask('ping');
    },
  },
];

/**
 * Sends a request once more than the number of allowed replies, then sends a ping. Messages stay in order, so all
 * replies precede the reply to the ping.
 */
async function answersNot(bench: Bench, asked: object, allowed: 0 | 1): Promise<void> {
  const id = newId();
  const from = bench.listener.seen.length;
  for (let times = 0; times <= allowed; times++) await bench.send('command', { id, ...asked });
  await bench.ask('ping');
  const answers = bench.listener.seen.slice(from).filter((seen) => isReplyTo(seen, id)).length;
  if (answers !== allowed)
    throw new NotHeld(`expected ${allowed === 0 ? 'no reply' : 'one reply'}, got ${answers}`);
}

/** Sends an invalid payload and waits until the device logs it. @throws NotHeld */
async function hearMalformed(bench: Bench, channel: 'command' | 'desired', payload: Buffer): Promise<void> {
  const from = bench.listener.seen.length;
  await bench.send(channel, payload);
  await bench.hear(
    `a log with AIOT_MESSAGE_MALFORMED for the ${channel} ${payload.toString('utf8')}`,
    (seen) => seen.channel === 'log' && seen.value?.code === 'AIOT_MESSAGE_MALFORMED',
    from,
  );
}
