import type { Routes } from '../parts.js';

/** /healthz, /metrics (Prometheus's text format 0.0.4) and /openapi.json: outside /api/v1. */
export const healthRoutes: Routes = (parts) => async (app) => {
  app.get('/healthz', { config: { access: 'everybody' }, schema: { hide: true } }, async () => ({
    status: 'ok',
  }));
  app.get('/openapi.json', { config: { access: 'everybody' }, schema: { hide: true } }, async () =>
    app.swagger(),
  );
  app.get('/metrics', { schema: { hide: true } }, async (_request, reply) => {
    const { broker, devices } = parts;
    const figures: [string, 'counter' | 'gauge', string, number][] = [
      ['aiot_devices', 'gauge', 'Registered devices.', devices.records().length],
      ['aiot_devices_online', 'gauge', 'Devices with an open connection.', countOnline(devices.list())],
      ['aiot_mqtt_clients', 'gauge', 'Open MQTT connections.', broker.figures.clients],
      ['aiot_mqtt_received_total', 'counter', 'Messages that came.', broker.figures.received],
      ['aiot_mqtt_malformed_total', 'counter', 'Messages that could not be read.', broker.figures.malformed],
      ['aiot_mqtt_refused_total', 'counter', 'Connections and topics refused.', broker.figures.refused],
      ['process_resident_memory_bytes', 'gauge', 'Resident memory.', process.memoryUsage.rss()],
    ];
    const text = figures.map(
      ([name, type, help, value]) => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value}\n`,
    );
    return reply.type('text/plain; version=0.0.4').send(text.join(''));
  });
};

function countOnline(devices: { online: boolean }[]): number {
  return devices.filter(({ online }) => online).length;
}
