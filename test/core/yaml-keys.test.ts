import { afterEach, expect, it, vi } from 'vitest';
import * as z from 'zod';
import { parseYaml } from '../../src/lib/core/yaml.js';

afterEach(() => vi.restoreAllMocks());

it.each(['? [a, secret]\n: 1\n', '? {a: secret}\n: 1\n', '{[a, secret]: 1}\n', 'x:\n  ? [secret]\n  : 1\n'])(
  'a list or a map used as a YAML name is rejected, and the error does not quote it: %j',
  (text) => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const read = () => parseYaml(text, 'it.yaml', z.unknown(), { code: 'AIOT_PROJECT_INVALID' });
    expect(read).toThrow(/^it\.yaml:\d+:\d+: expected a name before the colon, got a list or a map$/);
    expect(warned).not.toHaveBeenCalled();
  },
);
