import {
  acknowledgedSchema,
  acknowledgeRequestSchema,
  damagesSchema,
  pageQuerySchema,
} from '../../../registry/index.js';
import type { Routes } from '../parts.js';

export const damageRoutes: Routes =
  ({ damages }) =>
  async (app) => {
    app.get(
      '/damage',
      {
        schema: {
          summary: 'Damage at rest that is not repaired',
          querystring: pageQuerySchema,
          response: { 200: damagesSchema },
        },
      },
      ({ query }) => damages.list(query),
    );

    app.post(
      '/damage/acknowledge',
      {
        schema: {
          summary: 'Acknowledge damage: status does not warn of it any more',
          body: acknowledgeRequestSchema,
          response: { 200: acknowledgedSchema },
        },
      },
      ({ body, who }) => damages.acknowledge(body.ids, who),
    );
  };
