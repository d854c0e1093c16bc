import { describe, expect, it } from 'vitest';
import { asAiotError } from '../../src/lib/cli/errors.js';
import { unwritable } from '../../src/lib/core/files.js';
import { digestOfFile } from '../../src/lib/pipeline/store.js';

const failed = (code: string) => Object.assign(new Error(`${code}: told by the system, fsync`), { code });

describe('a system error', () => {
  it.each([
    ['EIO', 'AIOT_FILE_NOT_WRITABLE'],
    ['EROFS', 'AIOT_FILE_NOT_WRITABLE'],
    ['ENOSPC', 'AIOT_DISK_FULL'],
    ['EDQUOT', 'AIOT_DISK_FULL'],
    ['EMFILE', 'AIOT_FILE_NOT_READABLE'],
    ['ENFILE', 'AIOT_FILE_NOT_READABLE'],
  ])('with the code %s is reported as %s, and not as a bug', (system, code) => {
    expect(asAiotError(failed(system))).toMatchObject({ code, message: expect.stringContaining(system) });
  });

  it('is reported as a bug if its code is unknown', () => {
    expect(asAiotError(failed('EINVAL')).code).toBe('AIOT_BUG');
    expect(asAiotError(new Error('x')).code).toBe('AIOT_BUG');
  });

  it('contains the path being written', () => {
    expect(unwritable('a/b', failed('ENOSPC'))).toMatchObject({
      ...{ code: 'AIOT_DISK_FULL', message: 'cannot write a/b (ENOSPC)', retryable: true },
    });
    expect(unwritable('a/b', failed('EIO'))).toMatchObject({
      code: 'AIOT_FILE_NOT_WRITABLE',
      retryable: false,
    });
  });

  // Devices such as /dev/null cannot be synced.
  it('is reported for an output that cannot be synced', async () => {
    await expect(digestOfFile('/dev/null', true)).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_WRITABLE',
      message: 'cannot write /dev/null (EINVAL)',
    });
  });
});
