import { describe, expect, it } from 'vitest';
import {
  discoveryOf,
  type HomeDevice,
  type HomePlace,
  homeTopics,
  parseInstall,
  sensorOf,
  stateOf,
  updateOf,
} from '../../src/lib/fleet/home-assistant.js';

const place: HomePlace = {
  ...{
    platform: 'p1',
    prefix: 'homeassistant',
    version: '0.1.0',
    url: 'https://aiot.example',
    canInstall: false,
  },
};
const release = { name: 'motor', version: 3, sequence: 7, digest: `sha256:${'0'.repeat(64)}` };
const device = (more: Partial<HomeDevice> = {}): HomeDevice => ({
  ...{ name: 'pump-1', type: 'esp32', mac: null, answer: null, installable: new Set(), reported: null },
  ...more,
});
const definition = {
  ...{ project: 'home', broker: null, prefix: 'homeassistant', selector: 'all', everyMs: 1000 },
  ...{ installs: null, stream: 'pumps', sensors: [sensorOf('temperature', 'degC')] },
};

describe('a sensor', () => {
  it.each([
    ['degC', undefined, '°C', 'temperature', false],
    ['A', undefined, 'A', 'current', false],
    ['kWh', undefined, 'kWh', 'energy', true],
    ['%', undefined, '%', null, false],
    ['%', 'humidity', '%', 'humidity', false],
    ['dB', 'none', 'dB', null, false],
    ['furlong', undefined, 'furlong', null, false],
    ['constructor', undefined, 'constructor', null, false],
  ])(
    'in %s with the class %s has the unit %s and the class %s',
    (unit, given, spelled, deviceClass, total) => {
      expect(sensorOf('x', unit, given)).toEqual({ field: 'x', unit: spelled, deviceClass, total });
    },
  );
});

describe('a discovery message', () => {
  it('describes a device whose model predicts classes', () => {
    const shown = device({
      ...{ mac: 'AA:BB:CC:DD:EE:FF', answer: 'classes' },
      reported: { state: 'IDLE', model: release, firmware: { version: '1.2.0', release: null } },
      installable: new Set(['model']),
    });
    expect(discoveryOf(shown, definition, { ...place, canInstall: true })).toEqual({
      device: {
        identifiers: ['aiot_p1_pump-1'],
        connections: [['mac', 'aa:bb:cc:dd:ee:ff']],
        ...{ name: 'pump-1', manufacturer: 'aiot', model: 'esp32', sw_version: '1.2.0' },
        configuration_url: 'https://aiot.example/#/devices/pump-1',
      },
      origin: { name: 'aiot', sw_version: '0.1.0' },
      availability: [
        { topic: 'aiot/homeassistant/p1/status' },
        { topic: 'aiot/homeassistant/p1/devices/pump-1/availability' },
      ],
      ...{ availability_mode: 'all', state_topic: 'aiot/homeassistant/p1/devices/pump-1/state', qos: 1 },
      components: {
        field_temperature: {
          ...{ platform: 'sensor', unique_id: 'aiot_p1_pump-1_field_temperature', name: 'temperature' },
          ...{ unit_of_measurement: '°C', device_class: 'temperature', state_class: 'measurement' },
          value_template: "{{ value_json['values']['temperature'] | default('') }}",
        },
        prediction: {
          ...{ platform: 'sensor', unique_id: 'aiot_p1_pump-1_prediction', name: 'Prediction' },
          value_template: "{{ value_json['label'] | default('None') }}",
        },
        confidence: {
          ...{ platform: 'sensor', unique_id: 'aiot_p1_pump-1_confidence', name: 'Confidence' },
          ...{ unit_of_measurement: '%', state_class: 'measurement', suggested_display_precision: 0 },
          value_template: "{{ value_json['confidence'] | default('') }}",
        },
        firmware_version: {
          ...{ platform: 'sensor', unique_id: 'aiot_p1_pump-1_firmware_version', name: 'Firmware version' },
          entity_category: 'diagnostic',
          value_template: "{{ value_json['firmware'] | default('None') }}",
        },
        model_version: {
          ...{ platform: 'sensor', unique_id: 'aiot_p1_pump-1_model_version', name: 'Model version' },
          entity_category: 'diagnostic',
          value_template: "{{ value_json['model'] | default('None') }}",
        },
        model_update: {
          ...{ platform: 'update', unique_id: 'aiot_p1_pump-1_model_update', name: 'Model' },
          ...{ entity_category: 'config', state_topic: 'aiot/homeassistant/p1/devices/pump-1/model' },
          command_topic: 'aiot/homeassistant/p1/devices/pump-1/install/model',
          payload_install: 'install',
        },
      },
    });
  });

  it('has no install button if nobody may install updates', () => {
    const shown = device({ installable: new Set(['firmware']) });
    expect(discoveryOf(shown, definition, place).components.firmware_update).not.toHaveProperty(
      'command_topic',
    );
  });

  it('has a separate topic for each name, including names with dots', () => {
    const topics = ['a.b', 'a_b', 'a-b', 'a..b', 'A.b'].map((name) => homeTopics(name, place).config);
    expect(new Set(topics).size).toBe(topics.length);
    for (const topic of topics) expect(topic).toMatch(/^homeassistant\/device\/[a-zA-Z0-9_-]+\/config$/);
  });
});

