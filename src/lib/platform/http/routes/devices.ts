import { z } from 'zod';
import { deviceActionSchema, deviceSchema, listSchemas } from '../../../registry/index.js';
import type { Routes } from '../parts.js';

const params = z.object({ name: z.string() });

export const deviceRoutes: Routes = (parts) => async (app) => {
  const { audit, devices, rollouts, broker } = parts;

  app.get(
    '/devices',
    { schema: { summary: 'All devices', response: { 200: listSchemas.devices } } },
    async () => ({
      devices: devices.list(),
    }),
  );

  app.get(
    '/devices/:name',
    { schema: { summary: 'One device', params, response: { 200: deviceSchema } } },
    async ({ params }) => devices.info(params.name),
  );

  app.post(
    '/devices/:name/state',
    {
      schema: {
        summary: 'Suspend, resume or revoke a device',
        params,
        body: deviceActionSchema,
        response: { 200: deviceSchema },
      },
    },
    async ({ params: { name }, body: { action }, who }) => {
      await devices.act(name, action);
      await audit.note({ who, action: `device.${action}`, subject: name });
      if (action !== 'resume') {
        broker.disconnect(name);
        await rollouts.revoked(name);
      }
      return devices.info(name);
    },
  );
};
