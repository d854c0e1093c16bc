import { residentBytes } from '../../core/index.js';
import { rolloutStates } from '../../registry/index.js';
import { tellBroker } from '../broker/tell.js';
import type { Connections } from '../connections.js';
import { tellEvents } from '../events/figures.js';
import { Exposition } from '../figures/exposition.js';
import type { Store } from '../store/database.js';
import type { HttpFigures } from './figures.js';
import type { ApiParts } from './parts.js';

const openJobs = ['queued', 'running'] as const;

/** All figures of the platform, in Prometheus' text format 0.0.4. @param now ms since 1970 */
export async function metricsOf(parts: ApiParts, http: HttpFigures, now: number): Promise<string> {
  const { broker, damages, devices, disk, engine, store, telemetry, version, started } = parts;
  const out = new Exposition();
  out.gauge('aiot_build_info', 'What runs.', 1, { version, node: process.version });
  out.gauge('process_start_time_seconds', 'When it was started, since 1970.', started / 1000);
  out.gauge('process_resident_memory_bytes', 'Resident memory.', residentBytes());
  out.family(
    'gauge',
    'aiot_leader',
    'Whether this process does what only one of several may do.',
    engine.leader.roles().map(({ role, leads }) => [{ role }, leads ? 1 : 0]),
  );
  const all = devices.records();
  out.gauge('aiot_devices', 'Registered devices.', all.length);
  const online = all.filter(({ name }) => devices.online(name)).length;
  out.gauge('aiot_devices_online', 'Devices with an open connection.', online);
  tellBroker(out, broker);
  tellConnections(out, parts.connections);
  disk.tell(out);
  out.family('gauge', 'aiot_commit_backlog_records', 'Records that wait for the commit after the next.', [
    [{ log: 'telemetry' }, telemetry.backlog],
    [{ log: 'sessions' }, broker.depths()?.logBacklog ?? 0],
  ]);
  await damages.tell(out);
  await tellEvents(out, parts, now);
  await tellStates(out, store, 'rollouts', 'aiot_rollouts', 'Rollouts, by state.', rolloutStates);
  await tellStates(out, store, 'jobs', 'aiot_jobs', 'Jobs that have not ended, by state.', openJobs);
  http.tell(out);
  return out.text();
}

function tellConnections(out: Exposition, connections: Connections): void {
  const { dropped, ...byState } = connections.figures();
  out.family(
    'gauge',
    'aiot_connections',
    'Open connections of all listeners, by what is known of them.',
    Object.entries(byState).map(([state, count]) => [{ state }, count]),
  );
  out.counter('aiot_connections_dropped_total', 'Connections closed for want of room.', dropped);
}

/** States that nothing is in are told too: a line that comes and goes cannot be watched. */
async function tellStates(
  out: Exposition,
  store: Store,
  table: 'rollouts' | 'jobs',
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
