import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Digest of all sources of the program. */
export function stampOf(root) {
  return digestOf(root, 'src', [
    'tsconfig.json',
    ...['build', 'inside', 'vendor', 'zod-in-english'].map((name) => `scripts/${name}.js`),
  ]);
}

/** The program's files that the dashboard's scripts contain, in src/lib. */
export const sharedWithWeb = [
  ...['api/rollouts/words.ts', 'pipeline/graph-model.ts'],
  ...['core/back-off.ts', 'core/catalogue.ts', 'core/errors.ts', 'core/figures.ts', 'core/text.ts'],
  ...['formats/improv.ts', 'formats/partitions.ts', 'formats/esp-image/chips.ts', 'formats/csv/records.ts'],
  ...['formats/nvs/crypt.ts', 'formats/nvs/read.ts', 'formats/nvs/types.ts', 'formats/nvs/write.ts'],
  ...['device/onboard/improv-session.ts', 'provision/device-image.ts'],
  // Rehearsals of rollouts.
  ...['api/page.ts', 'api/rollouts/amount.ts', 'api/rollouts/rehearsal.ts', 'api/rollouts/schema.ts'],
  ...['api/rollouts/shadow.ts', 'core/crypto.ts', 'core/issues.ts', 'core/names.ts', 'core/time.ts'],
  ...['device/fleet/network.ts', 'device/fleet/rehearsed.ts', 'device/update/downloading.ts'],
  ...['device/update/ending.ts', 'device/update/record.ts', 'device/update/step.ts'],
  ...['fleet/rehearsal-worker.ts', 'fleet/rehearse.ts', 'fleet/window.ts', 'formats/manifest/envelope.ts'],
  ...['crash-free', 'draft', 'gate', 'report', 'shadow', 'step', 'table', 'waves'].map(
    (name) => `fleet/rollout/${name}.ts`,
  ),
  ...['formats/manifest/manifest.ts', 'stream/decode/step-limit.ts', 'stream/decode/truth.ts'],
];

/** Digest of all sources of the dashboard, including the program's files and types that it uses. */
export function webStampOf(root) {
  const shared = sharedWithWeb.map((file) => `src/lib/${file}`);
  return digestOf(
    root,
    'web',
    ['inside', 'web', 'zod-in-english'].map((name) => `scripts/${name}.js`).concat(shared),
  );
}

function digestOf(root, folder, names) {
  const hash = createHash('sha256');
  for (const name of ['package.json', 'package-lock.json', ...names]) {
    hash.update(name).update(readFileSync(join(root, name)));
  }
  const files = readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
  for (const file of files) hash.update(file.slice(root.length)).update(readFileSync(file));
  return hash.digest('hex');
}

/** Whether dist/ was built from the current sources. */
export function isBuilt(root) {
  return isStamped(join(root, 'dist', '.stamp'), stampOf(resolve(root)));
}

/** Whether dist/web was built from the current sources. */
export function isWebBuilt(root) {
  return isStamped(join(root, 'dist', 'web', '.stamp'), webStampOf(resolve(root)));
}

function isStamped(path, stamp) {
  return existsSync(path) && readFileSync(path, 'utf8') === stamp;
}
