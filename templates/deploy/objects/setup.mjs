// Connects Garage's nodes, distributes the data among them, and creates the bucket and its key. Repeats these steps, because nodes get new addresses
// when they restart, and a node with a new volume is a new node. With ONCE=true, exits once the nodes are connected and the bucket exists.
//
// NODES: names of all nodes, separated by commas. SELF: this node. Only the first node changes the layout, the bucket and the key.
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const { BUCKET: bucket, CAPACITY, NODES = '', ONCE, SECRETS = '/run/secrets/objects' } = process.env;
const nodes = NODES.split(',');
const self = process.env.SELF ?? nodes[0];
const secret = (name) => readFileSync(`${SECRETS}/${name}`, 'utf8').trim();
const [admin, key, password] = ['admin', 'user', 'password'].map(secret);

// A name may have its own ports: NAME, or NAME:ADMIN:RPC.
const placeOf = (node) => {
  const [host, adminPort = '3903', rpcPort = '3901'] = node.split(':');
  return { api: `http://${host}:${adminPort}/v2/`, rpc: `${host}:${rpcPort}` };
};

async function ask(node, path, body) {
  const reply = await fetch(placeOf(node).api + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
    signal: AbortSignal.timeout(10_000),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (reply.status === 404) return null;
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${(await reply.text()).slice(0, 300)}`);
  return await reply.json();
}

// The node's ID is its public key, which changes only if its volume is replaced.
const idOf = async (node) => Object.keys((await ask(node, 'GetNodeInfo?node=self')).success)[0];

async function connect(ids) {
  const others = nodes.flatMap((node) => (node === self ? [] : [`${ids.get(node)}@${placeOf(node).rpc}`]));
  if (others.length === 0) return;
  const failed = (await ask(self, 'ConnectClusterNodes', others)).find(({ success }) => !success);
  if (failed) throw new Error(`a node is unreachable: ${failed.error}`);
}

// Called only if all nodes have responded, so that an offline node does not lose its data.
async function distribute(ids) {
  const layout = await ask(self, 'GetClusterLayout');
  const capacity = Number(CAPACITY);
  const wanted = [...ids.values()];
  const there = new Map(layout.roles.map((role) => [role.id, role]));
  const roles = [
    ...nodes
      .filter((node) => there.get(ids.get(node))?.capacity !== capacity)
      .map((node) => ({ id: ids.get(node), zone: node.split('.')[0], capacity, tags: [] })),
    ...layout.roles.filter(({ id }) => !wanted.includes(id)).map(({ id }) => ({ id, remove: true })),
  ];
  if (roles.length === 0) return;
  await ask(self, 'UpdateClusterLayout', { roles });
  await ask(self, 'ApplyClusterLayout', { version: layout.version + 1 });
  process.stdout.write(`layout ${layout.version + 1}: ${wanted.length} nodes of ${capacity} bytes\n`);
}

// The previous layout remains in use until all its nodes have seen the new one, but a lost node never does. Until then, the cluster tolerates no
// further loss. Called only while all current nodes are online, so this skips only lost nodes.
async function skipLost() {
  const { currentVersion: version, versions } = await ask(self, 'GetClusterLayoutHistory');
  if (!versions.some(({ status }) => status === 'Draining')) return;
  await ask(self, 'ClusterLayoutSkipDeadNodes', { version, allowMissingData: false });
}

async function createBucket() {
  if ((await ask(self, `GetKeyInfo?id=${encodeURIComponent(key)}`)) === null) {
    await ask(self, 'ImportKey', { name: 'aiot', accessKeyId: key, secretAccessKey: password });
  }
  const path = `GetBucketInfo?globalAlias=${encodeURIComponent(bucket)}`;
  const found = (await ask(self, path)) ?? (await ask(self, 'CreateBucket', { globalAlias: bucket }));
  const allowed = found.keys.some(
    ({ accessKeyId, permissions: { read, write } }) => accessKeyId === key && read && write,
  );
  if (allowed) return;
  const permissions = { read: true, write: true, owner: true };
  await ask(self, 'AllowBucketKey', { bucketId: found.id, accessKeyId: key, permissions });
  process.stdout.write(`bucket ${bucket}\n`);
}

for (let told = ''; ; ) {
  try {
    const ids = new Map(await Promise.all(nodes.map(async (node) => [node, await idOf(node)])));
    await connect(ids);
    if (self === nodes[0]) {
      await distribute(ids);
      await skipLost();
      await createBucket();
    }
    told = '';
    if (ONCE === 'true') break;
    await delay(30_000);
  } catch (error) {
    const text = String(error.cause?.code ?? error.message);
    if (text !== told) process.stdout.write(`waits: ${text}\n`);
    told = text;
    await delay(3000);
  }
}
