// The API with 100,000 stored devices: time to read a device, list a page and match a selector over persistent TLS connections, and the
// memory that the devices use. No peer has the same API, so the figures are only compared with limits.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { memoryOf } from '../harness/process.js';
import { startPlatformProcess } from './process.js';
import { nameOf, seed } from './seed.js';

export interface ApiFigure {
  what: string;
  requests: number;
  /** Time from the request to the last byte as measured by a client, ms. */
  p50: number;
  p99: number;
}

export interface ApiFigures {
  devices: number;
  figures: ApiFigure[];
  /** Resident memory of the platform after its start, without devices and with all devices, MB. */
  memory: { empty: number; full: number };
}

/** Limit for the 99th percentile of the time to read a device, ms. People do not notice such a short delay. */
export const longestRead = 25;

export async function apiFigures(options: {
  folder: string;
  devices: number;
  requests: number;
}): Promise<ApiFigures> {
  const { folder, devices, requests } = options;
  const first = await startPlatformProcess(folder);
  const empty = memoryOf(first.child.pid!);
  await first.stop();
  await seed(join(folder, 'platform', 'state.db'), devices);
  const platform = await startPlatformProcess(folder);
  const full = memoryOf(platform.child.pid!);
  const agent = new Agent({ connections: 8, connect: { ca: readFileSync(platform.ca, 'utf8') } });
  const headers = { authorization: `Bearer ${first.token}` };
  const ask = async (path: string) => {
    const began = performance.now();
    const { statusCode, body } = await request(`${platform.urls.http}/api/v1${path}`, {
      dispatcher: agent,
      headers,
    });
    const text = await body.text();
    if (statusCode !== 200) throw new Error(`${path}: ${statusCode} ${text.slice(0, 200)}`);
    return performance.now() - began;
  };
  const one = (i: number) => `/devices/${nameOf((i * 7919) % devices)}`;
  const page = (i: number) => `/devices?limit=100&after=${nameOf((i * 7919) % devices)}`;
  const all = `/devices?selector=${encodeURIComponent('site=nowhere')}`;
  const some = `/devices?limit=100&selector=${encodeURIComponent('type=esp32 and fw<1.4')}`;
  try {
    await timed(1, 200, (i) => ask(one(i)));
    const figures: ApiFigure[] = [
      { what: 'a device, sequentially', ...(await timed(1, requests, (i) => ask(one(i)))) },
      { what: 'a device, 8 at once', ...(await timed(8, requests, (i) => ask(one(i)))) },
      { what: 'a page of 100', ...(await timed(1, requests / 10, (i) => ask(page(i)))) },
      { what: 'the first 100 of a selector', ...(await timed(1, requests / 10, () => ask(some))) },
      { what: 'a selector without matches', ...(await timed(1, requests / 100, () => ask(all))) },
    ];
    let searching = true;
    const search = (async () => {
      while (searching) await ask(all);
    })();
    const beside = await timed(1, requests / 10, (i) => ask(one(i)));
    searching = false;
    await search;
    figures.push({ what: 'a device, during such searches', ...beside });
    return { devices, figures, memory: { empty, full } };
  } finally {
    await agent.destroy();
    await platform.stop();
  }
}

/** Durations of the requests, ms. */
export async function timed(
  atOnce: number,
  requests: number,
  ask: (i: number) => Promise<number>,
): Promise<Omit<ApiFigure, 'what'>> {
  const times: number[] = [];
  let next = 0;
  const worker = async () => {
    while (next < requests) times.push(await ask(next++));
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? 0;
  return { requests: times.length, p50: at(0.5), p99: at(0.99) };
}
