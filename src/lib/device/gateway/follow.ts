import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { plural, size } from '../../core/figures.js';
import { httpAgent } from '../../core/http-agent.js';
import { type Clock, formatDuration, systemClock } from '../../core/time.js';
import { type InstalledImage, installBoardImage, type SmpBoardOptions } from '../../flash/smp/boards.js';

export const followEventSchema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('waiting'), nextMs: z.int() }),
  z.object({ event: z.literal('offered'), action: z.int(), file: z.string(), bytes: z.int() }),
  z.object({ event: z.literal('step'), action: z.int(), text: z.string() }),
  z.object({
    event: z.literal('installed'),
    action: z.int(),
    version: z.string(),
    before: z.string().nullable(),
    hash: z.string(),
  }),
  z.object({ event: z.literal('failed'), action: z.int(), code: z.string(), message: z.string() }),
  z.object({ event: z.literal('postponed'), action: z.int().nullable(), message: z.string() }),
  z.object({ event: z.literal('canceled'), action: z.int() }),
  z.object({ event: z.literal('ended'), polls: z.int(), installed: z.int(), failed: z.int() }),
]);

export type FollowEvent = z.output<typeof followEventSchema>;

/** Number of polls, and number of updates by outcome. */
export interface Followed {
  polls: number;
  installed: number;
  failed: number;
}

export interface FollowOptions {
  /** Name under which the board is registered. */
  name: string;
  /** Origin of the platform, such as `https://platform.local:8443`. */
  url: string;
  /** PEM of the platform's CA; undefined = the system's CAs. */
  ca?: string | undefined;
  /** Credentials of the board (`TargetToken`) or of this gateway (`GatewayToken`). */
  token: { scheme: 'TargetToken' | 'GatewayToken'; value: string };
  board: SmpBoardOptions & { port: string };
  /** Index of the image; undefined = 0. */
  image?: number | undefined;
  soakMs: number;
  restartMs: number;
  /** Polls once, carries out an offered update, and ends. */
  once: boolean;
  signal: AbortSignal;
  onEvent?: (event: FollowEvent) => void;
  clock?: Clock;
}

/** Maximum size of a JSON document from the platform, bytes. */
const documentBytes = 256 * 1024;

const link = z.object({ href: z.string() });
const pollSchema = z.object({
  config: z.object({ polling: z.object({ sleep: z.string() }) }).optional(),
  _links: z
    .object({ deploymentBase: link.optional(), cancelAction: link.optional(), configData: link.optional() })
    .optional(),
});
const deploymentSchema = z.object({
  deployment: z.object({
    chunks: z.array(
      z.object({
        artifacts: z.array(
          z.object({
            filename: z.string(),
            size: z.int(),
            hashes: z.object({ sha256: z.string() }),
            _links: z.object({ download: link }),
          }),
        ),
      }),
    ),
  }),
});

/**
 * Lets a board with MCUboot, which has no update client, take part in rollouts. It polls the platform for the board over
 * hawkBit's device API, and installs each offered image over SMP. It reports success only after the board runs the image and has confirmed
 * it. An interrupted update continues at the next poll, because the board stores the offset of the upload.
 * @throws AIOT_TOKEN_INVALID, AIOT_NOT_FOUND; with `once` also AIOT_PLATFORM_UNREACHABLE, AIOT_SMP_…, AIOT_FLASH_UNHEALTHY
 */
export async function followRollouts(options: FollowOptions): Promise<Followed> {
  const { once, signal, clock = systemClock, onEvent = () => {} } = options;
  const platform = await openPlatform(options);
  const total = { polls: 0, installed: 0, failed: 0 };
  try {
    for (;;) {
      signal.throwIfAborted();
      let nextMs = retryMs;
      try {
        const polled = await platform.json(platform.base, pollSchema);
        total.polls++;
        nextMs = sleepMs(polled.config?.polling.sleep);
        const outcome = await handle(platform, polled, { ...options, onEvent });
        if (outcome !== null) total[outcome]++;
      } catch (error) {
        if (once || !(error instanceof AiotError) || !isTemporary(error)) throw error;
        onEvent({ event: 'postponed', action: null, message: error.message });
      }
      if (once) {
        onEvent({ event: 'ended', ...total });
        return total;
      }
      onEvent({ event: 'waiting', nextMs });
      await clock.sleep(nextMs, signal);
    }
  } finally {
    await platform.close();
  }
}

/** Time until the next poll after a failure, ms. */
const retryMs = 30_000;

const isTemporary = (error: AiotError) => error.retryable || error.code === 'AIOT_PLATFORM_UNREACHABLE';

type Polled = z.output<typeof pollSchema>;

