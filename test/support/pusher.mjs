// Pushes, promotes, pulls and removes versions until it or the platform is killed, and prints each action once it is
// acknowledged. Usage: node pusher.mjs CONTEXT FOLDER FIRST, with a .aiot template at FOLDER/tiny.aiot
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromSources } from './from-sources.mjs';

const { packBundle, pullModel, release, unpackAny } = await fromSources('lib/model/index');
const { clientFor } = await fromSources('lib/api/index');
const { operatorKey } = await fromSources('lib/provision/index');

const [context, folder, first] = process.argv.slice(2);
const client = await clientFor(context);
const key = await operatorKey(context);
const bundle = unpackAny(readFileSync(join(folder, 'tiny.aiot')));
const tell = (act) => process.stdout.write(`${JSON.stringify(act)}\n`);
const signed = { name: 'tiny', expires: null, deviceTypes: ['virtual'] };
tell({ act: 'ready' });
for (let seed = Number(first); ; seed += 1) {
  bundle.info.arenaBytes = seed;
  const content = packBundle(bundle);
  const { version } = await release(client, content, { ...signed, issued: Date.now() }, key);
  tell({ act: 'push', version });
  const model = { name: 'tiny', version };
  if (seed % 3 === 0) {
    await client.models.remove('tiny', version);
    tell({ act: 'remove', version });
    continue;
  }
  await client.models.promote('tiny', version, { to: 'staging' });
  tell({ act: 'staging', version });
  await client.models.promote('tiny', version, { to: 'production', reason: 'a test' });
  tell({ act: 'production', version });
  await pullModel({ client, model, out: join(folder, 'pulled', String(version)) });
  tell({ act: 'pull', version });
}
