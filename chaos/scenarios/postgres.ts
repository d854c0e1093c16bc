import { password } from '../../test/support/postgres.js';
import { openLink } from '../faults/link.js';
import { serverFaults } from '../faults/server.js';
import type { Scenario } from '../types.js';
import { platformWorld } from './platform.js';

/** A platform whose state and telemetry are in PostgreSQL, over a link that also fails. */
export const postgres: Scenario = {
  name: 'postgres',
  about: 'the same on PostgreSQL, which is killed and cut off',
  needs: ['postgres'],
  faults: {
    platform: ['kill', 'kill-starting', 'kill-stopping', 'pause', 'clock-ahead', 'clock-back'],
    network: ['cut', 'reset', 'truncate'],
    database: ['kill', 'restart'],
    'link to the database': ['delay', 'cut', 'reset', 'truncate', 'blackhole'],
  },
  async start(round) {
    const server = await round.servers.postgres();
    const link = await openLink(server.port);
    const database = (await server.database()).replace(`:${server.port}/`, `:${link.port}/`);
    const world = await platformWorld(round, ['--database', database]);
    return {
      ...world,
      targets: {
        ...world.targets,
        database: serverFaults({ ...server, end: () => server.kill() }),
        'link to the database': { ...link },
      },
      async stop() {
        await world.stop();
        await link.close();
      },
      secrets: () => [...world.secrets(), password],
    };
  },
};
