import type { FastifyInstance } from 'fastify';
import { healthStates } from '../../api/contract/attention.js';
import { enrollmentStates } from '../../api/contract/batches.js';
import { rolloutStates } from '../../api/rollouts/schema.js';
import { residentBytes } from '../../core/process.js';
import { Exposition, Histogram, type Labels } from '../../core/prometheus.js';
import { tellBroker } from '../broker/metrics.js';
import type { Connections } from '../connections.js';
import { driftedDevices, ownDrift } from '../devices/drift.js';
import { type Events, extentOf } from '../events/events.js';
import type { Relay } from '../events/relay.js';
import { cursorName, type WebhookSender } from '../events/webhooks.js';
import { whenClosed } from '../listen.js';
import type { Store } from '../store/database.js';
import type { ApiParts } from './parts.js';

const openJobs = ['queued', 'running'] as const;

/** All metrics of the platform. @param now ms since 1970 */
export async function metricsOf(parts: ApiParts, http: HttpFigures, now: number): Promise<Exposition> {
  const { broker, damages, devices, disk, engine, store, telemetry, version, started } = parts;
  const out = new Exposition();
  out.gauge('aiot_build_info', 'Versions of aiot and of Node.js.', 1, { version, node: process.version });
  out.gauge('process_start_time_seconds', 'Start time of the process in seconds since 1970.', started / 1000);
  out.gauge('process_resident_memory_bytes', 'Resident memory.', residentBytes());
  out.family(
    'gauge',
    'aiot_leader',
    'Whether this process is the leader for this role.',
    engine.leader.roles().map(({ role, leads }) => [{ role }, leads ? 1 : 0]),
  );
  out.gauge('aiot_devices', 'Registered devices.', devices.count());
  const online = devices.connectedHere().filter((name) => devices.find(name) !== null).length;
  out.gauge('aiot_devices_online', 'Devices with an open connection.', online);
  const health = await parts.attention.counts();
  out.family(
    'gauge',
    'aiot_devices_health',
    'Devices by health, without suspended and revoked ones.',
    healthStates.map((state) => [{ state }, health[state]]),
  );
  const drifted = await driftedDevices(store);
  const own = drifted.size === 0 ? [] : devices.records().map((device) => ownDrift(device, drifted));
  const byField = (measure: string) => own.filter((drift) => drift?.measure === measure).length;
  out.family(
    'gauge',
    'aiot_devices_drifted',
    'Devices whose signal differs from the training data of their model, by measure.',
    ['psi', 'stuck'].map((measure) => [{ measure }, byField(measure)]),
  );
  await tellStates(
    ...([out, store, 'enrollments', 'aiot_enrollments'] as const),
    'Devices that asked for a certificate with the key of a batch, by state.',
    enrollmentStates,
  );
  tellBroker(out, broker);
  tellConnections(out, parts.connections);
  disk.tell(out);
  out.family('gauge', 'aiot_commit_backlog_records', 'Records that wait to be committed.', [
    [{ log: 'telemetry' }, telemetry.backlog],
    [{ log: 'sessions' }, broker.depths()?.logBacklog ?? 0],
  ]);
  await tellIngest(out, parts);
  await damages.tell(out);
  await tellEvents(out, parts, now);
  await tellStates(out, store, 'rollouts', 'aiot_rollouts', 'Rollouts, by state.', rolloutStates);
  await tellStates(out, store, 'jobs', 'aiot_jobs', 'Jobs that have not ended, by state.', openJobs);
  await parts.objectives.tell(out);
  http.tell(out);
  parts.otlp?.tell(out);
  return out;
}

/** The value is the same for all replicas, because they share the log. An unknown backlog is omitted, because it is not zero. */
async function tellIngest(out: Exposition, { ingestBacklog }: ApiParts): Promise<void> {
  const backlog = (await ingestBacklog?.()) ?? null;
  if (backlog === null) return;
  const help = 'Messages in JetStream or Kafka that no replica has stored yet.';
  out.gauge('aiot_ingest_backlog_messages', help, backlog);
}

function tellConnections(out: Exposition, connections: Connections): void {
  const { dropped, ...byState } = connections.figures();
  out.family(
    'gauge',
    'aiot_connections',
    'Open connections of all listeners, by stage.',
    Object.entries(byState).map(([state, count]) => [{ state }, count]),
  );
  out.counter('aiot_connections_dropped_total', 'Connections closed because a limit was reached.', dropped);
}

/** States with a count of zero are included, because a time series that appears and disappears cannot be monitored. */
async function tellStates(
  out: Exposition,
  store: Store,
  table: 'rollouts' | 'jobs' | 'enrollments',
  name: string,
  help: string,
  states: readonly string[],
): Promise<void> {
  const rows = await store
    .selectFrom(table)
    .select(['state', ({ fn }) => fn.countAll<number>().as('count')])
    .where('state', 'in', states)
    .groupBy('state')
    .execute();
  const counts = new Map<string, number>(rows.map(({ state, count }) => [state, Number(count)]));
  out.family(
    'gauge',
    name,
    help,
    states.map((state) => [{ state }, counts.get(state) ?? 0]),
  );
}

