import { type Envelope, envelopeSchema } from '../formats/manifest/envelope.js';
import {
  type AuditEntry,
  type LiveFigures,
  listSchemas,
  liveSchema,
  type ModelSummary,
  type ModelVersion,
  modelVersionSchema,
  nextVersionSchema,
  type RemovedModel,
  removedModelSchema,
  type StageRequest,
  type Status,
  statusSchema,
} from './api.js';
import { backupCalls } from './backups.js';
import { blobCalls } from './blobs.js';
import { configCalls } from './configs.js';
import { damageCalls } from './damage.js';
import { datasetCalls, labelCalls, retentionCalls } from './datasets/client.js';
import { claimCalls, deviceCalls } from './devices.js';
import { eventCalls } from './events/calls.js';
import { firmwareCalls } from './firmware.js';
import { jobCalls } from './jobs/calls.js';
import { everyPage } from './page.js';
import { rolloutCalls } from './rollouts/calls.js';
import { runCalls } from './runs.js';
import { secretCalls } from './secrets.js';
import { sessionCalls } from './session.js';
import { type ClientOptions, Transport } from './transport.js';
import { trustCalls } from './trust.js';
import { tokenCalls, userCalls } from './users.js';
import { webhookCalls } from './webhooks/calls.js';

const part = encodeURIComponent;

/**
 * Client of one platform. Nothing is sent before the first call. Every call throws AiotError: AIOT_PLATFORM_UNREACHABLE
 * (retryable), AIOT_PLATFORM_UNTRUSTED, AIOT_TOKEN_INVALID, AIOT_NOT_ALLOWED, AIOT_NOT_FOUND, or what the server said.
 */
export function createClient(options: ClientOptions) {
  const transport = new Transport(options);
  return {
    /** https origin of the platform. */
    url: transport.url,
    status: (): Promise<Status> => transport.json('GET', '/status', statusSchema),
    trust: trustCalls(transport),
    users: userCalls(transport),
    tokens: tokenCalls(transport),
    session: sessionCalls(transport),
    devices: deviceCalls(transport),
    secrets: secretCalls(transport),
    claims: claimCalls(transport),
    firmware: firmwareCalls(transport),
    configs: configCalls(transport),
    backups: backupCalls(transport),
    damage: damageCalls(transport),
    blobs: blobCalls(transport),
    manifests: {
      get: (sequence: number): Promise<Envelope> =>
        transport.json('GET', `/manifests/${sequence}`, envelopeSchema),
      /** A manifest signed anew, with the next sequence, for a version that is there. @throws AIOT_VERSION_CONFLICT */
      post: (envelope: Envelope): Promise<ModelVersion> =>
        transport.json('POST', '/manifests', modelVersionSchema, { envelope }),
    },
    models: modelCalls(transport),
    rollouts: rolloutCalls(transport),
    datasets: datasetCalls(transport),
    audit: {
      /** Newest first. @param subject `har@3`, or a name: then all of its versions */
      list: async (subject?: string): Promise<AuditEntry[]> => {
        const query = subject === undefined ? '' : `?subject=${part(subject)}`;
        return (await transport.json('GET', `/audit${query}`, listSchemas.audit)).entries;
      },
    },
    events: eventCalls(transport),
    jobs: jobCalls(transport),
    /** Of pipelines. */
    runs: runCalls(transport),
    webhooks: webhookCalls(transport),
    labels: labelCalls(transport),
    retention: retentionCalls(transport),
    close: () => transport.close(),
  };
}
export type RegistryClient = ReturnType<typeof createClient>;

function modelCalls(transport: Transport) {
  const path = (name: string, version?: number) =>
    `/models/${part(name)}${version === undefined ? '' : `/versions/${version}`}`;
  return {
    /** What the operator is to put into the next manifest of this model. */
    next: (name: string): Promise<{ version: number; sequence: number }> =>
      transport.json('GET', `${path(name)}/next`, nextVersionSchema),
    /** The bundle's blob must be there. @throws AIOT_SIGNATURE_INVALID, AIOT_VERSION_CONFLICT, AIOT_NOT_FOUND (blob) */
    push: (name: string, envelope: Envelope): Promise<ModelVersion> =>
      transport.json('POST', `${path(name)}/versions`, modelVersionSchema, { envelope }),
    list: async (): Promise<ModelSummary[]> =>
      everyPage(async (query) => {
        const page = await transport.json('GET', `/models?${query}`, listSchemas.models);
        return { entries: page.models, next: page.next };
      }),
    /** Newest first. */
    versions: async (name: string): Promise<ModelVersion[]> =>
      everyPage(async (query) => {
        const page = await transport.json('GET', `${path(name)}?${query}`, listSchemas.versions);
        return { entries: page.versions, next: page.next };
      }),
    get: (name: string, version: number): Promise<ModelVersion> =>
      transport.json('GET', path(name, version), modelVersionSchema),
    /** Up or down. @throws AIOT_GATE_FAILED without a reason, AIOT_NOT_FOUND */
    promote: (name: string, version: number, request: StageRequest): Promise<ModelVersion> =>
      transport.json('POST', `${path(name, version)}/stage`, modelVersionSchema, request),
    /** @throws AIOT_MODEL_IN_USE, AIOT_NOT_FOUND */
    remove: (name: string, version: number): Promise<RemovedModel> =>
      transport.json('DELETE', path(name, version), removedModelSchema),
    live: (name: string, version: number): Promise<LiveFigures> =>
      transport.json('GET', `${path(name, version)}/live`, liveSchema),
  };
}
