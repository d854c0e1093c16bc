import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal, python } from '../support/real.js';

const run = promisify(execFile);
const long = process.env.AIOT_LONG === '1';
const seed = process.env.AIOT_SEED ?? '8';

let own: TestPlatform;
let viewer = '';
beforeAll(async () => {
  const enough = 1_000_000_000;
  own = await testPlatform({ rates: { known: enough, anonymous: enough, failures: enough } });
  viewer = (await own.client.tokens.create({ name: 'viewer', role: 'viewer' })).token;
});
afterAll(() => own.stop());

/**
 * Omitted checks: that every request that matches a schema is accepted, because a valid digest, cursor or name requires more than its
 * type; and HTTP methods without a route, which Fastify itself rejects.
 */
const left = 'positive_data_acceptance,unsupported_method';

/**
 * Authorization requests from external brokers. Malformed requests are answered with 200 and `deny`, because some brokers admit a client
 * after any other status. The rejection of invalid data is therefore not checked here, but in broker-authorizer.test.ts.
 */
const brokers = '/broker/';

/**
 * Omitted paths. Server-sent events never end, so each request for them would wait half a minute for the client's timeout. A client
 * that revokes its own token would receive only rejections from then on.
 */
const apart = '(/events|/logs/live|/devices/\\{name\\}/live|/tokens/\\{id\\}.*)$';

/** Checks for clients that are not allowed to make most requests. */
const conformance = 'not_a_server_error,status_code_conformance,response_schema_conformance';

describeReal('platform', 'the API under schemathesis', () => {
  it.each<[string, () => string | null, string, string]>([
    ['an operator', () => own.token, 'all', '2'],
    ['an external broker', () => own.token, 'all', '20'],
    ['a viewer', () => viewer, conformance, '1'],
    ['an anonymous client', () => null, conformance, '1'],
  ])(
    'has no findings for %s',
    async (client, token, checks, examples) => {
      const shown = token();
      const asks = client === 'an external broker';
      const omitted = asks ? `${left},negative_data_rejection` : left;
      const unasked = client === 'an operator' ? `${brokers}|${apart}` : apart;
      const { stdout } = await run(
        python('platform').replace(/python3?$/, 'st'),
        [
          ...['run', `${own.platform.urls.http}/openapi.json`, '--tls-verify', own.platform.ca],
          ...(shown === null ? [] : ['-H', `Authorization: Bearer ${shown}`]),
          ...['--checks', checks, ...(checks === 'all' ? ['--exclude-checks', omitted] : [])],
          ...['--phases', 'fuzzing', '--seed', seed, '--max-examples', long ? '60' : examples],
          ...[
            '--generation-database',
            'none',
            '--exclude-path-regex',
            unasked,
            ...(asks ? ['--include-path-regex', brokers] : []),
            '-H',
            'Tus-Resumable: 1.0.0',
            '--request-timeout',
            '20',
          ],
          ...['--suppress-health-check', 'all', '--no-color'],
        ],
        { cwd: own.folder, timeout: long ? 1_800_000 : 240_000, maxBuffer: 1024 ** 3 },
      ).catch((error: { stdout?: string }) => ({ stdout: error.stdout ?? String(error) }));
      expect(stdout.split('FAILURES').slice(1).join().slice(0, 6000)).toBe('');
      expect(stdout).toMatch(/No issues found|[1-9]\d* passed/);
    },
    long ? 1_900_000 : 270_000,
  );
});