/** Response times by method, route and status: a Prometheus histogram. */
export class HttpFigures {
  private readonly series = new Map<string, [Labels, Histogram]>();
  private open = 0;
  /** Number of requests that were answered. */
  requests = 0;

  /** Must be called before the routes are registered. */
  watch(app: FastifyInstance): void {
    app.addHook('onRequest', async (_request, reply) => {
      this.open++;
      whenClosed(reply.raw, () => {
        this.open--;
      });
    });
    app.addHook('onResponse', async (request, reply) => {
      this.requests++;
      // The route's pattern, not the path, because requests for random paths must not create series.
      const route = request.routeOptions.url ?? 'none';
      this.note({ method: request.method, route, status: `${reply.statusCode}` }, reply.elapsedTime / 1000);
    });
  }

  tell(out: Exposition): void {
    out.histogram(
      'aiot_http_request_duration_seconds',
      'Time until the response was sent.',
      this.series.values(),
    );
    out.gauge('aiot_http_requests_open', 'Requests in progress.', this.open);
  }

  private note(labels: Record<'method' | 'route' | 'status', string>, seconds: number): void {
    const key = `${labels.method} ${labels.route} ${labels.status}`;
    const known = this.series.get(key) ?? [labels, new Histogram()];
    this.series.set(key, known);
    known[1].note(seconds);
  }
}

interface FigureParts {
  store: Store;
  events: Events;
  relay: Relay | null;
  sender: WebhookSender;
}

/** Writes metrics about events and their destinations. @param now ms since 1970 */
async function tellEvents(out: Exposition, parts: FigureParts, now: number): Promise<void> {
  const { store, events, relay, sender } = parts;
  const { latest } = await extentOf(store);
  out.gauge('aiot_events_last_id', 'Id of the newest event.', latest);
  out.gauge('aiot_events_listeners', 'Listeners that follow the events.', events.feed.listening);
  await tellWebhooks(out, store, latest);
  out.counter('aiot_webhook_delivered_total', 'Events delivered to webhooks.', sender.figures.delivered);
  out.counter('aiot_webhook_failed_total', 'Failed deliveries to webhooks.', sender.figures.failed);
  if (relay) await tellRelay(out, relay, latest, now);
}

async function tellWebhooks(out: Exposition, store: Store, latest: number): Promise<void> {
  const rows = await store
    .selectFrom('webhooks')
    .select(['id', 'enabled', 'failures'])
    .orderBy('id')
    .execute();
  const cursors = await store.selectFrom('cursors').selectAll().execute();
  const at = new Map(cursors.map(({ name, position }) => [name, Number(position)]));
  const enabled = rows.filter((row) => row.enabled !== 0);
  const failing = enabled.filter(({ failures }) => failures > 0).length;
  out.family('gauge', 'aiot_webhooks', 'Webhooks, by state.', [
    [{ state: 'well' }, enabled.length - failing],
    [{ state: 'failing' }, failing],
    [{ state: 'disabled' }, rows.length - enabled.length],
  ]);
  out.family(
    'gauge',
    'aiot_webhook_backlog_events',
    'Events that the webhook has not processed yet.',
    enabled.map(({ id }) => [{ webhook: id }, Math.max(0, latest - (at.get(cursorName(id)) ?? 0))]),
  );
}

async function tellRelay(out: Exposition, relay: Relay, latest: number, now: number): Promise<void> {
  const { state, events, telemetry } = relay.figures;
  const lag = (since: number | null) => (since === null ? 0 : Math.max(0, (now - since) / 1000));
  out.gauge('aiot_relay_connected', 'Whether Kafka or NATS is connected.', state === 'connected' ? 1 : 0);
  out.counter('aiot_relay_events_sent_total', 'Events that were forwarded.', events.sent);
  out.counter('aiot_relay_telemetry_sent_total', 'Telemetry messages that were forwarded.', telemetry.sent);
  out.counter(
    'aiot_relay_refused_total',
    'Messages that the destination rejected permanently.',
    events.refused + telemetry.refused,
  );
  out.gauge(
    'aiot_relay_events_lag',
    'Events that the destination has not confirmed yet.',
    latest - (await relay.position()),
  );
  out.gauge('aiot_relay_events_lag_seconds', 'Age of the oldest unsent event.', lag(events.waitingSince));
  out.gauge(
    'aiot_relay_telemetry_lag_seconds',
    'Age of the oldest unsent message.',
    lag(telemetry.waitingSince),
  );
}
