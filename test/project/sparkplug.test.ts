import { describe, expect, it } from 'vitest';
import { parseProject } from '../../src/lib/core/project.js';
import { sparkplugOf } from '../../src/lib/project/sparkplug.js';

const text = (integrations: string) => `name: plant
stream:
  topic: motors
  fields:
    temperature: { type: float, unit: degC }
    load: { type: float, unit: '' }
signal: { rate: 10, window: 10, stride: 10 }
integrations: ${integrations}
`;
const read = (integrations: string) =>
  sparkplugOf({ dir: '/p', file: 'aiot.yaml', config: parseProject(text(integrations), 'aiot.yaml') });

describe('integrations.sparkplug', () => {
  it('publishes the fields of the stream on the platform’s broker, as a node named after the project', () => {
    expect(read('{ sparkplug: { group: works } }')).toEqual({
      ...{ project: 'plant', broker: null, group: 'works', node: 'plant', selector: 'all', everyMs: 10_000 },
      ...{ aliases: true, stream: 'motors' },
      fields: [
        { field: 'temperature', unit: 'degC' },
        { field: 'load', unit: '' },
      ],
    });
    expect(read('{ homeAssistant: true }')).toBeNull();
  });

  it('has a node, an address, an interval and a selector', () => {
    const given =
      "group: works, node: hall 1, broker: 'mqtts://a:$AIOT_NOTIFY_B@192.0.2.1', every: 1s, aliases: false";
    expect(read(`{ sparkplug: { ${given}, selector: site=hall } }`)).toMatchObject({
      ...{ node: 'hall 1', broker: 'mqtts://a:$AIOT_NOTIFY_B@192.0.2.1', everyMs: 1000 },
      ...{ aliases: false, selector: 'site=hall' },
    });
  });

  it.each([
    ['{}', 'group'],
    ["{ group: 'a/b' }", 'expected a name without /, + and #'],
    ["{ group: works, node: '#' }", 'expected a name without /, + and #'],
    ["{ group: works, broker: 'mqtt://a:secret@192.0.2.1' }", 'broker: expected a variable such as'],
    ["{ group: works, broker: 'http://192.0.2.1' }", 'expected a URL such as mqtt://HOST:1883'],
    ['{ group: works, every: 10ms }', 'every: expected 1s to 1h'],
    ['{ group: works, selector: name }', 'selector: '],
  ])('rejects %s', (given, message) => {
    expect(() => read(`{ sparkplug: ${given} }`)).toThrow(message);
  });
});
