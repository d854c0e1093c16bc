import { openEngine } from '../../src/lib/platform/store/engine.js';
import { testPlatform } from '../support/platform.js';
import { startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { historySuite } from './history-suite.js';

describeReal('postgres', 'the history in PostgreSQL', () => {
  let database = '';
  historySuite(
    async () => {
      const server = await startPostgres();
      database = await server.database();
      const own = await testPlatform({ engines: { database }, secret: 'a secret of replicas' });
      const { stop } = own;
      return Object.assign(own, {
        stop: async () => {
          await stop();
          await server.stop();
        },
      });
    },
    async (_, task) => {
      const engine = await openEngine('', database);
      await task(engine.store);
      await engine.close();
    },
  );
});
