import { z } from 'zod';
import { statusSchema, trustSchema } from '../../../registry/index.js';
import type { Routes } from '../parts.js';

export const statusRoutes: Routes = (parts) => async (app) => {
  app.get(
    '/status',
    { schema: { summary: 'State of the platform', response: { 200: statusSchema } } },
    async () => {
      const { version, started, urls, devices, models, datasets, rollouts } = parts;
      const all = devices.list();
      return {
        version,
        started,
        urls: urls(),
        counts: {
          devices: all.length,
          online: all.filter(({ online }) => online).length,
          models: (await models.list()).length,
          datasets: (await datasets.list()).length,
          rollouts: await rollouts.count(),
        },
      };
    },
  );

  app.get(
    '/trust',
    {
      config: { access: 'devices' },
      schema: {
        summary: 'Keys that may sign releases',
        response: { 200: z.object({ trust: trustSchema.nullable() }) },
      },
    },
    async () => ({ trust: await parts.trust.get() }),
  );

  app.put(
    '/trust',
    { schema: { summary: 'Set the trust root', body: trustSchema, response: { 200: trustSchema } } },
    ({ body }) => parts.trust.put(body),
  );
};
