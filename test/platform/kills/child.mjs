// A platform in a separate process, which tests kill. Usage: node child.mjs OPTIONS [next], as JSON; prints {urls, ca, token?}.
import { fromSources } from '../../support/from-sources.mjs';

const next = process.argv[3] === 'next';
if (next) {
  // The next version is this one with another migration. Only the sources have the list of migrations as a module.
  const { register } = await import('tsx/esm/api');
  register();
  const { migrations } = await import('../../../src/lib/platform/store/migrations.ts');
  migrations.push(`
    CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT;
    ALTER TABLE devices ADD COLUMN later TEXT;
  `);
}
const { startPlatform } = next
  ? await import('../../../src/lib/platform/index.ts')
  : await fromSources('lib/platform/index');

const { urls, ca, token, stop } = await startPlatform({
  ...JSON.parse(process.argv[2] ?? '{}'),
  log: (line) => process.stderr.write(line),
});
process.stdout.write(`${JSON.stringify({ urls, ca, token })}\n`);
process.once('SIGTERM', () => void stop().then(() => process.exit(0)));
