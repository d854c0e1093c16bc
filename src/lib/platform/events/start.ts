import { join } from 'node:path';
import type { Logger } from 'pino';
import { aiotVersion } from '../../core/folders.js';
import type { BlobStore } from '../blobs/store.js';
import type { Datasets } from '../datasets/datasets.js';
import type { LogRetentionService } from '../datasets/log-retention.js';
import type { Orphans } from '../datasets/orphans.js';
import type { RetentionService } from '../datasets/retention.js';
import type { Devices } from '../devices/devices.js';
import { chosenDevices } from '../devices/fleet.js';
import type { Telemetry } from '../journal/telemetry.js';
import type { Store } from '../store/database.js';
import type { Worker } from '../workers.js';
import { AlarmTargets } from './alarm-targets.js';
import type { Events } from './events.js';
import { platformKinds } from './job-kinds.js';
import { JobRunner, Jobs } from './jobs.js';
import { pruner } from './prune.js';
import { Relay } from './relay.js';
import { WebhookSender, Webhooks } from './webhooks.js';

interface EventParts {
  dataDir: string;
  store: Store;
  events: Events;
  telemetry: Telemetry;
  blobs: BlobStore;
  datasets: Datasets;
  devices: Devices;
  orphans: Orphans;
  retention: RetentionService;
  logRetention: LogRetentionService;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
  /** Destination for events and telemetry: kafka://… or nats://…. */
  relayTo: string | undefined;
}

/** Starts the relay, webhooks, the alarms' targets and jobs, with their workers. @throws AIOT_USAGE, AIOT_STREAM_URL (the relay's) */
export async function openEvents(parts: EventParts) {
  const { store, events, telemetry, log, now, relayTo } = parts;
  const platform = await platformId(store);
  const relay =
    relayTo === undefined
      ? null
      : new Relay({ url: relayTo, store, feed: events.feed, journal: telemetry.reader, platform, log });
  const prune = { store, events, now, relayed: async () => (relay ? relay.position() : null) };
  const chosen = (selector: string | undefined) => chosenDevices(parts, selector);
  const kinds = platformKinds({ ...parts, prune, chosen, folder: join(parts.dataDir, 'exports') });
  const jobs = new Jobs({ store, events, kinds, now });
  const sender = new WebhookSender({ store, events, log, platform, now });
  const own = [new JobRunner({ store, events, kinds, jobs, log, now }), sender, ...(relay ? [relay] : [])];
  const workers: Worker[] = [...own];
  const alarmTargets = new AlarmTargets({ store, events, log, platform, now });
  workers.push(pruner({ ...prune, log }), ...alarmTargets.workers());
  // Consumers of the log infer from this event that no client is connected yet.
  const data = { version: aiotVersion() };
  const begin = () => events.record({ who: 'platform', type: 'platform.start', subject: 'platform', data });
  const webhooks = new Webhooks({ store, events, now });
  return { begin, jobs, webhooks, alarmTargets, relay, sender, workers, platform };
}

/** An id that distinguishes this platform's events from another's, derived from the creation time of its state. */
async function platformId(store: Store): Promise<string> {
  const row = await store.selectFrom('meta').select('value').where('key', '=', 'created').executeTakeFirst();
  return Number(row?.value ?? 0).toString(36);
}
