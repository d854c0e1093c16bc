import { auditQuerySchema, listSchemas } from '../../../registry/index.js';
import type { Routes } from '../parts.js';

export const auditRoutes: Routes =
  ({ events }) =>
  async (app) => {
    app.get(
      '/audit',
      {
        schema: {
          summary: 'Who did what, newest first',
          querystring: auditQuerySchema,
          response: { 200: listSchemas.audit },
        },
      },
      async ({ query }) => events.audit(query),
    );
  };
