import { systemClock } from '../../core/time.js';
import { telemetryMembers } from '../protocol/messages.js';
import { type Bench, type Check, NotHeld, NotLooked } from './bench.js';
import { type Listener, type Seen, type SpokenChannel, spokenChannels } from './listen.js';

/** Checks of all messages that were received during the other checks; they therefore run last. */
export const messageChecks: Check[] = [
  {
    id: 'qos',
    section: 'transport',
    rule: 'publishes at QoS 1',
    async run({ listener }) {
      const other = heard(listener.seen).find(({ qos }) => qos !== 1);
      if (other) throw new NotHeld(`${other.topic}: expected QoS 1, got ${other.qos}`);
    },
  },
  ...spokenChannels.map(
    (channel): Check => ({
      id: `payload-${channel}`,
      section: channel === 'reply' ? 'command-and-reply' : channel,
      rule: `publishes ${channel} messages that match their schema`,
      async run({ listener }) {
        const wrong = of(listener.seen, channel).find((seen) => seen.wrong !== null);
        if (wrong) throw new NotHeld(wrong.wrong ?? '');
      },
    }),
  ),
  {
    id: 'telemetry-columns',
    section: 'telemetry',
    rule: 'sends one sample with its values, or columns of equal length with their rate',
    async run({ listener }) {
      for (const seen of of(listener.seen, 'telemetry')) if (seen.value) checkColumns(seen.topic, seen.value);
    },
  },
  {
    id: 'telemetry-seq',
    section: 'telemetry',
    rule: 'numbers the messages of a recording, or of a stream, consecutively from 0',
    async run({ listener }) {
      checkCounting(
        of(listener.seen, 'telemetry'),
        ({ topic, value }) => `${topic} ${value?.recording ?? ''}`,
      );
    },
  },
  {
    id: 'inference-seq',
    section: 'inference',
    rule: 'numbers its predictions consecutively from 0',
    async run({ listener }) {
      checkCounting(of(listener.seen, 'inference'), ({ topic }) => topic);
    },
  },
];

/** Waits until `forMs` have passed since `startedAt`, so that there are messages to examine even from a device that sends rarely. */
export async function listenOn(bench: Bench, startedAt: number, forMs: number): Promise<void> {
  const left = startedAt + forMs - Date.now();
  if (left > 0) await systemClock.sleep(left, bench.signal);
}

function heard(seen: readonly Seen[]): readonly Seen[] {
  if (seen.length === 0) throw new NotLooked('it sent no message in the meantime');
  return seen;
}

function of(seen: readonly Seen[], channel: SpokenChannel): Seen[] {
  const found = seen.filter((message) => message.channel === channel);
  if (found.length === 0) throw new NotLooked(`it sent no ${channel} message in the meantime`);
  return found;
}

function checkColumns(topic: string, value: Record<string, unknown>): void {
  const fields = Object.entries(value).filter(([name]) => !telemetryMembers.has(name));
  if (fields.length === 0) throw new NotHeld(`${topic}: expected at least one field, got none`);
  const columns = fields.filter(([, column]) => Array.isArray(column));
  const lengths = new Set(columns.map(([, column]) => (column as unknown[]).length));
  if (columns.length > 0 && (columns.length < fields.length || lengths.size > 1))
    throw new NotHeld(`${topic}: expected columns of equal length, got ${lengthsOf(fields)}`);
  if (columns.length > 0 && value.rate === undefined)
    throw new NotHeld(`${topic}: expected a batch to include its rate, got none`);
  for (const [name, column] of fields) {
    const values = Array.isArray(column) ? column : [column];
    const bad = values.find((item) => item !== null && typeof item !== 'number');
    if (bad !== undefined)
      throw new NotHeld(`${topic}: ${name}: expected numbers, got ${JSON.stringify(bad)}`);
  }
}

function lengthsOf(fields: [string, unknown][]): string {
  return fields
    .map(([name, column]) => `${name}: ${Array.isArray(column) ? column.length : 'one value'}`)
    .join(', ');
}

/**
 * Requires each number to be one higher than the last number in its series, or to repeat an earlier number, because
 * unacknowledged messages are resent. A series that is already running begins with its first received message.
 * @throws NotHeld
 */
function checkCounting(messages: readonly Seen[], seriesOf: (seen: Seen) => string): void {
  const last = new Map<string, number>();
  for (const seen of messages) {
    const seq = seen.value?.seq;
    if (typeof seq !== 'number') continue;
    const series = seriesOf(seen);
    const before = last.get(series);
    // A sequence number of 0 restarts a series, because the device may have rebooted.
    if (before !== undefined && seq !== 0 && seq > before + 1)
      throw new NotHeld(`${seen.topic}: expected seq ${before + 1} after ${before}, got ${seq}`);
    if (before !== undefined && seq === before && !isSame(seen, messages, series, seriesOf))
      throw new NotHeld(
        `${seen.topic}: expected seq ${before + 1} after ${before}, got ${seq} with another payload`,
      );
    last.set(series, seq === 0 ? 0 : Math.max(before ?? 0, seq));
  }
}

