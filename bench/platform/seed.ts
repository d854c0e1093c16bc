import { openStore } from '../../src/lib/platform/store/database.js';

export const nameOf = (i: number) => `device-${String(i).padStart(6, '0')}`;

/** Inserts active devices directly into the database, because the cost of provisioning is not measured here. Three in four are ESP32s. */
export async function seed(path: string, count: number): Promise<void> {
  const store = await openStore(path);
  const rows = Array.from({ length: count }, (_, i) => {
    const model = {
      name: 'har',
      version: 1 + (i % 3),
      sequence: 1 + (i % 3),
      digest: `sha256:${'ab'.repeat(32)}`,
    };
    const idle = { rollout: null, floor: 0, download: null, golden: null, error: null };
    const reported = {
      ...{ t: 1.7e12, type: 'esp32', state: 'COMMITTED', model, ...idle },
      firmware: { name: 'motion', version: `1.${i % 12}.${i % 7}` },
    };
    return {
      ...{ name: nameOf(i), id: `dev_${i}`, type: i % 4 === 0 ? 'pi' : 'esp32', state: 'active' },
      ...{
        fingerprint: i.toString(16).padStart(64, '0'),
        expires: 4e12,
        nextFingerprint: null,
        nextExpires: null,
      },
      ...{
        created: 1.7e12,
        lastSeen: 1.7e12,
        reported: JSON.stringify(reported),
        desired: null,
        secret: null,
      },
      ...{
        mac: `24:0a:c4:${(i >> 16).toString(16).padStart(2, '0')}:${((i >> 8) & 255).toString(16).padStart(2, '0')}:${(i & 255).toString(16).padStart(2, '0')}`,
      },
      ...{
        chipId: String(i),
        tags: JSON.stringify({ site: `site-${i % 50}`, floor: String(i % 9) }),
        groups: '["fleet"]',
      },
    };
  });
  for (let i = 0; i < rows.length; i += 500) {
    await store
      .insertInto('devices')
      .values(rows.slice(i, i + 500))
      .execute();
  }
  await store.destroy();
}
