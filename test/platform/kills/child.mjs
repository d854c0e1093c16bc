// A platform in a process of its own, to be killed. Usage: node child.mjs OPTIONS, as JSON; prints {urls, ca, token?}.
import { register } from 'tsx/esm/api';

register();
const { startPlatform } = await import('../../../src/lib/platform/index.ts');

const { urls, ca, token } = await startPlatform({
  ...JSON.parse(process.argv[2] ?? '{}'),
  log: (line) => process.stderr.write(line),
});
process.stdout.write(`${JSON.stringify({ urls, ca, token })}\n`);
