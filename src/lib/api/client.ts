import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import type { z } from 'zod';
import { AiotError, hasCode, systemCode } from '../core/errors.js';
import { nearest } from '../core/text.js';
import { blobCalls } from './blobs.js';
import type { Token } from './contract/access.js';
import { callsOf } from './contract/calls.js';
import { type DeviceCall, type DeviceReply, deviceReplySchema } from './contract/commands.js';
import { contract } from './contract/contract.js';
import {
  type DatasetListing,
  datasetsSchema,
  type ExportQuery,
  type ExportSummary,
  exportSummarySchema,
  exportTrailer,
} from './contract/data.js';
import { remoteSessionListSchema } from './contract/devices.js';
import { pathOf, queryOf } from './contract/endpoint.js';
import { bodyOf } from './errors.js';
import type { EventPage } from './events/api.js';
import { type FollowLogs, followLogs } from './follow-logs.js';
import { everyPage } from './page.js';
import { openRemote, type RemoteQuery } from './remote.js';
import type { Rollout, RolloutCommand } from './rollouts/schema.js';
import { schemaCalls } from './schemas.js';
import {
  type EventsQuery,
  eventsQuery,
  type FollowOptions,
  followEvents,
  type WaitOptions,
  type WatchOptions,
  waitForJob,
  watchRollout,
} from './streams.js';
import { type ClientOptions, Transport } from './transport.js';

/**
 * Client of one platform: the calls of its contract, and hand-written methods for everything that is not a plain
 * request and response. Nothing is sent before the first call. Every call throws AiotError: AIOT_PLATFORM_UNREACHABLE
 * (retryable), AIOT_PLATFORM_UNTRUSTED, AIOT_TOKEN_INVALID, AIOT_NOT_ALLOWED, AIOT_NOT_FOUND, or the endpoint's errors
 * according to the contract.
 */
export function createClient(options: ClientOptions) {
  const transport = new Transport(options);
  const audit = callsOf(transport, contract.audit);
  return {
    /** https origin of the platform. */
    url: transport.url,
    status: callsOf(transport, contract.status).get,
    trust: callsOf(transport, contract.trust),
    users: callsOf(transport, contract.users),
    tokens: tokenCalls(transport),
    session: callsOf(transport, contract.session),
    sessions: callsOf(transport, contract.sessions),
    devices: {
      ...callsOf(transport, contract.devices),
      ...callsOf(transport, contract.enrolment),
      ...callsOf(transport, contract.talk),
      followLogs: (options: FollowLogs) => followLogs(transport, options),
      birth: callsOf(transport, contract.births),
    },
    alarms: callsOf(transport, contract.alarms),
    commands: commandCalls(transport),
    settings: callsOf(transport, contract.settings),
    alarmTargets: callsOf(transport, contract.alarmTargets),
    attention: callsOf(transport, contract.attention),
    history: callsOf(transport, contract.history),
    crashes: callsOf(transport, contract.crashes),
    secrets: callsOf(transport, contract.secrets),
    remoteSessions: {
      ...callsOf(transport, contract.remoteSessions),
      /** The open sessions with the replicas that are missing. */
      page: (query: { device?: string } = {}): Promise<z.output<typeof remoteSessionListSchema>> =>
        transport.json('GET', `/remote-sessions${queryOf(query)}`, remoteSessionListSchema),
    },
    broker: callsOf(transport, contract.broker),
    claims: callsOf(transport, contract.claims),
    batches: callsOf(transport, contract.batches),
    enrollments: callsOf(transport, contract.enrollments),
    firmware: callsOf(transport, contract.firmware),
    configs: callsOf(transport, contract.configs),
    backups: { create: (passphrase: string, signal?: AbortSignal) => backUp(transport, passphrase, signal) },
    damage: callsOf(transport, contract.damage),
    blobs: blobCalls(transport),
    manifests: callsOf(transport, contract.manifests),
    models: callsOf(transport, contract.models),
    /** Uploaded files that become versions of models. */
    modelFiles: callsOf(transport, contract.modelFiles),
    rollouts: {
      ...callsOf(transport, contract.rollouts),
      command: (id: string, command: RolloutCommand): Promise<Rollout> =>
        callsOf(transport, contract.rollouts)[command](id),
      watch: (id: string, options: WatchOptions = {}) => watchRollout(transport, id, options),
    },
    datasets: datasetCalls(transport),
    audit: {
      /** The newest hundred entries, optionally only those for one subject. */
      list: (subject?: string) => audit.list({ subject, limit: 100 }),
      /** A page of the sealed log. */
      log: audit.log,
    },
    events: {
      /** Events, oldest first. @throws AIOT_EVENTS_GONE when `from` is older than the oldest available event */
      page: (query: EventsQuery = {}): Promise<EventPage> =>
        callsOf(transport, contract.events).page(eventsQuery(query)),
      follow: (options: FollowOptions) => followEvents(transport, options),
    },
    jobs: {
      ...callsOf(transport, contract.jobs),
      wait: (id: string, options: WaitOptions = {}) => waitForJob(transport, id, options),
    },
    /** Runs of pipelines. */
    runs: callsOf(transport, contract.pipelines),
    pipelineRunners: callsOf(transport, contract.pipelineRunners),
    /** Runs that users request from runners. */
    pipelineRequests: callsOf(transport, contract.pipelineRequests),
    trainingRuns: callsOf(transport, contract.trainingRuns),
    webhooks: callsOf(transport, contract.webhooks),
    schemas: schemaCalls(transport),
    labels: callsOf(transport, contract.labels),
    retention: callsOf(transport, contract.retention),
    logRetention: callsOf(transport, contract.logRetention),
    /** Opens a remote session on a device. */
    openRemote: (device: string, query: RemoteQuery, signal?: AbortSignal) =>
      openRemote(options, device, query, signal),
    close: () => transport.close(),
  };
}
export type RegistryClient = ReturnType<typeof createClient>;

