import { z } from 'zod';
import { AiotError, catalogue, type ErrorCode } from '../../../core/index.js';
import { eventFigures } from '../../events/figures.js';
import { tokenOf } from '../auth.js';
import type { HttpFigures } from '../figures.js';
import type { Routes } from '../parts.js';
import { readinessOf } from '../readiness.js';

/** /healthz, /readyz, /metrics (Prometheus's text format 0.0.4) and /openapi.json: outside /api/v1. */
export const healthRoutes =
  (http: HttpFigures): Routes =>
  (parts) =>
  async (app) => {
    app.get('/healthz', { config: { access: 'everybody' }, schema: { hide: true } }, async () => ({
      status: 'ok',
    }));
    app.get(
      '/readyz',
      { config: { access: 'everybody' }, schema: { hide: true } },
      async (request, reply) => {
        const { ready, checks } = await readinessOf(parts);
        reply.status(ready ? 200 : 503);
        const status = ready ? 'ready' : 'not ready';
        // What is wrong inside is for those who may look inside.
        return (await parts.tokens.identify(tokenOf(request))) ? { status, checks } : { status };
      },
    );
    app.get('/openapi.json', { config: { access: 'everybody' }, schema: { hide: true } }, async () =>
      app.swagger(),
    );
    app.get(
      '/errors/:code',
      { config: { access: 'everybody' }, schema: { hide: true, params: z.object({ code: z.string() }) } },
      async ({ params: { code } }) => {
        const known = Object.hasOwn(catalogue, code) ? catalogue[code as ErrorCode] : undefined;
        if (known === undefined) throw new AiotError('AIOT_NOT_FOUND', `there is no error ${code}`);
        return { code, about: known.about, next: known.next };
      },
    );
    const build = `# HELP aiot_build_info What runs.\n# TYPE aiot_build_info gauge\naiot_build_info{version="${parts.version}",node="${process.version}"} 1\n`;
    app.get('/metrics', { schema: { hide: true } }, async (_request, reply) => {
      const { broker, devices } = parts;
      const ofEvents = await eventFigures({ ...parts, now: Date.now() });
      const figures: [string, 'counter' | 'gauge', string, number][] = [
        ['aiot_devices', 'gauge', 'Registered devices.', devices.records().length],
        ['aiot_devices_online', 'gauge', 'Devices with an open connection.', countOnline(devices.list())],
        ['aiot_mqtt_clients', 'gauge', 'Open MQTT connections.', broker.figures.clients],
        ['aiot_mqtt_received_total', 'counter', 'Messages that came.', broker.figures.received],
        [
          'aiot_mqtt_malformed_total',
          'counter',
          'Messages that could not be read.',
          broker.figures.malformed,
        ],
        ['aiot_mqtt_refused_total', 'counter', 'Connections and topics refused.', broker.figures.refused],
        ...ofEvents,
        ['process_resident_memory_bytes', 'gauge', 'Resident memory.', process.memoryUsage.rss()],
      ];
      const text = figures.map(
        ([name, type, help, value]) => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value}\n`,
      );
      return reply.type('text/plain; version=0.0.4').send(`${text.join('')}${build}${http.text()}`);
    });
  };

function countOnline(devices: { online: boolean }[]): number {
  return devices.filter(({ online }) => online).length;
}
