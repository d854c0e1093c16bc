import { z } from 'zod';
import { shortest } from '../../backup/seal.js';
import type { Routes } from '../parts.js';

export const backupRequestSchema = z.strictObject({
  passphrase: z.string().min(shortest, `expected at least ${shortest} characters`).max(1000),
});

export const backupRoutes: Routes =
  ({ backups, events }) =>
  async (app) => {
    app.post(
      '/backups',
      {
        schema: {
          summary: 'All that is kept, as one tar',
          description:
            'Streamed while the platform goes on. The CA’s key, tokens and secrets are sealed with the passphrase, which is kept nowhere.',
          body: backupRequestSchema,
        },
      },
      async ({ body, who }, reply) => {
        const { pack, head } = await backups.create(body.passphrase);
        await events.record({
          who,
          type: 'backup.create',
          subject: 'platform',
          data: { created: head.created },
        });
        return reply.type('application/x-tar').send(pack);
      },
    );
  };
