import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { parsePkcs11 } from '../../src/lib/flash/images/pkcs11.js';
import { root, runCli } from '../support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-pkcs11-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());
const module = '/usr/lib/softhsm/libsofthsm2.so';

describe('a PKCS#11 URI', () => {
  it('names module, token, key and the file with the PIN', () => {
    expect(
      parsePkcs11(
        `pkcs11:token=my%20plant;object=boot;id=%01%ab?module-path=${module}&pin-source=file:/run/pin`,
      ),
    ).toMatchObject({
      ...{ module, token: 'my plant', pinFile: '/run/pin' },
      ...{ label: 'boot', id: '01ab' },
    });
  });

  it('takes the module from the environment', () => {
    vi.stubEnv('AIOT_PKCS11_MODULE', module);
    expect(parsePkcs11('pkcs11:token=a;id=%01')).toMatchObject({
      ...{ module, token: 'a', pinFile: null },
      ...{ label: null, id: '01' },
    });
  });

  it.each([
    ['pkcs11:object=boot', 'token is missing'],
    ['pkcs11:token=a', 'object or its id is missing'],
    ['pkcs11:token=a;object=b', "path of the module's library is missing"],
    ['pkcs11:token=a;object=b?pin-value=1234', 'not part of the URI'],
    ['pkcs11:token=a;object=b;type=private', 'unknown or empty attribute type'],
    ['pkcs11:token=a;token=b;object=b', 'given twice'],
    ['pkcs11:token=a;object=', 'unknown or empty attribute object'],
    ['pkcs11:token=a;object=b%2', 'two hex digits'],
    [`pkcs11:token=a;object=b?module-path=${module}&pin-source=http://x`, 'must be a file'],
  ])('%s is rejected: %s', (uri, why) => {
    vi.stubEnv('AIOT_PKCS11_MODULE', '');
    expect(() => parsePkcs11(uri)).toThrow(why);
  });

  it('needs pkcs11-tool, which the error names with its package', async () => {
    vi.stubEnv('PATH', folder);
    const image = join(root, 'test', 'golden', 'images', 'c3-boot.bin');
    const key = `pkcs11:token=a;object=b?module-path=${module}`;
    const out = join(folder, 'out.bin');
    const { code, stdout } = await runCli(['firmware', 'sign', image, '--key', key, '--out', out, '--json']);
    expect({ code, stdout }).toMatchObject({
      code: 4,
      stdout: expect.stringContaining('apt-get install opensc'),
    });
  });
});
