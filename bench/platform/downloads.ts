// Downloads of a 1 MiB blob over TLS, from the platform and from nginx with the same certificate. The client reuses its connections and,
// like a fleet, sends several requests at a time.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { createClient } from '../../src/lib/api/client.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { cpuSeconds } from '../harness/process.js';
import { startNginx } from './nginx.js';
import { startPlatformProcess } from './process.js';

export interface DownloadFigure {
  /** Downloads per second, for each round. */
  rates: Record<'ours' | 'theirs', number[]>;
  /** CPU seconds of the server in each round. */
  cpu: Record<'ours' | 'theirs', number[]>;
}

const bytes = 1024 ** 2;
export const atOnce = 8;

export async function downloadFigure(options: {
  folder: string;
  downloads: number;
  rounds: number;
}): Promise<DownloadFigure> {
  const platform = await startPlatformProcess(join(options.folder, 'downloads'));
  const content = randomBytes(bytes);
  const digest = digestOf(content);
  const ca = readFileSync(platform.ca, 'utf8');
  const client = createClient({ url: platform.urls.http, ca, token: platform.token });
  await client.blobs.put(digest, content);
  await client.close();
  const nginx = await startNginx(join(options.folder, 'nginx'), platform.pki, content);
  const headers = { authorization: `Bearer ${platform.token}` };
  const of = {
    ours: { url: `${platform.urls.http}/api/v1/blobs/${digest}`, pid: platform.child.pid!, headers },
    theirs: { url: `${nginx.url}/blob`, pid: nginx.worker(), headers: {} },
  };
  const agent = new Agent({ connections: atOnce, connect: { ca } });
  const rates = { ours: [] as number[], theirs: [] as number[] };
  const cpu = { ours: [] as number[], theirs: [] as number[] };
  try {
    for (const side of ['ours', 'theirs'] as const) await download(agent, of[side], atOnce * 4);
    for (let round = 0; round < options.rounds; round++) {
      for (const side of ['ours', 'theirs'] as const) {
        const before = cpuSeconds(of[side].pid);
        rates[side].push(options.downloads / (await download(agent, of[side], options.downloads)));
        cpu[side].push(cpuSeconds(of[side].pid) - before);
      }
    }
  } finally {
    await agent.destroy();
    await nginx.stop();
    await platform.stop();
  }
  return { rates, cpu };
}

/** Mean seconds per download for each blob size. */
export async function downloadGrowth(folder: string, sizes: readonly number[], downloads: number) {
  const platform = await startPlatformProcess(folder);
  const ca = readFileSync(platform.ca, 'utf8');
  const client = createClient({ url: platform.urls.http, ca, token: platform.token });
  const agent = new Agent({ connections: atOnce, connect: { ca } });
  const points = [];
  try {
    for (const size of sizes) {
      const content = randomBytes(size);
      await client.blobs.put(digestOf(content), content);
      const url = `${platform.urls.http}/api/v1/blobs/${digestOf(content)}`;
      const from = { url, headers: { authorization: `Bearer ${platform.token}` } };
      await download(agent, from, atOnce, size);
      points.push({ size, cost: (await download(agent, from, downloads, size)) / downloads });
    }
    return points;
  } finally {
    await agent.destroy();
    await client.close();
    await platform.stop();
  }
}

/** Returns the duration in seconds. @throws if a response is not the whole blob */
async function download(
  agent: Agent,
  from: { url: string; headers: Record<string, string> },
  count: number,
  size = bytes,
): Promise<number> {
  let left = count;
  const start = performance.now();
  const one = async () => {
    while (left-- > 0) {
      const answer = await request(from.url, { dispatcher: agent, headers: from.headers });
      let got = 0;
      for await (const chunk of answer.body) got += (chunk as Buffer).length;
      if (answer.statusCode !== 200 || got !== size)
        throw new Error(`${from.url}: ${answer.statusCode}, ${got} bytes`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  return (performance.now() - start) / 1000;
}
