import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, vi } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { exportAudit, hashOfEntry, noHash } from '../../src/lib/api/events/audit.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { testPlatform } from '../support/platform.js';
import { startPostgres } from '../support/postgres.js';
import { describeReal, python } from '../support/real.js';

const run = promisify(execFile);

/** Checks an exported audit log with another implementation of canonical JSON, and prints the number of entries. */
const check = `
import hashlib, json, sys
import rfc8785
previous = '0' * 64
for number, line in enumerate(open(sys.argv[1], encoding='utf-8'), 1):
    entry = json.loads(line)
    found = entry.pop('hash')
    assert entry['seq'] == number and entry['previous'] == previous, number
    previous = hashlib.sha256(rfc8785.dumps(entry)).hexdigest()
    assert previous == found, number
print(number, previous)
`;

describeReal('platform', 'the audit log and the canonical JSON of Python', () => {
  it('agree on every hash, including for data with numbers, accents and emoji', async () => {
    const own = await testPlatform();
    try {
      await own.client.users.add({ name: 'ada', role: 'viewer' });
      await own.client.alarms.create({
        ...{ name: 'hot', where: 'temperature > 1e-7', selector: 'all', severity: 'warning' },
        todo: 'Prüfe den Lüfter 🌀.',
      } as never);
      await own.client.alarms.silence('hot', { forMs: 60_000, note: 'Wartung: “später” \u2028 🌀' });
      await vi.waitFor(
        async () => {
          const { entries } = await own.client.audit.log({ type: 'alarm.silence' });
          expect(entries).toHaveLength(1);
        },
        { timeout: 10_000, interval: 100 },
      );
      const out = join(own.folder, 'audit.ndjson');
      const { entries, head } = await exportAudit(own.client, out);
      const { stdout } = await run(python('platform'), ['-c', check, out]);
      expect(stdout.trim()).toBe(`${entries} ${head.hash}`);
    } finally {
      await own.stop();
    }
  }, 60_000);
});

describeReal('postgres', 'the audit log of two replicas on PostgreSQL', () => {
  it('is one chain with every change once, although both seal it at the same time', async () => {
    const postgres = await startPostgres();
    const shared = { engines: { database: await postgres.database() }, secret: 'of a test' };
    const own = await testPlatform(shared);
    const other = await startPlatform({
      ...shared,
      ...{ dataDir: join(own.folder, 'other'), httpPort: 0, mqttPort: 0 },
    });
    const second = createClient({ url: other.urls.http, ca: own.ca, token: own.token });
    try {
      const clients = [own.client, second];
      const names = Array.from({ length: 40 }, (_, i) => `user-${i}`);
      await Promise.all(
        names.map(async (name, i) => {
          await clients[i % 2]!.users.add({ name, role: 'viewer' });
          // Reading seals the log, too.
          await clients[(i + 1) % 2]!.audit.log({ limit: 1 });
        }),
      );
      for (const client of clients) {
        const { entries, head } = await client.audit.log({ limit: 1000 });
        const added = entries.filter(({ type }) => type === 'user.add').map(({ subject }) => subject);
        expect(added.sort()).toEqual([...names].sort());
        let previous = noHash;
        for (const [i, entry] of entries.entries()) {
          expect(entry).toMatchObject({ seq: i + 1, previous, hash: hashOfEntry(entry) });
          previous = entry.hash;
        }
        expect(head.hash).toBe(previous);
      }
    } finally {
      await second.close();
      await other.stop();
      await own.stop();
      await postgres.stop();
    }
  }, 120_000);
});
