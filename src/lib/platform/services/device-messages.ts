import type { DeviceMessage, DeviceMessagesQuery } from '../../registry/index.js';
import type { Take } from '../journal/takes.js';
import { cursorOf, type Telemetry } from '../journal/telemetry.js';

const usualSpanMs = 3600_000;
/** Recordings of a device that are looked through, newest first. */
const mostTakes = 20;

/** The newest messages of one channel of a device, oldest first; of telemetry those of all its streams. */
export async function deviceMessages(
  telemetry: Telemetry,
  device: string,
  { channel, since, limit }: DeviceMessagesQuery,
  now: number,
): Promise<{ messages: DeviceMessage[] }> {
  const from = since ?? now - usualSpanMs;
  const streams = channel === 'telemetry' ? await streamNames(telemetry) : [''];
  const takes: Take[] = [];
  for (const stream of streams) takes.push(...(await takesOf(telemetry, { channel, stream, device })));
  const recent = takes
    .filter(({ lastAt }) => (lastAt ?? 0) >= from)
    .sort((a, b) => (b.lastAt ?? 0) - (a.lastAt ?? 0))
    .slice(0, mostTakes);
  const found: DeviceMessage[] = [];
  for (const take of recent) {
    const own: DeviceMessage[] = [];
    // By the device's own clock, where that is behind: an hour more is read, and held against when it came.
    for await (const { at, stream, payload } of telemetry.read(take, { from: from - usualSpanMs })) {
      if (at < from) continue;
      own.push({ at, ...(stream ? { stream } : {}), payload });
      if (own.length > 2 * limit) own.splice(0, own.length - limit);
    }
    found.push(...own.slice(-limit));
  }
  return { messages: found.sort((a, b) => a.at - b.at).slice(-limit) };
}

async function streamNames(telemetry: Telemetry): Promise<string[]> {
  const streams = await telemetry.streams({ limit: 1000 });
  return streams.map(({ name }) => name);
}

async function takesOf(
  telemetry: Telemetry,
  of: { channel: DeviceMessagesQuery['channel']; stream: string; device: string },
): Promise<Take[]> {
  const limit = 1000;
  const all: Take[] = [];
  for (let after: string | undefined; ; ) {
    const page = await telemetry.takes({ ...of, after, limit });
    all.push(...page);
    const last = page.at(-1);
    if (!last || page.length < limit) return all;
    after = cursorOf(last);
  }
}
