import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSparkplugSource } from '../../src/lib/stream/sparkplug/source.js';
import { parseStreamUrl } from '../../src/lib/stream/url.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { sparkplugDefinition, sparkplugSuite } from './sparkplug-suite.js';

describe('the edge node on the platform’s broker', () => {
  sparkplugSuite({
    definition: () => ({}),
    async open(own) {
      const scopes = ['stream:spBv1.0/#'];
      const { token } = await own.client.tokens.create({ name: 'scada', role: 'ci', scopes });
      const credentials = { ca: own.ca, username: 'scada', password: token };
      const options = { ...credentials, overflow: 'wait' } as const;
      return openSparkplugSource(
        parseStreamUrl('sparkplug:///works'),
        parseStreamUrl(own.platform.urls.mqtts),
        options,
      );
    },
  });
});

describe('a project’s definition of an edge node', () => {
  let own: TestPlatform;
  beforeAll(async () => {
    own = await testPlatform();
  });
  afterAll(() => own.stop());

  it('is recorded without credentials, belongs to one project, and outlives a restart', async () => {
    const broker = 'mqtt://a:$AIOT_NOTIFY_NONE@127.0.0.1:1/';
    const apply = (project: string, definition: ReturnType<typeof sparkplugDefinition> | null) =>
      own.platform.applySparkplug({ project, definition });
    expect(await apply('plant', sparkplugDefinition({ broker }))).toEqual({
      ...{ project: 'plant', change: 'created', broker: 'mqtt://127.0.0.1:1' },
    });
    await expect(apply('other', sparkplugDefinition({ project: 'other' }))).rejects.toMatchObject({
      code: 'AIOT_ALREADY_EXISTS',
    });
    expect(await apply('other', null)).toMatchObject({ change: 'unchanged' });
    await own.restart();
    expect(await apply('plant', sparkplugDefinition({ broker }))).toMatchObject({ change: 'unchanged' });
    const { entries } = await own.client.audit.log({ limit: 1000, type: 'sparkplug.apply' });
    expect(entries.map(({ subject, data }) => [subject, data])).toEqual([
      ['plant', { change: 'created', broker: 'mqtt://127.0.0.1:1' }],
    ]);
    await expect(apply('plant', sparkplugDefinition({ selector: 'name' }))).rejects.toThrow();
  });
});
