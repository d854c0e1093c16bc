import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startPlatform } from '../../src/lib/platform/start.js';

it('files in an existing data folder that is open to other users are private to their owner', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'aiot-private-'));
  try {
    await chmod(dataDir, 0o755);
    const platform = await startPlatform({ dataDir, httpPort: 0, mqttPort: 0 });
    try {
      const modes: Record<string, string> = {};
      for (const name of await readdir(dataDir))
        modes[name] = ((await stat(join(dataDir, name))).mode & 0o777).toString(8);
      expect(modes).toMatchObject({
        ...{ 'state.db': '600', 'state.db-wal': '600', 'state.db-shm': '600' },
        ...{ 'telemetry.db': '600', 'telemetry.db-wal': '600', broker: '700', blobs: '700' },
      });
    } finally {
      await platform.stop();
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});

it('the log mentions a listener without TLS only if there is one', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'aiot-plain-'));
  try {
    for (const plain of [undefined, { port: 0 }]) {
      const lines: string[] = [];
      const log = (line: string) => void lines.push(line);
      const options = { dataDir, httpPort: 0, mqttPort: 0, log };
      const platform = await startPlatform({ ...options, ...(plain ? { plain } : {}) });
      await platform.stop();
      expect(lines.filter((line) => line.includes('without TLS'))).toHaveLength(plain ? 1 : 0);
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});
