import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clientFor, contextFor } from '../../src/lib/api/context.js';
import { sha256Hex } from '../../src/lib/core/crypto.js';
import { configFolder } from '../../src/lib/core/folders.js';
import { takeLock } from '../../src/lib/core/lock.js';
import { renewDevice } from '../../src/lib/device/onboard/renew.js';
import { activatedSchema } from '../../src/lib/provision/claim.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { provisionedDeviceSchema } from '../../src/lib/provision/provision.js';
import { fleetResultSchema } from '../../src/lib/provision/provision-fleet.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
const at = (...parts: string[]) => join(own.folder, ...parts);
beforeAll(async () => {
  own = await upForTests();
});
afterAll(() => own.stop());

const provision = (name: string) =>
  ok(provisionedDeviceSchema, ['device', 'provision', name, '--type', 'pi', '--out', at(name)]);
const renew = (kind: string, name: string, out: string, ...more: string[]) => [
  ...['device', kind, name, '--out', at(out), ...more],
];

describe.each(['rotate', 'replace'] as const)('runs that %s the same device', (kind) => {
  it('succeed only once if they are concurrent, and the others write nothing', async () => {
    const name = `raced-${kind}`;
    await provision(name);
    const outs = ['a', 'b', 'c'].map((end) => `${name}-${end}`);
    const client = await clientFor();
    const privatePem = await operatorKey((await contextFor(undefined)).name);
    const asked = {
      client,
      name,
      kind,
      privatePem,
      now: false,
      image: { nvsVersion: 2 as const, encrypt: false },
    };
    const none = { chip: undefined, port: undefined, mac: undefined };
    const loader = {
      chip: 'auto',
      baud: 115_200,
      stub: true,
      before: 'default-reset',
      after: 'hard-reset',
    } as const;
    const runs = await Promise.allSettled(
      outs.map((out) => renewDevice({ ...asked, ...none, loader, out: at(out) })),
    );
    await client.close();
    const won = outs.filter((_, i) => runs[i]?.status === 'fulfilled');
    expect(won).toHaveLength(1);
    const lost = runs.filter((run) => run.status === 'rejected');
    const codes = lost.map(({ reason }) => reason.code);
    expect(codes).toEqual(['AIOT_DEVICE_CHANGED', 'AIOT_DEVICE_CHANGED']);
    for (const out of outs) expect(existsSync(at(out))).toBe(won.includes(out));
    expect(await ok(activatedSchema, ['device', 'activate', at(won[0] ?? '')])).toMatchObject({ name });
  });

  it('are rejected after the first one, unless they use its folder', async () => {
    const name = `late-${kind}`;
    await provision(name);
    await ok(provisionedDeviceSchema, renew(kind, name, `${name}-1`));
    const { code, message } = await refusal(renew(kind, name, `${name}-2`));
    expect(code).toBe('AIOT_DEVICE_CHANGED');
    expect(message).toContain(`${name} was ${kind}d`);
    expect(existsSync(at(`${name}-2`))).toBe(false);
    await ok(provisionedDeviceSchema, renew(kind, name, `${name}-1`));
    await ok(activatedSchema, ['device', 'activate', at(`${name}-1`)]);
  });
});

describe('aiot device rotate', () => {
  it('overrides another unused rotation with --now', async () => {
    await provision('urgent');
    await ok(provisionedDeviceSchema, renew('rotate', 'urgent', 'urgent-1'));
    await ok(provisionedDeviceSchema, renew('rotate', 'urgent', 'urgent-2', '--now'));
    await ok(activatedSchema, ['device', 'activate', at('urgent-2')]);
  });
});

describe('leftovers of a killed run', () => {
  it('are removed by the next run, except those of live or remote processes', async () => {
    const ended = spawn(process.execPath, ['-e', '']);
    await once(ended, 'exit');
    const host = sha256Hex(hostname()).slice(0, 8);
    const stages = {
      dead: `.identity-${host}-${ended.pid}-aaaaaa`,
      alive: `.identity-${host}-${process.pid}-bbbbbb`,
      elsewhere: `.identity-00000000-${ended.pid}-cccccc`,
    };
    for (const stage of Object.values(stages)) {
      await mkdir(at('left', stage), { recursive: true });
      await writeFile(at('left', stage, 'device.key'), 'a key');
    }
    await provision('left');
    const hidden = (await readdir(at('left'))).filter((name) => name.startsWith('.identity-'));
    expect(hidden.sort()).toEqual([stages.alive, stages.elsewhere].sort());
  });
});

describe('aiot device provision --csv', () => {
  it('repeats a device that a killed run registered but did not write', async () => {
    const csv = at('killed.csv');
    await writeFile(csv, 'name,type\nk1,pi\nk2,pi\n');
    const ended = spawn(process.execPath, ['-e', '']);
    await once(ended, 'exit');
    await ok(provisionedDeviceSchema, [
      'device',
      'provision',
      'k1',
      '--type',
      'pi',
      '--out',
      at('elsewhere'),
    ]);
    const argv = ['device', 'provision', '--csv', csv, '--out', at('killed')];
    // Without a trace of the killed run in the folder, the registration may be somebody else's.
    expect(await refusal(argv)).toMatchObject({ code: 'AIOT_ALREADY_EXISTS', subject: 'device' });
    const host = sha256Hex(hostname()).slice(0, 8);
    await mkdir(at('killed', 'k1', `.identity-${host}-${ended.pid}-aaaaaa`), { recursive: true });
    const { devices, failed } = await ok(fleetResultSchema, argv);
    expect(failed).toEqual([]);
    expect(devices.map((device) => device.name)).toEqual(['k1', 'k2']);
    expect(await readdir(at('killed', 'k1'))).not.toContainEqual(expect.stringContaining('.identity'));
    expect(await ok(activatedSchema, ['device', 'activate', at('killed', 'k1')])).toMatchObject({
      name: 'k1',
    });
  });

  it('is rejected while another run provisions for the same platform, and writes nothing', async () => {
    const csv = at('fleet.csv');
    await writeFile(csv, 'name,type\nt1,pi\nt2,pi\n');
    const argv = ['device', 'provision', '--csv', csv, '--out'];
    const { name } = await contextFor(undefined);
    const release = await takeLock(join(configFolder(), `provision-${name}.lock`));
    expect(release).not.toBeNull();
    expect(await refusal([...argv, at('one')])).toMatchObject({ code: 'AIOT_PROVISION_RUNNING', exit: 1 });
    expect(existsSync(at('one'))).toBe(false);
    release?.();
    const { devices } = await ok(fleetResultSchema, [...argv, at('two')]);
    expect(devices.map((device) => device.name)).toEqual(['t1', 't2']);
    expect(await readFile(at('two', 't1', 'device.json'), 'utf8')).toContain('t1');
  });
});
