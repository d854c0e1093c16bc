import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readPlan } from '../../src/lib/api/rollouts/request.js';
import { readContexts } from '../../src/lib/core/contexts.js';
import {
  format,
  type Keys,
  keysOf,
  macOf,
  names,
  sealedEnd,
  sealFile,
} from '../../src/lib/platform/backup/format.js';
import { restoreBackup } from '../../src/lib/platform/backup/restore.js';
import { sealedTables, tablesOf } from '../../src/lib/platform/backup/tables.js';
import { migrations } from '../../src/lib/platform/store/migrations.js';
import { texts } from '../seeds.js';
import { type Entry, entriesOf, sha256, tarOf } from '../tar.js';
import type { Target } from '../types.js';

let folder: string | undefined;

function inFolder(name: string): string {
  folder ??= mkdtempSync(join(tmpdir(), 'kept-'));
  return join(folder, name);
}

const passphrase = 'a passphrase for tests';
/** The weakest possible key derivation, because the fuzzer reads thousands of backups and nothing in them is secret. */
const scrypt = { salt: 'c2FsdA==', N: 2, r: 1, p: 1 };
let keys: Keys | undefined;

/** Creates a backup of these entries with a new manifest and MAC. */
function backupOf(entries: readonly Entry[]): Buffer {
  const told = entries.filter(({ name }) => name !== names.manifest && name !== names.mac);
  const manifest = {
    format,
    entries: told.map(({ name, content }) => ({ name, bytes: content.length, digest: sha256(content) })),
    rows: { devices: 0, models: 1 },
  };
  const text = JSON.stringify(manifest);
  return tarOf([
    ...told,
    { name: names.manifest, content: Buffer.from(text) },
    { name: names.mac, content: Buffer.from(keys ? macOf(text, keys) : '') },
  ]);
}

async function sealed(name: string, content: Buffer, keys: Keys): Promise<Entry> {
  const [from, to] = [inFolder('plain'), inFolder('sealed')];
  writeFileSync(from, content);
  await sealFile(from, to, name + sealedEnd, keys);
  return { name: name + sealedEnd, content: readFileSync(to) };
}

async function backups(): Promise<Buffer[]> {
  keys ??= await keysOf(passphrase, scrypt);
  const head = { format, aiot: '1.0.0', schema: migrations.length, created: 1, scrypt };
  const blob = Buffer.from('a blob');
  const all: Entry[] = [];
  for (const { name } of await tablesOf()) {
    const content = Buffer.from(name === 'meta' ? `${JSON.stringify({ key: 'a', value: 'b' })}\n` : '');
    const entry = `tables/${name}.ndjson`;
    all.push(sealedTables.has(name) ? await sealed(entry, content, keys) : { name: entry, content });
  }
  const first = { name: names.head, content: Buffer.from(JSON.stringify(head)) };
  const journal = { name: 'journal/00000001.log', content: Buffer.from('00000000 {"a":1}\n') };
  const stored = { name: `blobs/${sha256(blob).replace(':', '/')}`, content: blob };
  return [backupOf([first, ...all, journal, stored]), backupOf([first, stored]), backupOf([first])];
}

const request = {
  releases: [{ kind: 'model', name: 'har', version: 2, sequence: 7 }],
  selector: 'all',
  rollback: null,
  policy: { waves: [1, '50%'], maxFailures: '10%', onFailure: 'rollback' },
};
const plan = {
  ...{
    spec: 'aiot-rollout-plan/1',
    request,
    waves: [['a'], ['b', 'c']],
    offline: ['c'],
    warnings: [],
    made: 1,
  },
  deltas: [{ release: request.releases[0], base: 'har@1', devices: 1, bytes: 10, of: 99 }],
};

/** Targets that read data stored by our own programs, which anyone may have modified since. */
export const kept: readonly Target[] = [
  {
    name: 'platform/backup',
    seeds: backups,
    run: async (input) => {
      const [file, data] = [inFolder('backup.tar'), inFolder('data')];
      writeFileSync(file, input);
      try {
        return await restoreBackup({ file, passphrase, data });
      } finally {
        rmSync(data, { recursive: true, force: true });
      }
    },
    words: ['../', 'pki/ca.key.sealed', 'tables/meta.ndjson', 'backup.json', '{"key":"c","value":null}\n'],
    // Recomputes the checksums of the tar, the manifest and its MAC, so that the damaged contents are read.
    mend: (input) => backupOf(entriesOf(input)),
    timeMs: 5000,
  },
  {
    name: 'core/contexts',
    seeds: () =>
      texts(
        { contexts: {} },
        { current: 'lab', contexts: { lab: { url: 'https://h:1', token: 'aiot_x', ca: 'ca.pem' } } },
        { contexts: { guide: { kind: 'architects-guide', url: 'https://h', mqtt: 'mqtts://h:1' } } },
      ),
    run: (input) => {
      const at = inFolder('config');
      mkdirSync(at, { recursive: true });
      writeFileSync(join(at, 'contexts.json'), input);
      return readContexts(at);
    },
    words: ['"__proto__":', '"constructor":', '"fingerprint":"', '"plain":"mqtt://'],
  },
  {
    name: 'api/rollout-plan',
    seeds: () => texts(plan, request),
    run: (input) => {
      const file = inFolder('plan.json');
      writeFileSync(file, input);
      return readPlan(file);
    },
    words: ['"50%"', '"__proto__":', '1e999', '"policy":{', '"startAt":'],
  },
];
