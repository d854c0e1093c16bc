import { statusSchema } from '../../../registry/index.js';
import type { Routes } from '../parts.js';

export const statusRoutes: Routes = (parts) => async (app) => {
  app.get(
    '/status',
    { schema: { summary: 'State of the platform', response: { 200: statusSchema } } },
    async () => {
      const { version, started, urls, condition, devices, models, datasets, rollouts } = parts;
      const all = devices.records();
      return {
        version,
        started,
        urls: urls(),
        ...(await condition()),
        ...(parts.relay ? { relay: await parts.relay.status() } : {}),
        counts: {
          devices: all.length,
          online: all.filter(({ name }) => devices.online(name)).length,
          ...(await models.counts()),
          datasets: await datasets.count(),
          rollouts: await rollouts.count(),
        },
      };
    },
  );
};