/** How often a call is repeated while the platform does not respond, ms. */
const againMs = 500;

/** System codes of requests that did not reach the platform. */
const neverSent = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT']);

function commandCalls(transport: Transport) {
  return {
    ...callsOf(transport, contract.commands),
    /**
     * Calls a command of a device. If the connection to the platform is lost, or the platform restarts, the request is repeated with the
     * same key, so that the device runs the command once.
     * @param limitMs how long the request is repeated, ms
     * @param persists whether the request is also repeated if the platform was unreachable from the start
     * @throws AIOT_COMMAND_UNANSWERED if the platform did not return after the request was sent, AIOT_PLATFORM_UNREACHABLE if it was never
     * sent
     */
    call: async (
      name: string,
      call: DeviceCall,
      {
        limitMs,
        persists = false,
        signal,
      }: { limitMs: number; persists?: boolean; signal?: AbortSignal | undefined },
    ): Promise<DeviceReply> => {
      const key = randomUUID();
      const until = Date.now() + limitMs;
      let wasSent = false;
      for (;;) {
        try {
          const answer = await transport.call('POST', pathOf(contract.commands.call, [name]), {
            body: JSON.stringify(call),
            headers: { 'content-type': 'application/json', 'idempotency-key': key },
            headersTimeoutMs: Math.max(1000, until - Date.now() + 5000),
            ...(signal ? { signal } : {}),
          });
          return deviceReplySchema.parse(await answer.body.json());
        } catch (error) {
          signal?.throwIfAborted();
          const isLost = hasCode(error, 'AIOT_PLATFORM_UNREACHABLE');
          const isUnsent = isLost && neverSent.has(systemCode(error.cause) ?? '');
          wasSent ||= isLost && !isUnsent;
          if (!isLost || (!wasSent && !persists)) throw error;
          if (Date.now() > until) {
            if (!wasSent) throw error;
            const message = `the connection to the platform was lost during ${call.command}; ${name} may have run the command`;
            throw new AiotError('AIOT_COMMAND_UNANSWERED', message, { cause: error });
          }
          await setTimeout(againMs, undefined, signal ? { signal } : {});
        }
      }
    },
  };
}

function tokenCalls(transport: Transport) {
  const calls = callsOf(transport, contract.tokens);
  /** Adds a suggestion to the error for an unknown token id. Only tokens that the caller may list are suggested. */
  async function suggesting<T>(id: string, answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      if (!hasCode(error, 'AIOT_NOT_FOUND')) throw error;
      const all = await calls.list().catch((): Token[] => []);
      const near = nearest(id, [...all.map((token) => token.id), ...all.map(({ name }) => name)]);
      const meant = all.find((token) => near !== undefined && (token.id === near || token.name === near));
      if (!meant) throw error;
      const message = `${error.message}. Did you mean ${meant.id} (${meant.name})?`;
      throw error.reworded(message, { cause: error, next: error.next });
    }
  }
  return {
    ...calls,
    revoke: (id: string) => suggesting(id, calls.revoke(id)),
    rotate: (id: string, graceMs: number) => suggesting(id, calls.rotate(id, graceMs)),
  };
}

/** Streams the platform's backup: a tar archive whose last entry marks it as complete. */
async function backUp(
  transport: Transport,
  passphrase: string,
  signal?: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const answer = await transport.call('POST', pathOf(contract.backups.create, []), {
    body: JSON.stringify({ passphrase }),
    headers: { 'content-type': 'application/json' },
    // The platform copies its contents before it sends the first byte.
    headersTimeoutMs: 600_000,
    bodyTimeoutMs: 300_000,
    ...(signal ? { signal } : {}),
  });
  return bodyOf(answer, transport.url);
}

function datasetCalls(transport: Transport) {
  const calls = callsOf(transport, contract.datasets);
  return {
    ...calls,
    page: (query: { limit?: number; after?: string } = {}): Promise<z.output<typeof datasetsSchema>> =>
      transport.json('GET', `/datasets${queryOf(query)}`, datasetsSchema),
    /** Returns a stream with all of its recordings. */
    get: async (stream: string): Promise<DatasetListing> => {
      let head: DatasetListing | undefined;
      const recordings = await everyPage(async (page) => {
        head = await calls.recordings(stream, page);
        return { entries: head.recordings, next: head.next };
      });
      return { ...(head as DatasetListing), recordings, next: null };
    },
    /** One recording as CSV with a header row. */
    csv: async (stream: string, device: string, recording: string): Promise<string> => {
      const path = pathOf(contract.datasets.csv, [stream, device, recording]);
      return await text(bodyOf(await transport.call('GET', path), transport.url));
    },
    /** Samples as rows: a stream of bytes that ends with a summary of unreadable data. */
    export: async (
      stream: string,
      query: ExportQuery,
      signal?: AbortSignal,
    ): Promise<AsyncIterable<Uint8Array> & { summary(): ExportSummary | null }> => {
      const path = `${pathOf(contract.datasets.export, [stream])}${queryOf(query)}`;
      const answer = await transport.call('GET', path, {
        bodyTimeoutMs: 120_000,
        ...(signal ? { signal } : {}),
      });
      const summary = () => summaryIn(answer.trailers[exportTrailer]);
      return Object.assign(bodyOf(answer, transport.url), { summary });
    },
  };
}

/** The summary in a trailer; null if there is none because the platform is older. */
function summaryIn(trailer: string | undefined): ExportSummary | null {
  if (trailer === undefined) return null;
  try {
    return exportSummarySchema.safeParse(JSON.parse(trailer)).data ?? null;
  } catch {
    return null;
  }
}
