import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Logger } from 'pino';
import type { PlatformUrls } from '../../api/api.js';
import type { Condition } from '../../api/condition.js';
import type { Answers } from '../access/answers.js';
import type { Logins } from '../access/logins.js';
import type { ProviderLogins } from '../access/provider-logins.js';
import type { DeviceSecrets, Failures } from '../access/secrets.js';
import type { Tokens } from '../access/tokens.js';
import type { Sessions, Users } from '../access/users.js';
import type { Backups } from '../backup/create.js';
import type { BlobStore } from '../blobs/store.js';
import type { Uploads } from '../blobs/uploads.js';
import type { Broker } from '../broker/broker.js';
import type { Connections } from '../connections.js';
import type { Datasets } from '../datasets/datasets.js';
import type { Labels } from '../datasets/labels.js';
import type { LogRetentionService } from '../datasets/log-retention.js';
import type { Orphans } from '../datasets/orphans.js';
import type { RetentionService } from '../datasets/retention.js';
import type { SuggestionService } from '../datasets/suggestions.js';
import type { Ddi } from '../ddi/ddi.js';
import type { AttentionService } from '../devices/attention.js';
import type { Batches } from '../devices/batches.js';
import type { DeviceCommands } from '../devices/calls.js';
import type { Crashes } from '../devices/crashes.js';
import type { DesiredStates } from '../devices/desired.js';
import type { Devices } from '../devices/devices.js';
import type { Enrollments } from '../devices/enrollments.js';
import type { Births, Claims, Enrolment, Simulated } from '../devices/enrolment.js';
import type { Fleet } from '../devices/fleet.js';
import type { History } from '../devices/history.js';
import type { RemoteAccess } from '../devices/remote.js';
import type { RemotePeers } from '../devices/remote-peers.js';
import type { DeviceSettingsService } from '../devices/settings.js';
import type { CrashSymbols } from '../devices/symbols.js';
import type { LiveHub } from '../devices/talk.js';
import type { AlarmTargets } from '../events/alarm-targets.js';
import type { Alarms } from '../events/alarms.js';
import type { Audit, Denials } from '../events/audit.js';
import type { Events } from '../events/events.js';
import type { Jobs } from '../events/jobs.js';
import type { Relay } from '../events/relay.js';
import type { WebhookSender, Webhooks } from '../events/webhooks.js';
import type { Telemetry } from '../journal/telemetry.js';
import type { DiskFigures } from '../metrics.js';
import type { Objectives } from '../objectives.js';
import type { Otlp } from '../otlp.js';
import type { Models } from '../releases/models.js';
import type { PipelineRequests } from '../releases/pipeline-requests.js';
import type { PipelineRuns } from '../releases/pipeline-runs.js';
import type { Configs, Firmware } from '../releases/releases.js';
import type { Rollouts } from '../releases/rollouts.js';
import type { Removal, Stages } from '../releases/stages.js';
import type { TrainingRuns } from '../releases/training-runs.js';
import type { Roots, Trust } from '../releases/trust.js';
import type { Replicas } from '../replicas.js';
import type { Schemas } from '../schemas/schemas.js';
import type { Store } from '../store/database.js';
import type { Engine } from '../store/engine.js';
import type { Damages } from '../verify/damage.js';
import type { BlobHealth } from '../verify/scrub.js';
import type { WorkerStates } from '../workers.js';
import type { Rates } from './auth.js';
import type { HttpFigures } from './metrics.js';

/** Dependencies of the API's routes. */
export interface ApiParts {
  alarms: Alarms;
  alarmTargets: AlarmTargets;
  answers: Answers;
  attention: AttentionService;
  audit: Audit;
  denials: Denials;
  events: Events;
  backups: Backups;
  batches: Batches;
  births: Births;
  blobs: BlobStore;
  health: BlobHealth;
  history: History;
  broker: Broker;
  claims: Claims;
  commands: DeviceCommands;
  settings: DeviceSettingsService;
  connections: Connections;
  configs: Configs;
  crashes: Crashes;
  damages: Damages;
  datasets: Datasets;
  desired: DesiredStates;
  ddi: Ddi;
  devices: Devices;
  engine: Engine;
  enrollments: Enrollments;
  schemas: Schemas;
  enrolment: Enrolment;
  failures: Failures;
  firmware: Firmware;
  fleet: Fleet;
  jobs: Jobs;
  labels: Labels;
  logins: Logins;
  providerLogins: ProviderLogins;
  pipelineRequests: PipelineRequests;
  pipelineRuns: PipelineRuns;
  live: LiveHub;
  models: Models;
  objectives: Objectives;
  orphans: Orphans;
  /** Forwards events; null = no relay. */
  relay: Relay | null;
  replicas: Replicas;
  disk: DiskFigures;
  http: HttpFigures;
  /** The platform's own traces, metrics and logs; undefined = they are not sent. */
  otlp?: Otlp | undefined;
  workers: WorkerStates;
  /** Messages in the shared log that no replica has stored yet; absent = there is no such log, null = unknown. */
  ingestBacklog?: () => Promise<number | null> | undefined;
  /** Reason why devices cannot connect at present; null = devices can connect. */
  brokerTrouble: () => string | null;
  remote: RemoteAccess;
  peers: RemotePeers;
  removal: Removal;
  retention: RetentionService;
  logRetention: LogRetentionService;
  rollouts: Rollouts;
  sender: WebhookSender;
  simulated: Simulated;
  suggestions: SuggestionService;
  symbols: CrashSymbols;
  stages: Stages;
  store: Store;
  telemetry: Telemetry;
  secrets: DeviceSecrets;
  sessions: Sessions;
  tokens: Tokens;
  trainingRuns: TrainingRuns;
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
  /** As in PlatformOptions. */
  drainMs?: number | undefined;
  /** How often live connections are checked, ms. */
  liveBeatMs?: number | undefined;
  /** ms since 1970 */
  started: number;
  /** Current condition of the platform. */
  condition: () => Promise<Condition>;
  /** URLs of the listeners, which are known once all of them are open. */
  urls: () => PlatformUrls;
  version: string;
}

/** A plugin with the routes of one noun, below /api/v1. */
export type Routes = (parts: ApiParts) => FastifyPluginAsyncZod;
