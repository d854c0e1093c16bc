import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Logger } from 'pino';
import type { Condition, PlatformUrls } from '../../registry/index.js';
import type { Backups } from '../backup/create.js';
import type { BlobHealth } from '../blobs/health.js';
import type { BlobStore } from '../blobs/store.js';
import type { Uploads } from '../blobs/uploads.js';
import type { Broker } from '../broker/broker.js';
import type { Connections } from '../connections.js';
import type { Ddi } from '../ddi/ddi.js';
import type { Jobs } from '../events/jobs/jobs.js';
import type { Relay } from '../events/relay/relay.js';
import type { WebhookSender } from '../events/webhooks/sender.js';
import type { Webhooks } from '../events/webhooks/webhooks.js';
import type { DiskFigures } from '../figures/disk.js';
import type { Telemetry } from '../journal/telemetry.js';
import type { Answers } from '../services/answers.js';
import type { Births } from '../services/births.js';
import type { Claims } from '../services/claims.js';
import type { Configs } from '../services/configs.js';
import type { Datasets } from '../services/datasets.js';
import type { DesiredStates } from '../services/desired.js';
import type { Devices } from '../services/devices.js';
import type { Enrolment } from '../services/enrolment.js';
import type { Events } from '../services/events.js';
import type { Failures } from '../services/failures.js';
import type { Firmware } from '../services/firmware.js';
import type { Fleet } from '../services/fleet.js';
import type { Labels } from '../services/labels.js';
import type { LiveHub } from '../services/live-hub.js';
import type { Logins } from '../services/logins.js';
import type { Models } from '../services/models.js';
import type { Orphans } from '../services/orphans.js';
import type { PipelineRuns } from '../services/pipeline-runs.js';
import type { Removal } from '../services/removal.js';
import type { RetentionService } from '../services/retention.js';
import type { Rollouts } from '../services/rollouts/rollouts.js';
import type { Roots } from '../services/roots.js';
import type { DeviceSecrets } from '../services/secrets.js';
import type { Sessions } from '../services/sessions.js';
import type { Simulated } from '../services/simulated.js';
import type { Stages } from '../services/stages.js';
import type { Tokens } from '../services/tokens.js';
import type { Trust } from '../services/trust.js';
import type { Users } from '../services/users.js';
import type { Store } from '../store/database.js';
import type { Engine } from '../store/engine.js';
import type { Damages } from '../verify/damage.js';
import type { WorkerStates } from '../workers/index.js';
import type { Rates } from './rates.js';

/** What the API's routes call. */
export interface ApiParts {
  answers: Answers;
  events: Events;
  backups: Backups;
  births: Births;
  blobs: BlobStore;
  health: BlobHealth;
  broker: Broker;
  claims: Claims;
  connections: Connections;
  configs: Configs;
  damages: Damages;
  datasets: Datasets;
  desired: DesiredStates;
  ddi: Ddi;
  devices: Devices;
  engine: Engine;
  enrolment: Enrolment;
  failures: Failures;
  firmware: Firmware;
  fleet: Fleet;
  jobs: Jobs;
  labels: Labels;
  logins: Logins;
  pipelineRuns: PipelineRuns;
  live: LiveHub;
  models: Models;
  orphans: Orphans;
  /** Where events go too; null = nowhere. */
  relay: Relay | null;
  disk: DiskFigures;
  workers: WorkerStates;
  /** Why devices cannot connect just now; null = they can. */
  brokerTrouble: () => string | null;
  removal: Removal;
  retention: RetentionService;
  rollouts: Rollouts;
  sender: WebhookSender;
  simulated: Simulated;
  stages: Stages;
  store: Store;
  telemetry: Telemetry;
  secrets: DeviceSecrets;
  sessions: Sessions;
  tokens: Tokens;
  roots: Roots;
  trust: Trust;
  webhooks: Webhooks;
  uploads: Uploads;
  users: Users;
  /** PEM of the CA. */
  ca: string;
  /** The platform's folder. */
  dataDir: string;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
  rates?: Partial<Rates> | undefined;
  /** As of PlatformOptions. */
  drainMs?: number | undefined;
  /** ms since 1970 */
  started: number;
  /** How the platform is just now. */
  condition: () => Promise<Condition>;
  /** Known once all listeners are up. */
  urls: () => PlatformUrls;
  version: string;
}

/** A plugin with the routes of one noun, below /api/v1. */
export type Routes = (parts: ApiParts) => FastifyPluginAsyncZod;