/** Whether all messages in this series with this number are identical. */
function isSame(
  seen: Seen,
  messages: readonly Seen[],
  series: string,
  seriesOf: (seen: Seen) => string,
): boolean {
  const payload = JSON.stringify(seen.value);
  return messages.every(
    (other) =>
      other.value?.seq !== seen.value?.seq ||
      seriesOf(other) !== series ||
      other.at > seen.at ||
      JSON.stringify(other.value) === payload,
  );
}

/** Checks of the device's retained messages on the broker. */
export const retainedChecks: Check[] = [
  {
    id: 'presence-retained',
    section: 'presence',
    rule: 'publishes a retained online message',
    async run({ listener }) {
      const presence = await retainedOf(listener, 'presence');
      if (presence.value?.online !== true) throw new NotHeld('expected online: true, got false');
    },
  },
  {
    id: 'reported-retained',
    section: 'reported',
    rule: 'publishes a retained report of its software',
    async run({ listener, device }) {
      const { value } = await retainedOf(listener, 'reported');
      if (value?.type !== device.type)
        throw new NotHeld(`expected the registered type ${device.type}, got ${value?.type}`);
    },
  },
];

async function retainedOf(listener: Listener, channel: SpokenChannel): Promise<Seen> {
  const found = (await listener.retained()).find((seen) => seen.channel === channel);
  if (!found) throw new NotHeld(`expected ${channel} to be retained, got nothing`);
  if (found.wrong !== null) throw new NotHeld(found.wrong);
  return found;
}

const isPresence = (online: boolean) => (seen: Seen) =>
  seen.channel === 'presence' && seen.value?.online === online;

/** Checks for one restart of the device; each examines one aspect of it. */
export const restartChecks: Check[] = [
  {
    id: 'command-reboot',
    section: 'command-and-reply',
    rule: 'replies to reboot first, then disconnects and reconnects',
    async run(bench) {
      const { seen } = bench.listener;
      const from = seen.length;
      const { ok } = await bench.ask('reboot');
      if (!ok) throw new NotHeld('expected ok, got a rejection');
      await bench.hear(
        'presence online: true after the restart',
        (s) => isPresence(true)(s),
        from,
        bench.patienceMs,
      );
      await bench.hear('a report after the restart', isReportAfter(seen, from), from, bench.patienceMs);
      const reply = seen.findIndex((s, i) => i >= from && s.channel === 'reply');
      const gone = seen.findIndex((s, i) => i >= from && isPresence(false)(s));
      if (gone >= 0 && gone < reply)
        throw new NotHeld('expected the reply before the restart, got it afterwards');
    },
  },
  {
    id: 'presence-goodbye',
    section: 'presence',
    rule: 'is reported offline when it disconnects, by its own message or its last will',
    async run(bench) {
      const { seen } = bench.listener;
      const back = lastOnline(bench);
      const gone = seen.findLastIndex((s, i) => i < back && isPresence(false)(s));
      if (gone < 0) throw new NotHeld('expected online: false before it reconnected, got none');
    },
  },
  {
    id: 'presence-first',
    section: 'topics',
    rule: 'publishes presence, then reported, after each connection',
    async run(bench) {
      const { seen } = bench.listener;
      const back = lastOnline(bench);
      const gone = seen.findLastIndex((s, i) => i < back && isPresence(false)(s));
      if (gone < 0) throw new NotLooked('the offline message is missing, so the connection time is unknown');
      const early = seen.findIndex((s, i) => i > gone && i < back && s.channel === 'reported');
      if (early >= 0) throw new NotHeld('expected presence first, got reported');
      const report = seen.findIndex((s, i) => i > back && s.channel === 'reported');
      if (report < 0) throw new NotHeld('expected reported after presence, got none');
    },
  },
];

function isReportAfter(seen: readonly Seen[], from: number): (s: Seen) => boolean {
  return (s) => {
    const back = seen.findIndex((other, i) => i >= from && isPresence(true)(other));
    return s.channel === 'reported' && back >= 0 && seen.indexOf(s) > back;
  };
}

/** Index of the last online message. @throws NotLooked if the device did not restart */
function lastOnline({ listener }: Bench): number {
  const back = listener.seen.findLastIndex(isPresence(true));
  if (back < 0) throw new NotLooked('it did not reconnect after the restart');
  return back;
}