it('a state contains the probability of the predicted class, and text that is short enough for Home Assistant', () => {
  const inference = { label: 'x'.repeat(400), voted: null, scores: [0.2], value: null };
  const text = { answer: 'probability', reported: null } as const;
  expect(stateOf({ values: { a: 1 }, inference }, text)).toEqual({
    ...{ values: { a: 1 }, label: 'x'.repeat(255), confidence: 80 },
  });
  const error = { label: 'anomaly', voted: null, scores: [0.9], value: 0.9 };
  expect(stateOf({ values: {}, inference: error }, { answer: 'reconstruction', reported: null })).toEqual({
    ...{ values: {}, label: 'anomaly', value: 0.9 },
  });
  expect(stateOf({ values: {}, inference: null }, { answer: 'classes', reported: null })).toEqual({
    values: {},
  });
});

it('a state is made even if a device sends more scores than a function accepts as arguments', () => {
  const scores = [0.25, ...new Array<number>(200_000).fill(0), 0.75];
  const inference = { label: 'high', voted: null, scores, value: null };
  expect(stateOf({ values: {}, inference }, { answer: 'classes', reported: null })).toEqual({
    ...{ values: {}, label: 'high', confidence: 75 },
  });
});

it('an update is in progress only for the kind of release that the device installs', () => {
  const installable = { title: 'app', installed: '1', latest: '2' };
  const reported = { state: 'TRIAL', kind: 'firmware', model: null } as const;
  expect(updateOf('firmware', installable, reported, null)).toMatchObject({ in_progress: true });
  expect(updateOf('model', installable, reported, null)).toMatchObject({ in_progress: false });
});

it.each([
  ['aiot/homeassistant/p1/devices/a.b/install/model', { device: 'a.b', kind: 'model' }],
  ['aiot/homeassistant/p1/devices/a/install/firmware', { device: 'a', kind: 'firmware' }],
  ['aiot/homeassistant/p1/devices/a/install/config', null],
  ['aiot/homeassistant/p1/devices/a/install/model/x', null],
  ['aiot/homeassistant/p1/devices//install/model', null],
  ['aiot/homeassistant/p1/devices/a b/install/model', null],
  ['aiot/homeassistant/p2/devices/a/install/model', null],
  ['aiot/homeassistant/p1/devices/a/model', null],
])('the topic %s is read as %o', (topic, expected) => {
  expect(parseInstall(topic, 'p1')).toEqual(expected);
});