async function handle(
  platform: Platform,
  { _links: links = {} }: Polled,
  options: FollowOptions & { onEvent: (event: FollowEvent) => void },
): Promise<'installed' | 'failed' | null> {
  if (links.configData)
    await platform.send('PUT', links.configData.href, { mode: 'merge', data: { updater: 'aiot-smp' } });
  if (links.cancelAction) {
    const action = actionOf(links.cancelAction.href, 'cancelAction');
    await platform.feedback(links.cancelAction.href, 'closed', 'success', 'the update was not installed');
    options.onEvent({ event: 'canceled', action });
  }
  if (!links.deploymentBase) return null;
  return await carryOut(platform, links.deploymentBase.href, options);
}

async function carryOut(
  platform: Platform,
  href: string,
  options: FollowOptions & { onEvent: (event: FollowEvent) => void },
): Promise<'installed' | 'failed' | null> {
  const { onEvent, once } = options;
  const action = actionOf(href, 'deploymentBase');
  const { deployment } = await platform.json(href, deploymentSchema);
  const artifacts = deployment.chunks.flatMap((chunk) => chunk.artifacts);
  const [artifact] = artifacts;
  if (artifact === undefined || artifacts.length > 1) {
    const message = `expected one file, got ${artifacts.length}`;
    await platform.feedback(href, 'closed', 'failure', message);
    onEvent({ event: 'failed', action, code: 'AIOT_IMAGE_MALFORMED', message });
    return 'failed';
  }
  onEvent({ event: 'offered', action, file: artifact.filename, bytes: artifact.size });
  const folder = await mkdtemp(join(tmpdir(), 'aiot-follow-'));
  try {
    const file = join(folder, basename(artifact.filename));
    await platform.download(artifact._links.download.href, file, artifact);
    await platform.feedback(href, 'downloaded', 'none', `${artifact.size} bytes`);
    const done = await install(file, action, options);
    await platform.feedback(href, 'closed', 'success', `${done.version} runs, hash ${done.hash}`);
    onEvent({ event: 'installed', action, version: done.version, before: done.before, hash: done.hash });
    return 'installed';
  } catch (error) {
    if (!(error instanceof AiotError) || error.code === 'AIOT_INTERRUPTED' || options.signal.aborted)
      throw error;
    // If the board is off or the platform is unreachable, the release has not failed.
    if (isTemporary(error)) {
      if (once) throw error;
      onEvent({ event: 'postponed', action, message: error.message });
      return null;
    }
    const message = `${error.code}: ${error.message}`;
    await platform.feedback(href, 'closed', 'failure', message);
    onEvent({ event: 'failed', action, code: error.code, message: error.message });
    return 'failed';
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function install(
  file: string,
  action: number,
  { board, image, soakMs, restartMs, signal, onEvent }: FollowOptions,
): Promise<InstalledImage> {
  return await installBoardImage({
    ...board,
    ...(image === undefined ? {} : { image }),
    ...{ file, soakMs, restartMs, signal, confirm: true },
    onStep: (text) => onEvent?.({ event: 'step', action, text }),
  });
}

/** The number at the end of a link. @throws AIOT_PLATFORM_UNREACHABLE for a response that does not conform to the API */
function actionOf(href: string, resource: string): number {
  const found = new RegExp(`/${resource}/([1-9]\\d{0,9})(?:\\?|$)`).exec(href)?.[1];
  if (found !== undefined) return Number(found);
  throw new AiotError('AIOT_PLATFORM_UNREACHABLE', `the platform sent an invalid link: ${href}`);
}

/** Converts `HH:MM:SS` to milliseconds. */
function sleepMs(text: string | undefined): number {
  const found = /^(\d\d):(\d\d):(\d\d)$/.exec(text ?? '');
  if (found === null) return retryMs;
  const [, hours, minutes, seconds] = found.map(Number) as [number, number, number, number];
  return Math.max(1000, ((hours * 60 + minutes) * 60 + seconds) * 1000);
}

/** Formats an event as human-readable text. */
export function describeFollowEvent(event: FollowEvent): string {
  switch (event.event) {
    case 'waiting':
      return `next poll in ${formatDuration(event.nextMs)}`;
    case 'offered':
      return `update ${event.action}: ${event.file}, ${size(event.bytes)}`;
    case 'step':
      return `update ${event.action}: ${event.text}`;
    case 'installed':
      return `update ${event.action}: ${event.version} runs and is confirmed, before ${event.before ?? 'none'}`;
    case 'failed':
      return `update ${event.action} failed: ${event.message}`;
    case 'postponed':
      return `retrying later: ${event.message}`;
    case 'canceled':
      return `update ${event.action} was canceled`;
    case 'ended':
      return `${plural(event.installed, 'update')} installed, ${event.failed} failed`;
  }
}

interface Platform {
  /** URL of the board's resource. */
  base: string;
  json<T>(url: string, schema: z.ZodType<T>): Promise<T>;
  send(method: 'POST' | 'PUT', url: string, body: unknown): Promise<void>;
  feedback(href: string, execution: string, finished: string, detail: string): Promise<void>;
  download(url: string, file: string, about: { size: number; hashes: { sha256: string } }): Promise<void>;
  close(): Promise<void>;
}

/** Maximum pause in the platform's response, ms. */
const silenceMs = 20_000;

async function openPlatform({ name, url, ca, token, signal }: FollowOptions): Promise<Platform> {
  const { origin } = new URL(url);
  const { request } = await import('undici');
  const agent = await httpAgent({
    connect: ca === undefined ? {} : { ca },
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
  });
  const ask = async (method: 'GET' | 'POST' | 'PUT', address: string, body?: unknown) => {
    // The token must not be sent to another host, even if a link refers to one.
    if (new URL(address).origin !== origin)
      throw new AiotError('AIOT_UPDATE_DOWNLOAD', `expected an address at ${origin}, got ${address}`);
    const headers: Record<string, string> = {
      accept: 'application/json',
      authorization: `${token.scheme} ${token.value}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    };
    const reply = await request(address, {
      ...{ method, headers, dispatcher: agent, signal },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }).catch((cause: unknown) => {
      if (signal.aborted) throw signal.reason;
      throw new AiotError('AIOT_PLATFORM_UNREACHABLE', `${origin} cannot be reached`, {
        cause,
        endpoint: origin,
      });
    });
    if (reply.statusCode === 200) return reply;
    await reply.body.dump().catch(() => {});
    throw statusError(reply.statusCode, origin, name);
  };
  const read = async (body: AsyncIterable<Buffer>) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body) {
      bytes += chunk.length;
      if (bytes > documentBytes) throw malformed(origin, `its response has more than ${documentBytes} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString();
  };
  const send: Platform['send'] = async (method, address, body) => {
    await (await ask(method, address, body)).body.dump();
  };
  return {
    base: `${origin}/default/controller/v1/${encodeURIComponent(name)}`,
    send,
    async json(address, schema) {
      const text = await read((await ask('GET', address)).body);
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch {
        throw malformed(origin, 'its response is not JSON');
      }
      const parsed = schema.safeParse(value);
      if (parsed.success) return parsed.data;
      throw malformed(origin, `${parsed.error.issues[0]?.path.join('.') ?? 'its response'} is invalid`);
    },
    feedback: (href, execution, finished, detail) =>
      send('POST', `${href.replace(/\?.*$/, '')}/feedback`, {
        status: { execution, result: { finished }, details: [detail] },
      }),
    async download(address, file, { size: expected, hashes }) {
      const { body } = await ask('GET', address);
      const hash = createHash('sha256');
      let bytes = 0;
      await pipeline(
        body,
        async function* (source: AsyncIterable<Buffer>) {
          for await (const chunk of source) {
            bytes += chunk.length;
            if (bytes > expected) throw wrongFile(address, `more than ${expected} bytes`);
            hash.update(chunk);
            yield chunk;
          }
        },
        createWriteStream(file, { mode: 0o600 }),
        { signal },
      ).catch((cause: unknown) => {
        if (cause instanceof AiotError || signal.aborted) throw cause;
        throw new AiotError('AIOT_PLATFORM_UNREACHABLE', `${address}: the download was interrupted`, {
          cause,
          endpoint: origin,
        });
      });
      if (bytes !== expected) throw wrongFile(address, `${bytes} bytes instead of ${expected}`);
      const found = hash.digest('hex');
      if (found !== hashes.sha256)
        throw wrongFile(address, `a SHA-256 of ${found} instead of ${hashes.sha256}`);
    },
    close: () => agent.destroy(),
  };
}

function statusError(status: number, origin: string, name: string): AiotError {
  if (status === 401) return new AiotError('AIOT_TOKEN_INVALID', `${origin} rejected the token for ${name}`);
  if (status === 404) return new AiotError('AIOT_NOT_FOUND', `${origin} has no device ${name}`);
  return new AiotError('AIOT_PLATFORM_UNREACHABLE', `${origin}: expected status 200, got ${status}`, {
    endpoint: origin,
    retryable: status >= 500 || status === 429,
  });
}

const malformed = (origin: string, why: string) =>
  new AiotError('AIOT_PLATFORM_UNREACHABLE', `${origin} does not follow hawkBit's device API: ${why}`, {
    endpoint: origin,
  });

const wrongFile = (address: string, got: string) =>
  new AiotError('AIOT_UPDATE_DOWNLOAD', `${address}: expected the offered file, got ${got}`);
