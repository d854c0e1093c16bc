// Fetches the versions of a model into a cache repeatedly until it is killed, and prints a line each time. Usage: node
// model-fetcher.mjs NAME VERSIONS CACHE
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { register } from 'tsx/esm/api';

register();
const { openModel } = await import('../../src/lib/loop/model/open-model.ts');

const [name, versions, cache] = process.argv.slice(2);
for (let i = 0; ; i++) {
  const reference = `${name}@${1 + (i % Number(versions))}`;
  const keeper = await openModel({ reference, project: null, cache });
  await keeper.close();
  process.stdout.write(`${reference}\n`);
  await rm(join(cache, 'loop', 'bundles'), { recursive: true, force: true });
}
