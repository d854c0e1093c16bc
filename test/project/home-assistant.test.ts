import { describe, expect, it } from 'vitest';
import { parseProject } from '../../src/lib/core/project.js';
import { homeAssistantOf } from '../../src/lib/project/home-assistant.js';

const text = (integration: string) => `name: home
stream:
  topic: motors
  fields:
    temperature: { type: float, unit: degC }
    load: { type: float, unit: '%' }
signal: { rate: 10, window: 10, stride: 10 }
integrations:
  homeAssistant: ${integration}
`;
const read = (integration: string) =>
  homeAssistantOf({ dir: '/p', file: 'aiot.yaml', config: parseProject(text(integration), 'aiot.yaml') });

describe('integrations.homeAssistant', () => {
  it('publishes the fields of the stream on the platform’s broker', () => {
    expect(read('true')).toEqual({
      ...{ project: 'home', broker: null, prefix: 'homeassistant', selector: 'all', everyMs: 10_000 },
      ...{ installs: null, stream: 'motors' },
      sensors: [
        { field: 'temperature', unit: '°C', deviceClass: 'temperature', total: false },
        { field: 'load', unit: '%', deviceClass: null, total: false },
      ],
    });
    expect(read('false')).toBeNull();
  });

  it('has an address, a user, an interval and classes', () => {
    const given =
      "{ broker: 'mqtt://ha:$AIOT_NOTIFY_HOME@192.0.2.1:1883', installs: home, every: 1m, classes: { load: power_factor } }";
    expect(read(given)).toMatchObject({
      ...{ broker: 'mqtt://ha:$AIOT_NOTIFY_HOME@192.0.2.1:1883', installs: 'home', everyMs: 60_000 },
      sensors: [{}, { field: 'load', unit: '%', deviceClass: 'power_factor' }],
    });
  });

  it.each([
    ["{ broker: 'mqtt://ha:secret@192.0.2.1' }", 'broker: expected a variable such as $AIOT_NOTIFY_PASSWORD'],
    ['{ every: 10ms }', 'every: expected 1s to 1h'],
    ['{ selector: name }', 'selector: '],
    ['{ classes: { wrong: humidity } }', 'classes.wrong: expected the name of a field'],
    ['{ classes: { load: wetness } }', 'classes.load: expected none or one of apparent_power'],
    [
      '{ classes: { load: voltage } }',
      'classes.load: voltage requires the unit V, mV, kV, µV; the field has %',
    ],
    ["{ prefix: 'home/#' }", 'expected a topic such as homeassistant'],
    ["{ broker: 'http://192.0.2.1' }", 'expected a URL such as mqtt://HOST:1883'],
  ])('rejects %s', (given, message) => {
    expect(() => read(given)).toThrow(message);
  });
});
